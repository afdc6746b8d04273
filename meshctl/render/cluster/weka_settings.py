"""What the WEKA operator has no field for, as a Job that calls the REST interface of the cluster. PURE.

Called by `neural_mesh`: the licence, object stores, and file systems that are tiered to one. The program is
`templates/weka_settings/settings.py`. Addresses, accounts and keys come by reference: from the Secrets that the
operator makes for the cluster, from that of the object stores, and from the one with the licence. A licence is bound
to the GUID of a cluster that has formed, so that it can be no field of the WekaCluster. Where the file systems are in
an organization, the Job runs `organization.py` beside it, with what `weka_organization` adds.
"""

from __future__ import annotations

import json
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, Deployment, NeuralMesh, ObjectStore
from meshctl.model.pods import object_names, own_images
from meshctl.render.cluster import weka_organization
from meshctl.render.cluster.weka_operator import MARGIN_S, own_labels, revision
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import object_storage, overrides, pods, weka_volumes
from meshctl.render.templates import FOLDER, render

SETTINGS: Final = "neuralmesh:settings"
LICENCE: Final = "neuralmesh:licence"
_SCRIPT: Final = "settings.py"
_GIB: Final = 1024**3
_DEADLINE_S: Final = 1200  # of the Job: the program gives up by itself before
LICENCE_KEY: Final = "license"  # of the Secret, as WEKA spells it


def objects(deployment: Deployment, mesh: NeuralMesh, needs: tuple[str, ...]) -> list[PlatformObject]:
    """Nothing where the mesh has no licence and no organization and tiers nothing, and nothing for a cluster of
    somebody else. `needs`: the logical names of what must be there before."""
    if not is_needed(deployment, mesh):
        return []
    manifests = render("platform/weka-settings.yaml.j2", ("ConfigMap", "Job"), _values(deployment, mesh))
    names = (f"{SETTINGS}-files", SETTINGS)
    files, job = [PlatformObject(name, manifest) for name, manifest in zip(names, manifests, strict=True)]
    secrets = [LICENCE] if has_licence(mesh) else []
    secrets += ["platform:object-storage"] if _has_keys(deployment) else []
    rights: list[PlatformObject] = []
    if weka_organization.of(mesh) is not None:
        secrets += [weka_organization.ADMIN, weka_organization.DRIVER]
        rights = weka_organization.account(deployment, name_of(mesh), job.manifest["metadata"]["labels"], needs=needs)
    before = (*needs, *secrets, files.name, *(each.name for each in rights))
    return [
        *rights,
        PlatformObject(files.name, files.manifest, depends_on=needs),
        PlatformObject(job.name, job.manifest, wait=True, depends_on=before),
    ]


def is_needed(deployment: Deployment, mesh: NeuralMesh) -> bool:
    is_set = mesh.licence_secret or mesh.organization or weka_volumes.tiered(deployment)
    return mesh.joined is None and bool(is_set)


def has_licence(mesh: NeuralMesh) -> bool:
    return mesh.joined is None and bool(mesh.licence_secret)


def name_of(mesh: NeuralMesh) -> str:
    return f"{mesh.name}-weka-settings"


def settings(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    """What the program is told, but for what is secret: see its docstring for the shape."""
    systems = weka_volumes.tiered(deployment)
    stores = [deployment.object_store(name) for name in sorted({system.tier for system in systems})]
    return {
        "object_stores": [_store(deployment, store) for store in stores],
        "file_systems": [
            {
                "name": weka_volumes.file_system_name(deployment, system),
                "group": weka_volumes.GROUP,
                "total_bytes": system.size_gib * _GIB,
                "ssd_bytes": (system.drive_gib or system.size_gib) * _GIB,
                "object_store": system.tier,
                "encrypted": mesh.encryption is not None,
            }
            for system in systems
        ],
    }


def _store(deployment: Deployment, store: ObjectStore) -> dict[str, Any]:
    """An endpoint that only the operator's machine knows comes as a variable: there is one for all stores."""
    late = object_storage.endpoint_is_late(deployment, store)
    default = f"https://s3.{store.region}.amazonaws.com"
    return {
        "name": store.name,
        "bucket": store.bucket,
        "region": store.region,
        "endpoint": "" if late else store.endpoint or default,
    }


def _has_keys(deployment: Deployment) -> bool:
    """Where a platform has no keys, the machines of the cluster reach buckets by their own identity."""
    return object_storage.has_secret(deployment) and bool(weka_volumes.tiered(deployment))


def _has_late_endpoint(deployment: Deployment) -> bool:
    stores = (deployment.object_store(system.tier) for system in weka_volumes.tiered(deployment))
    return any(object_storage.endpoint_is_late(deployment, store) for store in stores)


def _revisions(deployment: Deployment, mesh: NeuralMesh) -> list[tuple[str, str]]:
    """Deferred values that change with a new licence or new keys, so that the Job runs again."""
    revisions = [("licence-revision", pods.revision_of(object_names.WEKA_LICENCE))] if has_licence(mesh) else []
    revisions += [("object-storage-revision", pods.revision_of(object_storage.SECRET))] if _has_keys(deployment) else []
    return revisions + (weka_organization.revisions() if weka_organization.of(mesh) is not None else [])


def _values(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    organization = weka_organization.of(mesh)
    programs = (_SCRIPT, weka_organization.SCRIPT) if organization is not None else (_SCRIPT,)
    # The digest of these files is in the pod template: when one byte of either changes, the Job of every mesh that is
    # up is made anew and runs again. So the two programs keep an end (`main`) each, although both are alike.
    files = {each: (FOLDER / "weka_settings" / each).read_text(encoding="utf-8") for each in programs}
    return {
        "name": name_of(mesh),
        "program": programs[-1],
        "account": name_of(mesh) if organization is not None else "",
        "texts": weka_organization.variables(mesh, organization) if organization is not None else [],
        "namespace": mesh.namespace,
        "labels": own_labels(deployment, name_of(mesh)),
        "node_selector": {MESH_LABEL: deployment.mesh},
        "tolerations": pods.tolerations_of_all(deployment),
        "image": overrides.image_here(deployment, own_images.SCALER),
        "files": files,
        "revision": revision(files),
        "revisions": _revisions(deployment, mesh),
        "settings": json.dumps(settings(deployment, mesh), sort_keys=True),
        "from_secrets": _from_secrets(deployment, mesh),
        "deadline_s": _DEADLINE_S,
        "waited_for_s": str(_DEADLINE_S + MARGIN_S),
    }


def _from_secrets(deployment: Deployment, mesh: NeuralMesh) -> list[dict[str, Any]]:
    """Variables by reference. Names and keys of the operator's Secrets: doc/operator/operations/secrets-management.md
    of github.com/weka/weka-operator at afd26df0."""
    admin, csi = f"weka-cluster-{mesh.name}", f"weka-csi-{mesh.name}"
    variables = [
        _variable("WEKA_ENDPOINTS", csi, "endpoints"),
        _variable("WEKA_SCHEME", csi, "scheme", optional=True),
        _variable("WEKA_CA", csi, "caCertificate", optional=True),
        _variable("WEKA_USER", admin, "username"),
        _variable("WEKA_PASSWORD", admin, "password"),
        _variable("WEKA_ORGANIZATION", admin, "org", optional=True),
    ]
    if weka_organization.of(mesh) is not None:
        secrets = (object_names.WEKA_ORGANIZATION_ADMIN, object_names.WEKA_ORGANIZATION_CSI)
        names = ("ORGANIZATION_ADMIN_PASSWORD", "ORGANIZATION_DRIVER_PASSWORD")
        pairs = zip(names, secrets, strict=True)
        variables += [_variable(name, secret, weka_organization.PASSWORD) for name, secret in pairs]
    if has_licence(mesh):
        variables.append(_variable("WEKA_LICENCE", object_names.WEKA_LICENCE, LICENCE_KEY))
    if _has_keys(deployment):
        variables += [
            _variable("STORE_ACCESS_KEY_ID", object_storage.SECRET, "AWS_ACCESS_KEY_ID"),
            _variable("STORE_SECRET_KEY", object_storage.SECRET, "AWS_SECRET_ACCESS_KEY"),
        ]
        if _has_late_endpoint(deployment):
            variables.append(_variable("STORE_ENDPOINT", object_storage.SECRET, "AWS_ENDPOINT_URL_S3"))
    return variables


def _variable(name: str, secret: str, key: str, *, optional: bool = False) -> dict[str, Any]:
    return {"name": name, "reference": {"name": secret, "key": key, **({"optional": True} if optional else {})}}
