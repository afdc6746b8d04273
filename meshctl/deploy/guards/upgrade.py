"""What stays as it is up where the files ask for nothing else, and the way between Kubernetes versions. PURE.

Called by `session` and for migrations, before anything runs. A managed control plane goes up one minor version at a
time and never down (EKS user guide, "Update existing cluster to new Kubernetes version"); refused in the middle of a
run, half of it would be changed.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model import pod_users
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def kept(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with what is up already and a newer meshctl would decide otherwise: the version of its cluster,
    where environments.yaml asks for none (no reason to replace its nodes), and the user of pods (no reason to roll
    them)."""
    return _with_kept_version(pod_users.as_it_is_up(deployment, state.deployment), state)


def _with_kept_version(deployment: Deployment, state: StackState) -> Deployment:
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
