"""What of an environment is there, by its state: pools whose nodes came up, subnets, resources of each type. PURE.

Called by `preflight` and the guards of what is up. A run that failed has declared its pools, too; one whose nodes never
came up may go elsewhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from meshctl.model.deployment import Deployment, Pool, Subnet
from meshctl.model.questions import InPlace
from meshctl.model.resource_types import WEKA_CLUSTER
from meshctl.model.stack_state import Resource, StackState

_CREATE_FAILED: Final = "CREATE_FAILED"
# What a group of nodes says only after it has come up once. EKS calls one degraded that did not get all nodes when it
# grew (containers-roadmap issue 2326); one that gets none when it is made has failed.
_ONCE_UP: Final = ("ACTIVE", "UPDATING", "DEGRADED")
_IS_SUBNET: Final = {"AvailabilityZone", "CidrBlock"}  # inputs of the EC2 API that only a subnet has together


def in_place(state: StackState) -> InPlace:
    real = [resource for resource in state.resources if resource.is_real]
    by_subject: dict[str, list[Resource]] = {}
    for resource in real:
        by_subject.setdefault(resource.subject, []).append(resource)
    declared = _declared(state, by_subject)
    pools = tuple(pool for pool in declared if _came_up(by_subject.get(f"pool/{pool.name}", [])))
    subnets = tuple(_subnet(resource) for resource in real if resource.inputs.keys() >= _IS_SUBNET)
    begun = tuple(pool for pool in declared if pool not in pools and _is_there(by_subject.get(f"pool/{pool.name}", [])))
    made = InPlace(pools, Counter(resource.type for resource in real), subnets, begun=begun)
    last = last_run(state)
    return replace(made, maker=last.cluster.maker, admins=last.cluster.admins) if last is not None else made


def last_run(state: StackState) -> Deployment | None:
    """What the last run declared; of a first one that was killed, what it was about to make."""
    return state.deployment or state.begun


def with_formed_storage(state: StackState) -> Deployment | None:
    """What the last run declared. Where a killed one has made a WEKA cluster, with its layout, which can't change."""
    up, begun = state.deployment, state.begun
    if begun is None or begun.neural_mesh is None or not _has_weka_cluster(state):
        return up
    if up is None:
        return begun
    is_formed_before = up.neural_mesh is not None and up.neural_mesh.joined is None
    return up if is_formed_before else up.model_copy(update={"neural_mesh": begun.neural_mesh})


def _has_weka_cluster(state: StackState) -> bool:
    """Also where a run was killed while it waited for one."""
    pending = (operation.resource for operation in state.pending_operations)
    return any(resource.type == WEKA_CLUSTER for resource in (*state.resources, *pending))


def _declared(state: StackState, by_subject: Mapping[str, list[Resource]]) -> tuple[Pool, ...]:
    """The pools of the last run. One that a killed run has made is as that run decided, also where an earlier one had
    declared it with other machines."""
    pools = {pool.name: pool for pool in state.deployment.pools} if state.deployment else {}
    for pool in state.begun.pools if state.begun else ():
        before = pools.get(pool.name)
        if before is None or _is_made_as(pool, before, by_subject.get(f"pool/{pool.name}", [])):
            pools[pool.name] = pool
    return tuple(pools.values())


def _is_made_as(pool: Pool, before: Pool, resources: list[Resource]) -> bool:
    machines = {name for each in resources for name in each.inputs.get("instanceTypes") or ()}
    return pool.machine != before.machine and pool.machine in machines


def _subnet(resource: Resource) -> Subnet:
    """As the stack declares it: `network:subnet-private-b`."""
    inputs = resource.inputs
    return Subnet(
        name=resource.name.partition(":subnet-")[2],
        zone=str(inputs["AvailabilityZone"]),
        cidr=str(inputs["CidrBlock"]),
        public=bool(inputs.get("MapPublicIpOnLaunch")),
    )


def _came_up(resources: list[Resource]) -> bool:
    """A run that stopped while it waited for an update leaves an error, too: the nodes are up all the same."""
    failed = [each for each in resources if each.init_errors and each.outputs.get("status") not in _ONCE_UP]
    return _is_there(resources) and not failed


def _is_there(resources: list[Resource]) -> bool:
    """Whether there is a group of nodes, which may still wait for some of them."""
    statuses = [each.outputs["status"] for each in resources if "status" in each.outputs]
    return bool(statuses) and _CREATE_FAILED not in statuses
