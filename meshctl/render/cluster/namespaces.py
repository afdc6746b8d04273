"""The mesh's namespace: its own, or one that somebody else made. PURE. Called by `platform`.

A namespace takes all in it with it when it is deleted, claims of others too: see `deploy.guards.namespaces`.
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render


def namespace(deployment: Deployment, name: str, manifest: dict[str, Any]) -> PlatformObject:
    """The mesh's namespace. If it holds adopted claims, it outlives the mesh; if somebody else made it, meshctl only
    sets a label. `name`: the logical name; `manifest`: what meshctl makes where the namespace is its own."""
    if deployment.namespace_is_given:
        values = {"name": deployment.namespace, "environment": deployment.environment}
        (label,) = render("platform/namespace-label.yaml.j2", ("Namespace",), values)
        return PlatformObject(name, label, patch=True)
    # waited for, so that `destroy` ends when the namespace and all in it are gone
    return PlatformObject(name, manifest, wait=True, retain=bool(deployment.adopted_claims))
