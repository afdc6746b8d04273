"""What of an environment is there, by its state: pools whose nodes came up, subnets, resources of each type. PURE.

Called by `preflight` and `running_zones`. A run that failed has declared its pools, too; one whose nodes never came up
may go elsewhere.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Final

from meshctl.model.deployment import Subnet
from meshctl.model.questions import InPlace
from meshctl.model.stack_state import Resource, StackState

_IS_SUBNET: Final = {"AvailabilityZone", "CidrBlock"}  # inputs of the EC2 API that only a subnet has together


def in_place(state: StackState) -> InPlace:
    real = [resource for resource in state.resources if resource.is_real]
    by_subject: dict[str, list[Resource]] = {}
    for resource in real:
        by_subject.setdefault(resource.subject, []).append(resource)
    declared = state.deployment.pools if state.deployment else ()
    pools = tuple(pool for pool in declared if _came_up(by_subject.get(f"pool/{pool.name}", [])))
    subnets = tuple(_subnet(resource) for resource in real if resource.inputs.keys() >= _IS_SUBNET)
    made = InPlace(pools, Counter(resource.type for resource in real), subnets)
    if state.deployment is None:
        return made
    return replace(made, maker=state.deployment.cluster.maker, admins=state.deployment.cluster.admins)


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
    failed = [each for each in resources if each.init_errors or each.outputs.get("status") == "CREATE_FAILED"]
    return bool(resources) and not failed and any("status" in each.outputs for each in resources)
