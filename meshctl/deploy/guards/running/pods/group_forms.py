"""Groups of pods that are up keep the form in which they came up. PURE.

Called by `running_pods`. A cluster that gets a controller for groups (LeaderWorkerSet) later is no reason to replace
groups that run as StatefulSets: with the controller each would have other objects and other names.
"""

from __future__ import annotations

from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState


def with_running_form(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment without the controller, where its groups are up without it. A cluster that has lost its controller
    has lost with it what that kept, so nothing is up in that form then. Raises: UsageError."""
    before = state.deployment
    if before is None or not deployment.has_group_controller or before.has_group_controller:
        return deployment
    groups_before = {workload.name for workload in before.workloads if workload.is_grouped}
    is_up = any(workload.is_grouped and workload.name in groups_before for workload in deployment.workloads)
    if not is_up:
        return deployment
    _refuse_ranges(deployment, groups_before)
    return deployment.model_copy(update={"has_group_controller": False})


def _refuse_ranges(deployment: Deployment, groups_before: set[str]) -> None:
    """Raises: UsageError for groups that are to follow load and are up in a form that has a fixed number of them."""
    for workload in (each for each in deployment.workloads if each.is_grouped and each.has_range):
        raise UsageError(
            f"workload/{workload.name} can't follow load yet",
            why="the groups of this mesh run as StatefulSets, from before the cluster had LeaderWorkerSet: their number"
            " is fixed",
            hint=f"write a number of `replicas`; or take {', '.join(sorted(groups_before))} out of mesh.yaml, run"
            f" `meshctl up {deployment.environment}`, and put it in again",
        )
