"""Node groups on AWS: zones, images, taints, what a spread placement group takes. PURE.

Part of the platform (`meshctl.platforms.aws`); called by `meshctl.resolve.placement.pools` through it.
"""

from __future__ import annotations

from typing import Final

from meshctl.catalog import Machine
from meshctl.model.deployment import Gap, Pool, Taint
from meshctl.platforms.aws.environment import AwsEnvironment
from meshctl.words import pluralize

# At most so many running instances of one group in one zone. Source: EC2 user guide, placement strategies, spread.
_SPREAD_PER_ZONE: Final = 7
# Only where the mesh has nodes without GPUs, too: otherwise the cluster's add-ons must run on the GPU nodes.
GPU_TAINTS: Final = (Taint(key="nvidia.com/gpu", value="present", effect="NoSchedule"),)


def zones(environment: AwsEnvironment, in_one_zone: bool) -> tuple[str, ...]:  # noqa: FBT001 (the interface's own)
    return environment.zones[:1] if in_one_zone else environment.zones


def image(machine: Machine) -> str:
    """The AMI type of a managed node group."""
    architecture = "ARM_64" if machine.arch == "arm64" else "x86_64"
    return f"AL2023_{architecture}_{'NVIDIA' if machine.gpu_model else 'STANDARD'}"


def too_spread(pool: Pool) -> tuple[Gap, ...]:
    """A gap if a spread placement group can't take so many nodes. A pool in a reservation has no placement group, for
    the reservation has a placement of its own."""
    zones = len(pool.zones)
    most = _SPREAD_PER_ZONE * zones
    spread = pool.fabric is not None and pool.fabric.placement == "spread" and not pool.reservation
    if not spread or pool.nodes <= most:
        return ()
    gap = Gap(
        subject=f"pool/{pool.name}",
        wanted=f"{pool.nodes} nodes in a spread placement group",
        best=f"{most} nodes: {_SPREAD_PER_ZONE} in each of {pluralize(zones, 'zone')}",
        hint=f"lower the pool's nodes to {most}, add zones, or set the fabric's placement to any",
    )
    return (gap,)
