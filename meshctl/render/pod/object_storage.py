"""How pods reach the object stores: variables, credentials, the copies of what is only read. PURE.

Called by `pods` and `platform`. Where a platform gives each workload an identity of its own, there are no keys.
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment, Mount, ObjectStore, Workload
from meshctl.model.pods import object_names, own_images
from meshctl.platforms import registry
from meshctl.render.pod import literal

SECRET = object_names.OBJECT_STORAGE_SECRET
CONFIG = "object-storage"  # the name of a ConfigMap
CONFIG_FILE = "aws-config"
_CONFIG_FOLDER = "/etc/meshctl"
_CONFIG_VOLUME = "0-aws-config"  # with a digit first, unlike any name of a storage in a mesh

# A store that holds nothing yet fails the pod, to be tried again: a container that was started on an empty folder would
# never see what is uploaded later, for only a new pod copies again. No `$(…)`, which Kubernetes takes for a variable.
STAGING_SCRIPT = (
    'rclone copy "$1" "$2" --checksum --transfers=16 --fast-list --stats=30s --stats-one-line -v || exit; '
    'ls -A "$2" | grep -q . || { echo "$3 holds no objects" >&2; exit 1; }'
)


def has_secret(deployment: Deployment) -> bool:
    """Whether pods get the keys of the object stores by a Secret."""
    return _has_keys(deployment) and bool(deployment.object_stores)


def _has_keys(deployment: Deployment) -> bool:
    return registry.platform(deployment.provider).objects.has_keys


def mounted_stores(deployment: Deployment, workload: Workload) -> list[ObjectStore]:
    """The object stores that the workload uses. It gets no variables of other stores, so that those can be added and
    removed without changing its pods."""
    return [deployment.object_store(mount.storage) for mount in workload.mounts if mount.kind == "object"]


def needs_config(deployment: Deployment) -> bool:
    """Whether AWS SDKs must be told how to address buckets: with an endpoint of one's own they put the bucket into the
    path, and there is no variable for it. CoreWeave takes it in the host name only
    (docs.coreweave.com, object-storage/using-object-storage/configure-endpoints)."""
    return any(store.addressing == "virtual" and store.endpoint for store in deployment.object_stores)


def config_text() -> str:
    """A configuration file of the AWS SDKs and their command line."""
    return "[default]\ns3 =\n    addressing_style = virtual\n"


def volumes(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    if not _reads_config(deployment, workload):
        return []
    return [{"name": _CONFIG_VOLUME, "configMap": {"name": CONFIG}}]


def volume_mounts(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    if not _reads_config(deployment, workload):
        return []
    return [{"name": _CONFIG_VOLUME, "mountPath": _CONFIG_FOLDER, "readOnly": True}]


def config_variables(deployment: Deployment, workload: Workload) -> dict[str, str]:
    return {"AWS_CONFIG_FILE": f"{_CONFIG_FOLDER}/{CONFIG_FILE}"} if _reads_config(deployment, workload) else {}


def _reads_config(deployment: Deployment, workload: Workload) -> bool:
    return needs_config(deployment) and bool(mounted_stores(deployment, workload))


def variables(deployment: Deployment, workload: Workload) -> list[dict[str, Any]]:
    """The standard AWS SDK variables. Without keys only the region: the workload's identity brings the rest."""
    stores = mounted_stores(deployment, workload)
    if not stores:
        return []
    store = stores[0]  # any of them: an environment has one endpoint for all of its stores
    entries: list[dict[str, Any]] = [{"name": "AWS_REGION", "value": store.region}]
    endpoint = _endpoint(deployment, store)
    if endpoint:
        entries.append({"name": "AWS_ENDPOINT_URL_S3", **endpoint})
        # stores that only speak S3 may not know the checksums that AWS SDKs add since 2025
        entries.append({"name": "AWS_REQUEST_CHECKSUM_CALCULATION", "value": "when_required"})
        entries.append({"name": "AWS_RESPONSE_CHECKSUM_VALIDATION", "value": "when_required"})
    if _has_keys(deployment):
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        entries += [{"name": key, **from_secret(SECRET, key)} for key in keys]
    return entries


def endpoint_is_late(deployment: Deployment, store: ObjectStore) -> bool:
    """Whether the endpoint is known only from the store's AWS profile, on the operator's machine."""
    return _has_keys(deployment) and not (store.pod_endpoint or store.endpoint)


def _endpoint(deployment: Deployment, store: ObjectStore) -> dict[str, Any]:
    """The value of a variable that names the store's endpoint; empty where it is AWS's own."""
    if endpoint_is_late(deployment, store):
        return from_secret(SECRET, "AWS_ENDPOINT_URL_S3")
    endpoint = store.pod_endpoint or store.endpoint
    return {"value": endpoint} if endpoint else {}


def from_secret(secret: str, key: str) -> dict[str, Any]:
    return {"valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def is_staged(mount: Mount) -> bool:
    return own_images.is_staged(mount)


def staging(deployment: Deployment, workload: Workload, mount: Mount) -> dict[str, Any]:
    """One init container that fills a folder from a bucket. rclone is configured by variables: nothing to quote."""
    store = deployment.object_store(mount.storage)
    endpoint = _endpoint(deployment, store)
    settings: dict[str, dict[str, Any]] = {
        "RCLONE_S3_PROVIDER": {"value": "Other" if endpoint else "AWS"},
        "RCLONE_S3_ENV_AUTH": {"value": "true"},
        "RCLONE_S3_REGION": {"value": store.region},
    }
    if endpoint:
        settings["RCLONE_S3_ENDPOINT"] = endpoint
    if store.addressing != "auto":
        settings["RCLONE_S3_FORCE_PATH_STYLE"] = {"value": "true" if store.addressing == "path" else "false"}
    source = f":s3:{store.bucket}/{store.prefix}".rstrip("/")
    entries = [{"name": name, **value} for name, value in sorted(settings.items())]
    env = {entry["name"]: entry for entry in (*entries, *variables(deployment, workload))}
    return {
        "name": f"{object_names.STAGE}{store.name}",
        "args": ["stage", *(literal.written(text, (), env) for text in (source, mount.path, store.url))],
        "path": mount.path,
        "volume": store.name,
        "env": list(literal.each_value(env.values())),
    }
