"""What a plan says of endpoints that get another load balancer: of other access, or of another workload. PURE.

Called by `meshctl.deploy.runs.plans`, and by `meshctl.deploy.runs.preview` for their addresses. A load
balancer that is reached from outside can't become one that is not, so the endpoint gets another one.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.changes.field_change import LATER
from meshctl.model.deployment import Deployment, Endpoint


def notes(before: Deployment | None, deployment: Deployment) -> tuple[str, ...]:
    """One for each endpoint whose load balancer changes. `before`: what is deployed."""
    old_endpoints = {endpoint.name: endpoint for endpoint in (before.endpoints if before else ())}
    return tuple(
        _access_note(endpoint, deployment)
        if old_endpoints[endpoint.name].is_internal != endpoint.is_internal
        else _workload_note(endpoint, old_endpoints[endpoint.name])
        for endpoint in _changed(before, deployment)
    )


def addresses_after(before: Deployment | None, deployment: Deployment, addresses: Mapping[str, str]) -> dict[str, str]:
    """The addresses by endpoint after an `up`. `addresses`: those of now, which an endpoint that gets another load
    balancer loses."""
    changed = {endpoint.name for endpoint in _changed(before, deployment)}
    return {name: LATER if name in changed else address for name, address in addresses.items()}


def _changed(before: Deployment | None, deployment: Deployment) -> list[Endpoint]:
    balancers = {endpoint.name: _balancer(endpoint) for endpoint in (before.endpoints if before else ())}
    return [e for e in deployment.endpoints if balancers.get(e.name, _balancer(e)) != _balancer(e)]


def _balancer(endpoint: Endpoint) -> tuple[str, bool]:
    """What tells load balancers apart."""
    return endpoint.workload, endpoint.is_internal


def _workload_note(endpoint: Endpoint, before: Endpoint) -> str:
    return (
        f"endpoint/{endpoint.name}: leads to {endpoint.workload} and no longer to {before.workload}: it gets another"
        f" load balancer with another address. `up` then changes the DNS record of {endpoint.host}; requests fail"
        " until clients see the new record"
    )


def _access_note(endpoint: Endpoint, deployment: Deployment) -> str:
    siblings = [other for other in deployment.endpoints if other.workload == endpoint.workload]
    others = [other for other in siblings if other.is_internal != endpoint.is_internal]
    now, old = ("internal", "public") if endpoint.is_internal else ("public", "internal")
    end = f"; the {old} one stays, as {others[0].name} uses it" if others else f", and the {old} one is removed"
    return (
        f"endpoint/{endpoint.name}: becomes {now}: it gets another load balancer with another address{end}."
        f" `up` then changes the DNS record of {endpoint.host}; requests fail until clients see the new record"
    )
