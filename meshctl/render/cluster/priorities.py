"""How important the pods of a mesh are to each other, for Kubernetes' scheduler: its PriorityClasses. PURE.

Called by `platform`, which prints them by `templates/platform/base.yaml.j2`.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment
from meshctl.model.keys import lending
from meshctl.render.controllers.lent_servers import LENT

# What serves users goes before what can be repeated; training never pushes others out. What serves on nodes of others
# is the first to go there, and pushes nobody out: its least replicas are on its own pool.
_VALUES: Final = {"inference": 100_000, "service": 90_000, "training": 50_000, "batch": 10_000, LENT: 5_000}
_PUSH_OUT: Final = ("inference", "service")


def priorities(deployment: Deployment) -> list[dict[str, Any]]:
    """The values of the template for each class that the mesh needs, in the order of their names."""
    kinds = {str(workload.kind) for workload in deployment.workloads}
    kinds |= {LENT for workload in deployment.workloads if lending.serves_on_lent_nodes(workload)}
    return [_priority(deployment.mesh, kind) for kind in sorted(kinds)]


def _priority(mesh: str, kind: str) -> dict[str, Any]:
    of_kind = f"{kind} workloads of the mesh {mesh}"
    return {
        "name": f"{mesh}-{kind}",
        "value": _VALUES[kind],
        "preemption": "PreemptLowerPriority" if kind in _PUSH_OUT else "Never",
        "description": f"replicas of the mesh {mesh} on nodes that other pools lend" if kind == LENT else of_kind,
    }
