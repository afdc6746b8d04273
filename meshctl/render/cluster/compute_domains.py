"""ComputeDomains of NVIDIA's DRA driver, and the claims of pods that use NVLink between nodes. PURE.

Called by `platform` for gangs on pools whose fabric says `nvlink: rack`. The driver makes the claim template that the
pods name; a pod waits until it is there.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.files.nested import merged
from meshctl.model.keys import nvlink
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

# Source: github.com/kubernetes-sigs/dra-driver-nvidia-gpu, api/nvidia.com/resource/v1beta1/computedomain.go
_KIND: Final = {"ComputeDomain": ("resource.nvidia.com/v1beta1", "spec")}
_CLAIM: Final = "nvlink"


def compute_domains(deployment: Deployment, workload: Workload, needs: str) -> list[PlatformObject]:
    """One ComputeDomain for each gang whose nodes share NVLink. `needs`: the logical name of the namespace."""
    if not _uses_nvlink(deployment, workload):
        return []
    name = nvlink.compute_domain_name(workload)
    values = {
        "name": name,
        "namespace": deployment.namespace,
        "labels": pods.fixed_labels(deployment, workload),
        "nodes": workload.replicas,
        "claim_template": name,
    }
    (manifest,) = render("platform/compute-domain.yaml.j2", ("ComputeDomain",), values, _KIND)
    former_name = f"workload/{workload.name}:compute-domain"
    return [PlatformObject(logical_name(workload), manifest, depends_on=(needs,), aliases=(former_name,))]


def logical_name(workload: Workload) -> str:
    """The logical name of a ComputeDomain, which includes its size. A domain of another size is a new resource: the
    engine makes it, then replaces the Job, and deletes the old domain last, when no pod uses it any more."""
    return f"workload/{workload.name}:compute-domain-{workload.replicas}"


def with_channel(manifest: dict[str, Any], deployment: Deployment, workload: Workload) -> dict[str, Any]:
    """The manifest of a job. If it uses NVLink between nodes, its pods claim a channel and all belong to one domain."""
    if not _uses_nvlink(deployment, workload):
        return manifest
    in_one_domain = {
        "labelSelector": {"matchLabels": pods.selector(deployment, workload)},
        "topologyKey": nvlink.DOMAIN_LABEL,
    }
    pod = {
        "affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [in_one_domain]}},
        "resourceClaims": [{"name": _CLAIM, "resourceClaimTemplateName": nvlink.compute_domain_name(workload)}],
        "containers": [{"name": "main", "resources": {"claims": [{"name": _CLAIM}]}}],
    }
    changed: dict[str, Any] = merged(manifest, {"spec": {"template": {"spec": pod}}})
    return changed


def _uses_nvlink(deployment: Deployment, workload: Workload) -> bool:
    return nvlink.is_gang(workload) and nvlink.is_asked_for(deployment.pool(workload.pool))
