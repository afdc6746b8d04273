"""What environments.yaml says of a workload in one environment: labels, annotations, fields of the pod, mirrors. PURE.

Called by `platform` for the finished manifest of a Deployment, StatefulSet or Job, and by `pods` for images. It is the
one place for what is true in one environment only; nothing of it is portable, and `check` says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.files.nested import merged
from meshctl.model.pods import image_names, pod_networks


def applied(manifest: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """The manifest with the labels, annotations and pod fields of this environment; labels that meshctl sets stay."""
    if not (workload.labels or workload.annotations or workload.pod):
        return manifest
    template = manifest["spec"]["template"]
    own_labels = {"metadata": {"labels": manifest["metadata"]["labels"]}}
    own_labels_in_template = {"metadata": {"labels": template["metadata"]["labels"]}}
    labels: dict[str, Any] = {"metadata": {"labels": dict(workload.labels)}} if workload.labels else {}
    annotations = _annotations(template, workload)
    changed_template = merged(
        merged(merged(merged(template, labels), annotations), {"spec": _pod(workload)}), own_labels_in_template
    )
    changed = merged(merged(manifest, labels), own_labels)
    return {**changed, "spec": {**manifest["spec"], "template": changed_template}}


def _annotations(template: Mapping[str, Any], workload: Workload) -> dict[str, Any]:
    """The annotations of a pod; its networks are listed after those of the pool's fabric."""
    if not workload.annotations:
        return {}
    annotations = dict(workload.annotations)
    of_fabric = template["metadata"].get("annotations", {}).get(pod_networks.ANNOTATION)
    if of_fabric and pod_networks.ANNOTATION in annotations:
        annotations[pod_networks.ANNOTATION] = pod_networks.joined(of_fabric, annotations[pod_networks.ANNOTATION])
    return {"metadata": {"annotations": annotations}}


def _pod(workload: Workload) -> dict[str, Any]:
    """The pod's fields. A pod in the network of its node resolves Services only with the DNS policy that is set
    here."""
    dns = {"dnsPolicy": "ClusterFirstWithHostNet"} if workload.pod.get("hostNetwork") is True else {}
    return {**dns, **workload.pod}


def image_here(deployment: Deployment, image: str) -> str:
    """The image at the mirror that the environment names for its registry, or for the longest beginning of its name."""
    return image_names.mirrored(image, deployment.images)
