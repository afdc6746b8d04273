"""Which nodes a load balancer asks: those of new endpoints only nodes with ready pods of their workload. PURE.

Called by `running_pods`. Where a platform's load balancers have every node as a target (`LoadBalancers.through_nodes`),
a node that goes cuts the requests that pass through it, also one of another pool without a pod of the workload. A load
balancer that is up keeps its setting: its targets would leave it all at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl import render
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry

_LOCAL: Final = "Local"


def with_own_nodes(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment whose endpoints say which nodes their load balancers ask."""
    if not deployment.endpoints or not registry.platform(deployment.provider).load_balancers.through_nodes:
        return deployment
    specs = {resource.name: resource.inputs.get("spec") or {} for resource in state.resources if resource.is_real}
    endpoints = tuple(_endpoint(endpoint, specs) for endpoint in deployment.endpoints)
    return deployment.model_copy(update={"endpoints": endpoints})


def _endpoint(endpoint: Endpoint, specs: Mapping[str, Mapping[str, Any]]) -> Endpoint:
    spec_up = specs.get(render.load_balancer(endpoint.workload, is_internal=endpoint.is_internal))
    is_local = spec_up is None or spec_up.get("externalTrafficPolicy") == _LOCAL
    return endpoint.model_copy(update={"own_nodes_only": is_local})
