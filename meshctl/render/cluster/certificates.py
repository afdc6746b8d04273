"""The Certificate of a gateway, which cert-manager issues and renews. PURE.

Called by `platform`.
"""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import object_names
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

_ISSUE_S: Final = 900  # an authority that looks into the DNS zone waits until its records are everywhere


def certificate(deployment: Deployment, workload: Workload, *, needs: str) -> list[PlatformObject]:
    """The Certificate of a gateway whose certificate the platform makes; None for any other workload. `up` waits until
    it is issued."""
    if workload.certificate is None:
        return []
    values = {
        "name": object_names.certificate(workload.name),
        "namespace": deployment.namespace,
        "labels": pods.labels(deployment, workload),
        "host": workload.certificate.host,
        "issuer": workload.certificate.issuer,
        "timeout_s": str(_ISSUE_S),
    }
    (manifest,) = render("platform/certificate.yaml.j2", ("Certificate",), values)
    return [PlatformObject(f"workload/{workload.name}:certificate", manifest, wait=True, depends_on=(needs,))]
