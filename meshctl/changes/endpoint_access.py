"""What a plan says of endpoints that become internal or public. PURE.

Called by `meshctl.deploy.plans`, and by `meshctl.deploy.preview` for their addresses. A load
balancer that is reached from outside can't become one that is not, so the endpoint gets another one.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.changes.fields import LATER
from meshctl.model.deployment import Deployment, Endpoint


def notes(before: Deployment | None, deployment: Deployment) -> tuple[str, ...]:
    """One for each endpoint whose `access` changes. `before`: what is deployed."""
    return tuple(_note(endpoint, deployment) for endpoint in _changed(before, deployment))


def addresses_after(before: Deployment | None, deployment: Deployment, addresses: Mapping[str, str]) -> dict[str, str]:
    """The addresses by endpoint after an `up`. `addresses`: those of now, which an endpoint that gets another load
    balancer loses."""
    changed = {endpoint.name for endpoint in _changed(before, deployment)}
    return {name: LATER if name in changed else address for name, address in addresses.items()}


def _changed(before: Deployment | None, deployment: Deployment) -> list[Endpoint]:
    was_internal = {endpoint.name: endpoint.is_internal for endpoint in (before.endpoints if before else ())}
    return [e for e in deployment.endpoints if was_internal.get(e.name, e.is_internal) != e.is_internal]


def _note(endpoint: Endpoint, deployment: Deployment) -> str:
    siblings = [other for other in deployment.endpoints if other.workload == endpoint.workload]
    others = [other for other in siblings if other.is_internal != endpoint.is_internal]
    now, old = ("internal", "public") if endpoint.is_internal else ("public", "internal")
    end = f"; the {old} one stays, as {others[0].name} uses it" if others else f", and the {old} one is removed"
    return (
        f"endpoint/{endpoint.name}: becomes {now}: it gets another load balancer with another address{end}."
        f" `up` then changes the DNS record of {endpoint.host}; requests fail until clients see the new record"
    )
