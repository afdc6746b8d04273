"""What a plan says of certificates that the platform makes for its load balancers. PURE.

Called by `meshctl.deploy.runs.plans` for `group`.
"""

from __future__ import annotations

from meshctl.changes.field_change import FieldChange
from meshctl.model.deployment import Deployment, Endpoint

CERTIFICATE = "certificate"


def declared(old: Deployment | None, new: Deployment) -> dict[str, tuple[FieldChange, ...]]:
    """By subject: the endpoints that get a certificate, lose it, or have it for another host. The resources that stand
    for it do not say this."""
    before = {endpoint.name: _words(endpoint) for endpoint in old.endpoints} if old else {}
    changes = [(endpoint.name, before.get(endpoint.name), _words(endpoint)) for endpoint in new.endpoints]
    return {f"endpoint/{name}": (FieldChange(CERTIFICATE, was, now),) for name, was, now in changes if was != now}


def _words(endpoint: Endpoint) -> str | None:
    if endpoint.certificate is None:
        return None
    return f"for {endpoint.host}, proven in {endpoint.certificate.zone}"
