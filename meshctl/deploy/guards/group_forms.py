"""Groups of pods that are up keep the form in which they came up. PURE.

Called by `running_pods`. A cluster that gets a controller for groups (LeaderWorkerSet) later is no reason to replace
groups that run as StatefulSets: with the controller each would have other objects and other names.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState


def with_running_form(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment without the controller, where its groups are up without it. A cluster that has lost its controller
    has lost with it what that kept, so nothing is up in that form then."""
    before = state.deployment
    if before is None or not deployment.has_group_controller or before.has_group_controller:
        return deployment
    groups_before = {workload.name for workload in before.workloads if workload.is_grouped}
    is_up = any(workload.is_grouped and workload.name in groups_before for workload in deployment.workloads)
    return deployment.model_copy(update={"has_group_controller": False}) if is_up else deployment
