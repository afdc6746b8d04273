"""Which Kubernetes version a cluster that meshctl makes is to have, and whether there is a way to it. PURE.

Called by `session` and for migrations, before anything runs. A managed control plane goes up one minor version at a
time and never down (EKS user guide, "Update existing cluster to new Kubernetes version"); refused in the middle of a
run, half of it would be changed.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def with_running_version(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the version that its cluster has, where environments.yaml asks for none: what a new meshctl
    takes for a new cluster is no reason to replace the nodes of one that is up."""
    there = _version(state)
    is_made = registry.platform(deployment.provider).cluster.made is not None
    if not there or not is_made or deployment.cluster.version_asked:
        return deployment
    cluster = deployment.cluster.model_copy(update={"version": there})
    return deployment.model_copy(update={"cluster": cluster})


def refuse_version_jump(environment: str, state: StackState, wanted: str, product: str) -> None:
    """`wanted` is like "1.34"; `product` what the platform calls its clusters.

    Raises: UsageError for what it can't do in one step.
    """
    there = _version(state)
    if not there or not wanted:
        return
    step = _minor(wanted) - _minor(there)
    if step < 0:
        raise UsageError(
            f"{environment} runs Kubernetes {there} and can't go back to {wanted}",
            why=f"{product} has no way to an older version",
            hint=f'say `kubernetes: {{version: "{there}"}}` in environments.yaml',
        )
    if step > 1:
        following = f"1.{_minor(there) + 1}"
        raise UsageError(
            f"{environment} runs Kubernetes {there} and can't go to {wanted} at once",
            why=f"{product} goes up one minor version at a time, nodes and add-ons with it",
            hint=f'say `kubernetes: {{version: "{following}"}}`, run `meshctl up {environment}`, then the next one',
        )


def _version(state: StackState) -> str:
    """That of the state's cluster; empty where there is none."""
    clusters = state.of_type(*registry.cluster_types())
    return next((str(cluster.outputs.get("version") or "") for cluster in clusters), "")


def _minor(version: str) -> int:
    return int(version.partition(".")[2] or 0)
