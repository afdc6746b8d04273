"""File systems that environments.yaml adopts by their ids: whether the nodes can reach them. EDGE (asks AWS).

Called by `preconditions` before each plan, `up` and `destroy`. meshctl makes the network of the environment; a file
system in another one can't be reached from its nodes.
"""

from __future__ import annotations

from meshctl.clients.aws import existing_file_systems
from meshctl.engine import pending
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, FileSystem
from meshctl.model.observed import ObservedFileSystem
from meshctl.model.stack_state import StackState


def check_reachable(deployment: Deployment, state: StackState) -> None:
    """Raises: UsageError where an adopted file system is in another network, or has ways in this one that are not
    meshctl's; and as `existing_file_systems.observed`."""
    adopted = _adopted(deployment)
    for observed in existing_file_systems.observed(deployment.profile, deployment.region, adopted):
        system, own = adopted[observed.id], own_networks(state)
        elsewhere = sorted(set(observed.mount_targets.values()) - own)
        if elsewhere:
            raise _in_other_network(deployment, system, observed, elsewhere[0], own)
        own_ids = {resource.id for resource in state.resources} | {observed.id}
        foreign = sorted(observed.mount_targets.keys() - own_ids)
        if foreign and not pending.is_interrupted(state):  # a killed run may have made one that no state has yet
            raise UsageError(
                f"{deployment.environment}: {observed.id} of storage/{system.name} has the mount target {foreign[0]} in"
                " the environment's VPC",
                why="meshctl makes one in each zone, and a zone has only one",
                hint=f"`aws efs delete-mount-target --mount-target-id {foreign[0]}`, then run the command again",
            )


def check_destroy(state: StackState) -> None:
    """Raises: UsageError where an adopted file system stands in the environment's own network, which could not be
    deleted then; and as `existing_file_systems.observed`."""
    deployed = state.deployment
    if deployed is None:
        return
    in_subnets = {id_: each for id_, each in _adopted(deployed).items() if each.service == "fsx-lustre"}
    for observed in existing_file_systems.observed(deployed.profile, deployed.region, in_subnets):
        if own_networks(state) & set(observed.mount_targets.values()):
            raise UsageError(
                f"{deployed.environment}: the adopted file system {observed.id} is in the environment's VPC",
                why="destroy deletes that VPC, which AWS refuses while the file system has network interfaces in it;"
                " nothing was deleted",
                hint="its owner must move it first: a backup of it can be restored in another VPC",
            )


def own_networks(state: StackState) -> frozenset[str]:
    """The ids of the VPCs that the resources of the state are in."""
    return frozenset(str(each.outputs["VpcId"]) for each in state.resources if each.outputs.get("VpcId"))


def _adopted(deployment: Deployment) -> dict[str, FileSystem]:
    return {system.existing.id: system for system in deployment.file_systems if system.existing is not None}


def _in_other_network(
    deployment: Deployment, system: FileSystem, observed: ObservedFileSystem, network: str, own: frozenset[str]
) -> UsageError:
    where = f"in {', '.join(sorted(own))}" if own else "in a VPC of their own, which `up` makes"
    return UsageError(
        f"{deployment.environment}: the nodes can't reach {observed.id} of storage/{system.name}: it is in {network}",
        why=f"the nodes are {where}, and file systems are reached inside their VPC",
        hint="delete its mount targets there if nothing uses them (an EFS file system has them in one VPC only); or"
        " connect both VPCs yourself, and write `nfs: ADDRESS:/` with the address of a mount target",
    )
