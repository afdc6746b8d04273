"""Which Kubernetes version a cluster that meshctl makes gets, and whether it can be upgraded to it. PURE.

Called by `preconditions`, `environment_program` and for migrations. A managed control plane goes up one minor version
at a time and never down (EKS user guide, "Update existing cluster to new Kubernetes version"). This is checked before
the engine runs, because a refusal in the middle of a run would leave half of the upgrade done.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def with_running_version(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the version that its cluster runs, unless environments.yaml asks for a version.

    A newer meshctl may have another default for new clusters; that must not replace the nodes of a running one.
    """
    running = _version(state)
    is_made = registry.platform(deployment.provider).cluster.made is not None
    if not running or not is_made or deployment.cluster.version_asked:
        return deployment
    cluster = deployment.cluster.model_copy(update={"version": running})
    return deployment.model_copy(update={"cluster": cluster})


def refuse_version_jump(environment: str, state: StackState, wanted: str, product: str) -> None:
    """Raises: UsageError when the cluster can't go from its version to `wanted` (like "1.34") in one step.

    `product`: what the platform calls its clusters.
    """
    running = _version(state)
    if not running or not wanted:
        return
    step = _minor(wanted) - _minor(running)
    if step < 0:
        raise UsageError(
            f"{environment} runs Kubernetes {running} and can't go back to {wanted}",
            why=f"{product} can't be downgraded",
            hint=f'set `kubernetes: {{version: "{running}"}}` in environments.yaml',
        )
    if step > 1:
        following = f"1.{_minor(running) + 1}"
        raise UsageError(
            f"{environment} runs Kubernetes {running} and can't go to {wanted} at once",
            why=f"{product} is upgraded one minor version at a time, together with its nodes and add-ons",
            hint=f'set `kubernetes: {{version: "{following}"}}` in environments.yaml, run `meshctl up'
            f" {environment}`, and go on with the next version",
        )


def _version(state: StackState) -> str:
    """The Kubernetes version of the cluster in the state; empty when there is none."""
    clusters = state.of_type(*registry.cluster_types())
    return next((str(cluster.outputs.get("version") or "") for cluster in clusters), "")


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)
