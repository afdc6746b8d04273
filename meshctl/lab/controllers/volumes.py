"""Storage provisioners: claims -> volumes, which are folders of the lab. EDGE.

Plays every dynamic provisioner that the lab's clusters have a class of. A class with `WaitForFirstConsumer` is served
once the scheduler has chosen a node. On EKS the drivers of FSx and EFS make no file systems: their controllers have no
role, and out of reach of the instance metadata FSx's does not know its region either (aws-fsx-csi-driver,
docs/install.md and `controller.region` of its chart).
"""

from __future__ import annotations

import logging
import shutil
from typing import Any

from meshctl.lab.controllers.changes import following
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

log = logging.getLogger(__name__)
RETRY_S = 0.5
PROVISIONERS = (
    "ebs.csi.aws.com",
    "efs.csi.aws.com",
    "fsx.csi.aws.com",
    "vast.coreweave.lab",
    "nfs.csi.k8s.io",
    "rancher.io/local-path",
)
_WITHOUT_ROLE = {"eks": ("efs.csi.aws.com", "fsx.csi.aws.com")}  # provider of the cluster -> provisioners
_NO_ROLE = "failed to refresh cached credentials, no EC2 IMDS role found"  # as the AWS SDK for Go says it
_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = "/api/v1/persistentvolumes"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"


async def storage_class(client: AsyncClient, name: str, provisioner: str, *, waits: bool) -> None:
    """Make a class of the cluster, as its platform does; nothing happens when it is there."""
    mode = "WaitForFirstConsumer" if waits else "Immediate"
    body = {
        "metadata": {"name": name},
        "provisioner": provisioner,
        "volumeBindingMode": mode,
        "reclaimPolicy": "Delete",
    }
    await api.ensure(client, _CLASSES, {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", **body})


async def play(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    """Serve claims and clean up released volumes, for ever."""
    refused: set[str] = set()  # the claims that were told so
    async with following(client, [_CLASSES, _CLAIMS, _VOLUMES]) as changes:
        while True:
            all_served = await serve_claims(lab, client, cluster.provider, refused)
            await _remove_released(lab, client)
            await changes.wait(None if all_served else RETRY_S)


async def serve_claims(lab: Lab, client: AsyncClient, provider: str, refused: set[str]) -> bool:
    """Make volumes for claims that wait. Returns whether each of them that can be served has its volume now. `refused`:
    those that can't be."""
    served = True
    classes = {item["metadata"]["name"]: item for item in await api.items(client, _CLASSES)}
    for claim in await api.items(client, _CLAIMS):
        chosen = classes.get(claim["spec"].get("storageClassName") or "")
        if chosen is None or not _is_waiting(claim, chosen):
            continue
        if chosen["provisioner"] not in _WITHOUT_ROLE.get(provider, ()):
            served = await _provision(lab, client, claim, chosen) and served
        elif claim["metadata"]["uid"] not in refused:
            refused.add(claim["metadata"]["uid"])
            await _refuse(client, claim, chosen)
    return served


async def _refuse(client: AsyncClient, claim: dict[str, Any], chosen: dict[str, Any]) -> None:
    metadata = claim["metadata"]
    name = chosen["metadata"]["name"]
    event = {
        "metadata": {"generateName": f"{metadata['name']}.", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            **{key: metadata[key] for key in ("name", "namespace", "uid")},
        },
        "type": "Warning",
        "reason": "ProvisioningFailed",
        "message": f'failed to provision volume with StorageClass "{name}": rpc error: {_NO_ROLE}',
        "source": {"component": chosen["provisioner"]},
    }
    await api.post(client, f"/api/v1/namespaces/{metadata['namespace']}/events", event)


async def _remove_released(lab: Lab, client: AsyncClient) -> None:
    for volume in await api.items(client, _VOLUMES):
        if _is_released(volume):
            name = volume["metadata"]["name"]
            await api.delete(client, f"{_VOLUMES}/{name}")
            shutil.rmtree(lab.root / "volumes" / name, ignore_errors=True)


def _is_waiting(claim: dict[str, Any], chosen: dict[str, Any]) -> bool:
    if claim["status"].get("phase") != "Pending" or claim["spec"].get("volumeName"):
        return False
    if chosen["provisioner"] not in PROVISIONERS:
        return False
    waits = chosen.get("volumeBindingMode") == "WaitForFirstConsumer"
    return not waits or _SELECTED_NODE in (claim["metadata"].get("annotations") or {})


def _is_released(volume: dict[str, Any]) -> bool:
    return (
        volume["status"].get("phase") == "Released"
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and (volume["metadata"].get("annotations") or {}).get(_PROVISIONED_BY) in PROVISIONERS
    )


def _source(lab: Lab, provisioner: str, name: str) -> dict[str, Any]:
    """The source of a volume: CSI, or a path on the node for provisioners whose names are no CSI driver's."""
    if "/" in provisioner:
        return {"hostPath": {"path": str(lab.root / "volumes" / name), "type": "DirectoryOrCreate"}}
    return {"csi": {"driver": provisioner, "volumeHandle": name}}


async def _provision(lab: Lab, client: AsyncClient, claim: dict[str, Any], chosen: dict[str, Any]) -> bool:
    """Make a claim's volume. False when the API refused it."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = f"pvc-{metadata['uid']}"
    (lab.root / "volumes" / name).mkdir(parents=True, exist_ok=True)
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {_PROVISIONED_BY: chosen["provisioner"]}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": chosen["metadata"]["name"],
            "persistentVolumeReclaimPolicy": chosen.get("reclaimPolicy", "Delete"),
            **_source(lab, chosen["provisioner"], name),
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }
    try:
        await api.ensure(client, _VOLUMES, volume)
    except ApiError as error:  # logged at every try; the other claims are served
        log.warning("claim %s/%s: %s", metadata["namespace"], metadata["name"], error)
        return False
    return True
