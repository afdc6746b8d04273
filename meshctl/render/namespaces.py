"""The mesh's namespace: its own, or one that somebody else made. PURE. Called by `platform`.

A namespace takes all in it with it when it is deleted, claims of others too: see `deploy.guards.namespaces`.
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render


def namespace(deployment: Deployment, name: str, manifest: dict[str, Any]) -> PlatformObject:
    """`name`: the logical one; `manifest`: of a namespace of meshctl's own. One that holds adopted claims stays. Of one
    that somebody else made, only a label is ours."""
    if deployment.namespace_is_given:
        values = {"name": deployment.namespace, "environment": deployment.environment}
        (label,) = render("platform/namespace-label.yaml.j2", ("Namespace",), values)
        return PlatformObject(name, label, patch=True)
    # waited for, so that `destroy` ends when the namespace and all in it are gone
    return PlatformObject(name, manifest, wait=True, retain=bool(deployment.adopted_claims))
