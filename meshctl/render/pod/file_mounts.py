"""`files` of a workload and those of its `secrets` that are files: volumes, and annotations that roll out a change.
PURE.

Called by `pods`, `platform` and `work`. Each file is mounted alone, so that it can be placed beside files of the image.
The kubelet does not update such a mount in a running pod. An annotation with a digest of the text therefore makes new
pods when the text changes. A secret's text gets no digest: its revisions are counted as those of variables are (ADR
0015).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.model.deployment import Workload
from meshctl.model.pods import object_names, pod_files
from meshctl.render.controllers import gateway_shares

REVISION: Final = "meshctl.dev/files-revision"
_SECRET_MODE: Final = 0o440  # files belong to root and to the pod's `fsGroup`, which its user is in
_MODE_WITHOUT_FS_GROUP: Final = 0o444  # the group is root's then; no other pod mounts the files


def secret_entries(workload: Workload) -> dict[str, str]:
    """The keys of the workload's Secret, variables and files, each with the name of its deferred value."""
    by_variable = sorted(workload.secrets.items())
    by_key = sorted((pod_files.key_of(path), name) for path, name in workload.secret_files.items())
    return {key: f"secret.{name}" for key, name in (*by_variable, *by_key)}


def volumes(workload: Workload) -> list[dict[str, Any]]:
    file_volumes: list[dict[str, Any]] = []
    mode = _MODE_WITHOUT_FS_GROUP if workload.has_adopted_claim else _SECRET_MODE
    if workload.files:
        file_volumes.append(
            {"name": pod_files.FILES_VOLUME, "configMap": {"name": object_names.workload_files(workload.name)}}
        )
    if workload.secret_files:
        keys = sorted(map(pod_files.key_of, workload.secret_files))
        secret = {
            "secretName": object_names.workload_secret(workload.name),
            "defaultMode": mode,
            "items": [{"key": key, "path": key} for key in keys],  # the Secret holds the variables as well
        }
        file_volumes.append({"name": pod_files.SECRETS_VOLUME, "secret": secret})
    if workload.certificate is not None:
        certificate = {"secretName": object_names.certificate(workload.name), "defaultMode": mode}
        file_volumes.append({"name": pod_files.CERTIFICATE_VOLUME, "secret": certificate})
    return file_volumes


def volume_mounts(workload: Workload) -> list[dict[str, Any]]:
    files = [_mount(pod_files.FILES_VOLUME, path) for path in sorted(workload.files)]
    secrets = [_mount(pod_files.SECRETS_VOLUME, path) for path in sorted(workload.secret_files)]
    return [*files, *secrets, *_certificate_mounts(workload)]


def _certificate_mounts(workload: Workload) -> list[dict[str, Any]]:
    """Mounts the whole folder, unlike files: then the kubelet updates the certificate in running pods."""
    if workload.certificate is None:
        return []
    return [{"name": pod_files.CERTIFICATE_VOLUME, "mountPath": pod_files.CERTIFICATE_FOLDER, "readOnly": True}]


def _mount(volume: str, path: str) -> dict[str, Any]:
    return {"name": volume, "mountPath": path, "subPath": pod_files.key_of(path), "readOnly": True}


def pod_annotations(workload: Workload) -> dict[str, str]:
    """The annotations of pods that change when a file changes."""
    files = gateway_shares.files(workload)
    return {REVISION: pod_files.revision_of(files)} if files else {}


def work(template: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a job's pod template that says what the job runs: the texts of its files, and the paths of its secret
    files."""
    mounts = container.get("volumeMounts") or ()
    return {
        "files": ((template.get("metadata") or {}).get("annotations") or {}).get(REVISION),
        "secret_files": sorted(each["mountPath"] for each in mounts if each["name"] == pod_files.SECRETS_VOLUME),
    }
