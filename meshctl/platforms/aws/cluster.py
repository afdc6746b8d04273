"""The EKS cluster of an environment: what it is to be, and how it is reached once it is there. PURE.

Part of the platform (`meshctl.platforms.aws`); declared by `stacks.aws`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from meshctl.model.deployment import AwsNetwork, Cluster, Deployment
from meshctl.model.mesh import Mesh
from meshctl.platforms.aws import network
from meshctl.platforms.aws.environment import AwsEnvironment
from meshctl.platforms.aws.kubernetes_versions import DEFAULT_EKS_VERSION


def describe(mesh: Mesh, name: str, environment: AwsEnvironment) -> Cluster:
    eks = environment.kubernetes
    return Cluster(
        name=f"{mesh.name}-{name}",
        version=eks.version or DEFAULT_EKS_VERSION,
        version_asked=bool(eks.version),
        public_access_cidrs=eks.public_access_cidrs,
        admins=tuple(dict.fromkeys(eks.admins)),
        tags=dict(sorted(environment.tags.items())),
        permissions_boundary=environment.permissions_boundary or "",
        role_path=environment.role_path or "",
    )


def address_plan(environment: AwsEnvironment) -> AwsNetwork:
    one_nat = environment.network.nat == "one"
    return network.plan(environment.network.cidr, environment.region, environment.zones, one_nat=one_nat)


def kubeconfig(deployment: Deployment, outputs: Mapping[str, Any]) -> str:
    """From the outputs of the cluster's resource; "" while they don't say enough."""
    from stacks.aws.cluster import kubeconfig_text  # with the Pulumi SDK: only where something is brought up

    name, endpoint = outputs.get("name"), outputs.get("endpoint")
    certificate = outputs.get("certificateAuthority")
    authority = certificate.get("data") if isinstance(certificate, Mapping) else None
    if not (name and endpoint and authority):
        return ""
    return kubeconfig_text(deployment, name=str(name), endpoint=str(endpoint), authority=str(authority))
