"""Who reaches an endpoint, where that is more than the mesh says or less than it seems, and who makes its certificate.
PURE.

Called by `meshctl.resolve` for the notes of `check`, which does not know what is up, and by `meshctl.deploy.runs.plans`
for those of a plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshctl.model.deployment import Endpoint
from meshctl.model.keys.source_networks import EVERYWHERE
from meshctl.platforms import registry

_OPEN = "nothing in front of it asks for credentials"


def notes_of_mesh(provider: str, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    """Of endpoints as the mesh has them: without `access`, it depends on what is up."""
    for endpoint in endpoints:
        if endpoint.certificate is not None:
            yield (
                f"endpoint/{endpoint.name}: {provider} makes the certificate of {endpoint.host} and renews it; `up`"
                f" writes the record that proves the host into the zone {endpoint.certificate.zone}, and the load"
                " balancer ends TLS"
            )
        if endpoint.access:
            yield from notes(provider, (endpoint,))
        else:
            yield (
                f"endpoint/{endpoint.name}: the mesh does not say who may reach {endpoint.host}: it becomes internal in"
                " an environment where it is new, and keeps its access where it is up; add `access: internal` or"
                " `access: public`"
            )


def notes(provider: str, endpoints: Iterable[Endpoint]) -> Iterator[str]:
    """Of the endpoints of a deployment on the platform `provider`, where one without `access` is public."""
    tells_access = registry.platform(provider).load_balancers.tell_access
    for endpoint in endpoints:
        subject = f"endpoint/{endpoint.name}: {endpoint.host}"
        if not endpoint.is_internal:
            yield f"{subject} {_public(endpoint)}"
        elif not tells_access:
            yield (
                f"{subject} has the same load balancer as a public endpoint would have: the cluster's own settings"
                " decide who reaches its address"
            )


def _public(endpoint: Endpoint) -> str:
    if endpoint.cidrs and EVERYWHERE not in endpoint.cidrs:
        return f"is public for {', '.join(endpoint.cidrs)}, and {_OPEN}"
    return f"is public, and {_OPEN}; `cidrs: [203.0.113.0/24]` would let in this network alone"
