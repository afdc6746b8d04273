"""The AWS program: what is declared, in which order. Run inside a Pulumi inline program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshctl.model.deployment import Deployment
from stacks import kubernetes, platform
from stacks.aws import certificates, cluster, network, pools, storage
from stacks.buckets import declare_buckets
from stacks.exports import export
from stacks.resources import AwsProvider, aws_tags


def declare(
    deployment: Deployment,
    late: Mapping[str, Any],
    ready_timeout_s: int = 0,
    *,
    staying: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Declare the whole environment and export `deployment`, `endpoints` and `kubeconfig`.

    `late` holds the values that may not be in a `Deployment`: secrets, by the names that the templates use.
    `staying`: see `platform.declare`.
    """
    if deployment.network is None:
        raise ValueError("a deployment on AWS has a network")
    aws = AwsProvider("aws", region=deployment.region, profile=deployment.profile, tags=aws_tags(deployment))
    logs = cluster.declare_logs(deployment, aws)
    net = network.declare_network(deployment, deployment.network, logs, aws)
    eks = cluster.declare_cluster(deployment, net, logs, aws)
    admins = cluster.declare_admins(deployment, eks, aws)
    fabric_group = pools.declare_fabric_group(deployment, net, aws)
    node_groups = {
        pool.name: pools.declare_pool(deployment, pool, net, eks, fabric_group, aws) for pool in deployment.pools
    }
    system = node_groups[pools.system_pool(deployment).name]
    addons = cluster.declare_addons(deployment, eks, [system], aws)
    file_systems = storage.declare_file_systems(deployment, net, eks, aws)
    issued = certificates.declare_certificates(deployment, late, aws)
    buckets = declare_buckets(deployment)
    identities = storage.declare_bucket_access(deployment, eks, aws)
    identities += storage.declare_tier_access(deployment, eks, aws)
    kubernetes_provider = kubernetes.provider(deployment, kubeconfig=eks.kubeconfig)
    addresses = platform.declare(
        deployment,
        provider=kubernetes_provider,
        late={**late, **file_systems.late, **issued},
        # a destroy takes the rights of those who run it away last
        depends_on=[system, *addons, *identities, *buckets.values(), *file_systems.ways, *admins],
        pools={name: [group] for name, group in node_groups.items()},
        ready_timeout_s=ready_timeout_s,
        staying=staying,
    )
    export(deployment, addresses, eks.kubeconfig)
