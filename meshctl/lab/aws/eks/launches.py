"""Instances that start one by one, as long as the account and EC2 let them. PURE.

Called by `launching`. A node group starts its first type where it can, and the others in their order where it can't
("Managed node group capacity types", EKS user guide: On-Demand instances take the prioritized allocation strategy).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from meshctl.lab.aws.ec2 import instance_types
from meshctl.lab.aws.eks import launch_rules
from meshctl.lab.aws.eks.launch_rules import Issue, Launch


@dataclass
class Room:
    """What the account and EC2 have at the moment for one node group; each instance that starts takes its part.

    `free_addresses`: of the group's subnets together. `reservations`: of the region, by id, with what is left of them.
    `vcpus`: in use, by the code of their quota. `quota`: the quota of a code. `machines`: how many EC2 has left of the
    types that are scarce.
    """

    security_groups: frozenset[str]
    free_addresses: int
    reservations: Mapping[str, dict[str, Any]]
    vcpus: Counter[str]
    quota: Callable[[str], float]
    machines: dict[str, int]
    has_spot_role: bool

    def issue(self, launch: Launch) -> Issue | None:
        """Why the instances of the first type of `launch` will not start; None where they will."""
        quota = instance_types.vcpu_quota(launch.types[0], spot=launch.spot)
        return launch_rules.launch_issue(
            launch,
            security_groups=self.security_groups,
            free_addresses=self.free_addresses,
            reservations=self.reservations,
            vcpus_in_use=self.vcpus[quota] - self._reserved_vcpus(launch),
            vcpu_quota=self.quota(quota),
            has_spot_role=self.has_spot_role,
            machines=self.machines.get(launch.types[0]),
        )

    def take(self, launch: Launch) -> None:
        machine = launch.types[0]
        self.free_addresses -= launch.nodes
        self.vcpus[instance_types.vcpu_quota(machine, spot=launch.spot)] += launch.vcpus - self._reserved_vcpus(launch)
        if machine in self.machines:
            self.machines[machine] -= launch.nodes
        if launch.reservation_id in self.reservations:
            self.reservations[launch.reservation_id]["AvailableInstanceCount"] -= launch.nodes

    def _reserved_vcpus(self, launch: Launch) -> int:
        """Those of its instances that count already, since an active reservation on demand keeps them for it."""
        reservation = self.reservations.get(launch.reservation_id, {"State": ""})
        if launch.is_of_block or reservation["State"] != "active":
            return 0
        return min(launch.nodes, max(int(reservation["AvailableInstanceCount"]), 0)) * instance_types.vcpus(
            launch.types[0]
        )


def start(launch: Launch, room: Room) -> tuple[list[str], Issue | None]:
    """The types of the instances that start, of the `nodes` of `launch`, and why the next one does not."""
    if not launch.nodes:
        return [], room.issue(launch)
    started: list[str] = []
    while len(started) < launch.nodes:
        chosen, issue = _next(launch, room)
        if not chosen:
            return started, issue
        started.append(chosen)
    return started, None


def _next(launch: Launch, room: Room) -> tuple[str, Issue | None]:
    """The type of the next instance; "" where none starts, and what EC2 said of the first type."""
    first: Issue | None = None
    for machine in launch.types:
        one = replace(launch, types=(machine,), nodes=1)
        issue = room.issue(one)
        if issue is None:
            room.take(one)
            return machine, None
        first = first or issue
    return "", first
