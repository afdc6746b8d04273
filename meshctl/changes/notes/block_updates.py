"""What a plan says of pools in capacity blocks whose nodes it replaces: all old nodes are deleted first. PURE.

Called by `meshctl.deploy.runs.plans`. A block has no room for new nodes beside those that are up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.changes.steps import Step, subject_of
from meshctl.model.deployment import Deployment

_REPLACE_NODES: Final = ("launchTemplate", "version", "releaseVersion")  # of a node group


def notes(before: Deployment | None, deployment: Deployment, steps: Iterable[Step]) -> list[str]:
    """`before`: what is deployed."""
    had_nodes = {pool.name for pool in before.pools if pool.nodes_now} if before else set()
    subjects = {subject_of(step.urn) for step in steps if _replaces_nodes(step)}
    return [
        f"pool {pool.name}: its nodes are in a capacity block, which has no room for new ones beside them: all of them"
        " go before the change, and its workloads stand still until the new ones are up"
        for pool in deployment.pools
        if pool.market == "capacity-block" and pool.name in had_nodes and f"pool/{pool.name}" in subjects
    ]


def _replaces_nodes(step: Step) -> bool:
    return step.action == "update" and any(change.path.startswith(_REPLACE_NODES) for change in step.properties)
