"""Gangs of pods of which all start or none, and what holds them until all can. PURE.

Decided by `meshctl.resolve.work.gang_holds`; read by `render`, which gives the pods a scheduling gate, and by all that
say why a gang waits. The gate is taken away by `templates/gang_hold`, which has these names again, as it runs alone.
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.pods import object_names
from meshwire.marks import GANG_WAITS

GATE: Final = "meshctl.dev/gang"
GANG: Final = "meshctl.dev/gang"  # the annotation of a pod with the name of its gang
SIZE: Final = "meshctl.dev/gang-size"
WAITS: Final = GANG_WAITS  # what the gang waits for, in words
PROGRAM: Final = object_names.GANG_HOLD


def is_gang(workload: Workload) -> bool:
    """Whether it is one gang, as training on several nodes is."""
    return workload.kind == "training" and workload.replicas > 1


def starts_together(workload: Workload) -> bool:
    """Whether the pods of each of its gangs, or groups, are to start together: of use only with all of them."""
    return is_gang(workload) or workload.is_grouped


def grows_for_waiting_pods(pool: Pool) -> bool:
    """Whether an autoscaler makes the pool larger for pods that find no node. Those with a gate don't count for it."""
    return pool.nodes_max > pool.nodes_min


def has_program(deployment: Deployment) -> bool:
    """Whether the program that releases gangs is to be in the cluster."""
    return any(workload.held_together for workload in deployment.workloads)


def program_is_needed(deployment: Deployment) -> bool:
    """Whether it has something to do: a gang, or groups, that are to have pods."""
    return any(workload.held_together and workload.runs for workload in deployment.workloads)
