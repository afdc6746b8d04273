"""Whether the mesh's namespace is meshctl's own: a namespace that is deleted takes every claim in it along. PURE.

Called by `running_pods` before anything is declared, and by `teardown`. A claim that environments.yaml adopts is in the
mesh's namespace, so that this is there before the first `up`: it is then used and left to its owner. Where meshctl had
made the namespace before a claim in it was adopted, it stays meshctl's, and a `destroy` leaves it with the claim.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import NAMESPACE, NAMESPACE_PATCH
from meshctl.model.stack_state import StackState


def as_it_is_up(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment in the namespace that the first `up` made or found, whatever is adopted since."""
    if state.of_type(NAMESPACE):
        return deployment.model_copy(update={"namespace_is_given": False})
    if state.of_type(NAMESPACE_PATCH):
        return deployment.model_copy(update={"namespace_is_given": True})
    return deployment


def retained(state: StackState) -> frozenset[str]:
    """The URN of a namespace that meshctl made and must not delete, since it holds adopted claims."""
    return frozenset(resource.urn for resource in state.of_type(NAMESPACE) if resource.is_retained)


def stays(state: StackState) -> bool:
    """Whether the namespace outlives the environment."""
    return bool(retained(state) or state.of_type(NAMESPACE_PATCH))
