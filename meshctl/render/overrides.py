"""What environments.yaml says of a workload in one environment: labels, annotations, fields of the pod, mirrors. PURE.

Called by `platform` for the finished manifest of a Deployment, StatefulSet or Job, and by `pods` for images. It is the
one place for what is true in one environment only; nothing of it is portable, and `check` says so.
"""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.nested import merged

_DEFAULT_REGISTRY = "docker.io"


def applied(manifest: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """The manifest with the labels, annotations and pod fields of this environment; labels that meshctl sets stay."""
    if not (workload.labels or workload.annotations or workload.pod):
        return manifest
    template = manifest["spec"]["template"]
    own = {"metadata": {"labels": manifest["metadata"]["labels"]}}
    own_in_template = {"metadata": {"labels": template["metadata"]["labels"]}}
    labels: dict[str, Any] = {"metadata": {"labels": dict(workload.labels)}} if workload.labels else {}
    annotations = {"metadata": {"annotations": dict(workload.annotations)}} if workload.annotations else {}
    changed_template = merged(
        merged(merged(merged(template, labels), annotations), {"spec": workload.pod}), own_in_template
    )
    changed = merged(merged(manifest, labels), own)
    return {**changed, "spec": {**manifest["spec"], "template": changed_template}}


def image_here(deployment: Deployment, image: str) -> str:
    """The image at the mirror that the environment names for its registry, or for the longest beginning of its name."""
    full_name = _with_registry(image)
    beginnings = [start for start in deployment.images if full_name.startswith(f"{start}/")]
    if not beginnings:
        return image
    start = max(beginnings, key=len)
    return deployment.images[start] + full_name.removeprefix(start)


def _with_registry(image: str) -> str:
    """`redis:7` is docker.io/library/redis:7, as container runtimes read it."""
    first, slash, _ = image.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return image
    return f"{_DEFAULT_REGISTRY}/{image}" if slash else f"{_DEFAULT_REGISTRY}/library/{image}"
