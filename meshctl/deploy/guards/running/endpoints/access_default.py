"""The default for `access` when mesh.yaml leaves it out: an endpoint that is up stays as it is, a new one is internal.
PURE.

Called by `meshctl.project` with the endpoints that are up, which `deploy.endpoints.running_endpoints` finds out. In the
deployments that it makes, an endpoint without `access` is one that is up as public; versions up to 0.2 wrote those so
into their states.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from meshctl.errors import UsageError
from meshctl.model.deployment import Access, Deployment, Endpoint
from meshctl.model.stack_state import StackState
from meshctl.render import load_balancer


@dataclass(frozen=True)
class Running:
    """An endpoint as it is up in an environment."""

    endpoint: Endpoint
    environment: str


def undecided(deployment: Deployment) -> list[Endpoint]:
    """The endpoints of which the mesh does not say who reaches them."""
    return [endpoint for endpoint in deployment.endpoints if not endpoint.access]


def same_endpoint(endpoint: Endpoint, endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """The one that users know as `endpoint`: by name, or else by host."""
    by_name = {each.name: each for each in endpoints}
    by_host = {each.host: each for each in by_name.values()}
    return by_name.get(endpoint.name) or by_host.get(endpoint.host)


def deployed_endpoints(state: StackState, deployment: Deployment) -> tuple[Endpoint, ...]:
    """The endpoints that are up. A first `up` that was cut off may have left load balancers alone: a public one says
    that the endpoints of its workload in `deployment` are public."""
    if state.deployment is not None:
        return state.deployment.endpoints
    names = {resource.name for resource in state.resources}
    return tuple(e for e in undecided(deployment) if load_balancer(e.workload, is_internal=False) in names)


def decided(deployment: Deployment, running: Mapping[str, Running | None]) -> Deployment:
    """The deployment with its endpoints as they are to be. `running`: by the name of each undecided endpoint.

    Raises: UsageError where the mesh no longer says which networks reach an endpoint that only some may reach.
    """
    endpoints = tuple(
        each.model_copy(update={"access": _access(each, running[each.name])}) if each.name in running else each
        for each in deployment.endpoints
    )
    return deployment.model_copy(update={"endpoints": endpoints})


def _access(endpoint: Endpoint, running: Running | None) -> Access:
    if running is None:
        return "internal"
    cidrs = ", ".join(running.endpoint.cidrs)
    if cidrs:
        raise UsageError(
            f"the mesh no longer says who may reach the endpoint {endpoint.name}",
            why=f"in {running.environment} only {cidrs} may, and mesh.yaml no longer says whether that still applies",
            hint=f"write into endpoints.{endpoint.name} `access: public` and `cidrs: [{cidrs}]`, or `access: internal`",
        )
    return running.endpoint.access


def notes(deployment: Deployment, running: Mapping[str, Running | None]) -> list[str]:
    """What a plan says of them. `deployment` and `running`: after and for `decided`."""
    return [_note(each, running[each.name]) for each in deployment.endpoints if each.name in running]


def _note(endpoint: Endpoint, running: Running | None) -> str:
    kind = "internal" if endpoint.is_internal else "public"
    why = f"stays {kind}, as it is {kind} in {running.environment}" if running else "becomes internal, as it is new"
    return (
        f"endpoint/{endpoint.name}: the mesh does not say who may reach {endpoint.host}; the endpoint {why}: add"
        " `access: internal` or `access: public` to it"
    )
