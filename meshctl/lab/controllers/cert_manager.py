"""cert-manager, as far as the lab plays it: Certificates of the ClusterIssuer `lab` are issued at once. EDGE.

Run for the given clusters, where users have installed it. The authority's own certificate is in
`<root>/certificates/authority.pem`. A Certificate of any other issuer waits for it, as the real one says. Source of
kinds, conditions and keys: cert-manager.io, reference/api-docs, and docs/usage/certificate.
"""

from __future__ import annotations

import asyncio
import base64
import datetime
from importlib import resources
from pathlib import Path
from typing import Any, Final

import yaml

from meshctl.lab.controllers import authority
from meshctl.lab.controllers.changes import following
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

ISSUER: Final = "lab"
START_EVERY_S: Final = 0.3
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_GROUP: Final = "/apis/cert-manager.io/v1"
CERTIFICATES: Final = f"{_GROUP}/certificates"
_ISSUERS: Final = f"{_GROUP}/clusterissuers"
Object = dict[str, Any]


async def play(lab: Lab, client: AsyncClient) -> None:
    """Issue what is asked for, for ever."""
    texts = resources.files(__package__).joinpath("cert-manager-crds.yaml").read_text()
    for definition in yaml.safe_load_all(texts):
        await api.ensure(client, _DEFINITIONS, definition)
    while not await _are_served(client):
        await asyncio.sleep(START_EVERY_S)
    issuer = {"apiVersion": "cert-manager.io/v1", "kind": "ClusterIssuer", "metadata": {"name": ISSUER}}
    await api.ensure(client, _ISSUERS, {**issuer, "spec": {"ca": {"secretName": "lab-authority"}}})
    async with following(client, [CERTIFICATES]) as changes:
        while True:
            for certificate in await api.items(client, CERTIFICATES):
                await _issue(lab.root / "certificates", client, certificate)
            await changes.wait()


async def _are_served(client: AsyncClient) -> bool:
    try:
        await api.items(client, CERTIFICATES)
        await api.items(client, _ISSUERS)
    except ApiError:
        return False
    return True


async def _issue(folder: Path, client: AsyncClient, certificate: Object) -> None:
    spec, metadata = certificate["spec"], certificate["metadata"]
    issuer = spec["issuerRef"]["name"]
    if issuer != ISSUER:
        message = f'Referenced "ClusterIssuer" not found: clusterissuer.cert-manager.io "{issuer}" not found'
        await _report(client, certificate, ready=False, reason="Pending", message=message)
        return
    if _is_ready(certificate):
        return
    issued = await asyncio.to_thread(authority.issue, folder, tuple(spec["dnsNames"]))
    data = {"tls.crt": issued.chain, "tls.key": issued.key}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": spec["secretName"]},
        "type": "kubernetes.io/tls",
        "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
    }
    await api.ensure(client, f"/api/v1/namespaces/{metadata['namespace']}/secrets", secret)
    message = "Certificate is up to date and has not expired"
    await _report(client, certificate, ready=True, reason="Ready", message=message)


def _is_ready(certificate: Object) -> bool:
    """Whether the Certificate, as it is declared now, is issued. After a change it is issued anew."""
    generation = certificate["metadata"].get("generation", 1)
    return any(
        each["type"] == "Ready" and each["status"] == "True" and each.get("observedGeneration") == generation
        for each in certificate.get("status", {}).get("conditions", [])
    )


async def _report(client: AsyncClient, certificate: Object, *, ready: bool, reason: str, message: str) -> None:
    """Write the condition, if it differs from the present one: every write wakes this controller again."""
    generation = certificate["metadata"].get("generation", 1)
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "reason": reason,
        "message": message,
        "observedGeneration": generation,  # a field of CertificateCondition in cert-manager's API
    }
    (present,) = certificate.get("status", {}).get("conditions", []) or [{}]
    if {key: present.get(key) for key in condition} == condition:
        return
    condition["lastTransitionTime"] = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = certificate["metadata"]
    path = f"{_GROUP}/namespaces/{metadata['namespace']}/certificates/{metadata['name']}/status"
    await api.patch(client, path, {"status": {"conditions": [condition]}})
