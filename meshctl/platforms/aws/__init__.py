"""AWS: meshctl makes the network, the EKS cluster, node groups and storage. PURE, but for `declare`.

Found by `meshctl.platforms.registry` (entry point `aws`). What each module here decides is declared by `stacks.aws`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from meshctl.catalog import Machine, StoragePrice, data_files, machines_of, storage_prices_of
from meshctl.catalog.offers import OfferTable
from meshctl.model.deployment import AWS_ROOT_VOLUME_GIB, Deployment
from meshctl.model.questions import InPlace, PolicyScope
from meshctl.platforms.aws import capacity, cluster, elsewhere, fabric, pools, releases, service_prices, storage, words
from meshctl.platforms.aws.environment import AwsEnvironment
from meshctl.platforms.aws.iam import access, name_rights
from meshctl.platforms.aws.preflight import preflight
from meshctl.platforms.interface import (
    BalancerTls,
    Cluster,
    Egress,
    Elsewhere,
    Fabric,
    GrowOnly,
    LoadBalancers,
    Machines,
    MadeClasses,
    MadeCluster,
    NameRights,
    NeuralMeshNodes,
    Nodes,
    ObjectStores,
    Platform,
    Preflight,
    Releases,
    Storage,
    Words,
)

_NAME: Final = "aws"
# read by the cloud controller that every EKS control plane runs: nothing more to install
_BALANCER: Final = {
    "service.beta.kubernetes.io/aws-load-balancer-type": "nlb",
    "service.beta.kubernetes.io/aws-load-balancer-cross-zone-load-balancing-enabled": "true",
}
# Of a network load balancer that controller makes a TLS listener of each of these ports, and passes on TCP
# (cloud-provider-aws, pkg/providers/v1/aws.go, EnsureLoadBalancer). It has no annotation for ALPN: clients by HTTPS get
# HTTP/1.1. `…-alpn-policy` is read by the AWS Load Balancer Controller alone, which is not installed.
_TLS: Final = BalancerTls(
    certificate="service.beta.kubernetes.io/aws-load-balancer-ssl-cert",
    ports="service.beta.kubernetes.io/aws-load-balancer-ssl-ports",
    # TLS 1.2 and 1.3, as gateways elsewhere; without it, 1.0 is taken, too (ELB user guide, "Security policies")
    settings={
        "service.beta.kubernetes.io/aws-load-balancer-ssl-negotiation-policy": "ELBSecurityPolicy-TLS13-1-2-2021-06"
    },
    longest_host=64,  # the host is the common name (ACM API, RequestCertificate, DomainName)
)
_ROWS: Final = resources.files("meshctl.catalog")


def _machines() -> tuple[Machine, ...]:
    offers = OfferTable(data_files.read_own("aws-offerings.json"))
    return service_prices.by_region().added_to(offers.added_to(machines_of(_NAME, _ROWS.joinpath("aws.yaml"))))


def _change(wanted: Deployment, in_place: InPlace) -> preflight.Change:
    return preflight.Change(wanted, in_place, _machines_by_name())


@cache
def _machines_by_name() -> dict[str, Machine]:
    return {machine.name: machine for machine in _machines()}


def _policy(deployment: Deployment, scope: PolicyScope) -> dict[str, Any]:
    from meshctl.platforms.aws.iam import iam_policy  # with botocore, by the rows: only where a policy is asked for

    return iam_policy.policy(deployment, scope, {machine.name: machine for machine in _machines()})


def _storage_prices() -> tuple[StoragePrice, ...]:
    """Those of the file go before those of the price list."""
    return (*storage_prices_of(_NAME, _ROWS.joinpath("storage.yaml")), *service_prices.by_region().storage(_NAME))


def _labels(machine: Machine) -> dict[str, str]:
    return {"node.kubernetes.io/instance-type": machine.name, "kubernetes.io/arch": machine.arch}


def _declare(
    deployment: Deployment,
    late: Mapping[str, Any],
    ready_timeout_s: int = 0,
    *,
    staying: Any = None,
    cluster_uid: str = "",
) -> None:
    del cluster_uid  # of a cluster that is given
    import stacks.aws  # with the Pulumi SDK: only where something is brought up

    stacks.aws.declare(deployment, late, ready_timeout_s, staying=staying)


PLATFORM: Final = Platform(
    interface=2,
    name=_NAME,
    environment=AwsEnvironment,
    cluster=Cluster(
        made=MadeCluster(
            product="EKS",
            resource_type=words.CLUSTER,
            account=lambda environment: environment.account or "",
            profile=lambda environment: environment.profile or "",
            network=cluster.address_plan,
            kubeconfig=cluster.kubeconfig,
            maker=access.maker,
            entries=access.ENTRIES,
        ),
        describe=cluster.describe,
        kubeconfig=lambda _environment: None,
    ),
    nodes=Nodes(
        made_of=Machines(
            catalog=_machines,
            refused_rdma={},
            placement_groups=True,
            reservations=capacity.assign,
            zones=pools.zones,
            root_disk_gib=AWS_ROOT_VOLUME_GIB,
            image=pools.image,
            gpu_taints=pools.GPU_TAINTS,
            pool_gaps=pools.too_spread,
            reported_memory=0.977,  # a p5 reports 2000 of its 2048 GiB; firmware and kernel take the rest
            most_pods=250,  # EKS user guide, "Choose an optimal EC2 instance type"
        ),
        labels=_labels,
        gpu_tolerations=(),
        has_device_plugins=False,
        objects=lambda _deployment: (),
        moved_by_others=frozenset({(words.NODE_GROUP, "scalingConfig.desiredSize")}),
        # as `ignore_changes` in stacks.aws has it
        left_alone=frozenset(
            {
                ("cluster:addon-vpc-cni", "configurationValues"),
                ("cluster:eks", "resourcesVpcConfig.subnetIds"),
                ("cluster:eks", "upgradePolicy"),
                (":nodegroup", "nodeRepairConfig"),
            }
        ),
        # of the network's layers the last is the nearest: EKS user guide, "View node topology"; EC2 user guide, "Amazon
        # EC2 topology" (read 2026-11-29)
        domain_labels=tuple(f"topology.k8s.aws/network-node-layer-{layer}" for layer in (3, 2, 1)),
    ),
    fabric=Fabric(
        settings=fabric.settings,
        interfaces=fabric.efa_interfaces,
        declared=lambda _environment: None,
        resources=("vpc.amazonaws.com/efa",),
    ),
    storage=Storage(
        file_system=storage.file_system,
        block=storage.block,
        prices=_storage_prices,
        # a new EKS cluster has none of type gp3
        made_classes=MadeClasses(provisioner="ebs.csi.aws.com", parameters={"type": "gp3", "encrypted": "true"}),
        holding_types=(words.LUSTRE, words.EFS),
        grow_only=(
            GrowOnly(  # FSx API, UpdateFileSystem, StorageCapacity
                service="fsx-lustre",
                resource_type=words.LUSTRE,
                detail="lustre",
                size_input="StorageCapacity",
                product="FSx for Lustre",
            ),
        ),
        neural_mesh=NeuralMeshNodes(
            sign_drives="aws-all",
            interfaces=storage.weka_interfaces,
            # calls UpdateNodegroupVersion, which goes on as soon as a new node is Ready
            emptied_by=frozenset((words.NODE_GROUP, name) for name in ("launchTemplate", "version", "releaseVersion")),
        ),
    ),
    objects=ObjectStores(
        store=storage.store,
        has_keys=False,  # EKS Pod Identity gives each workload an identity of its own
        takes_tags=True,
        bucket_settings=storage.BUCKET_SETTINGS,
        hosts={},
        endpoint_hint="",
    ),
    load_balancers=LoadBalancers(
        public=_BALANCER,
        # `…-scheme` is read by the AWS Load Balancer Controller alone, which is not installed
        internal={**_BALANCER, "service.beta.kubernetes.io/aws-load-balancer-internal": "true"},
        through_nodes=True,  # all nodes, also those of training pools (findInstancesForELB of cloud-provider-aws)
        tls=_TLS,
        answers_within_s=300,  # the address is there at once (v2toStatus), the balancer some minutes later
    ),
    egress=Egress(
        usd_per_gb=0.09,
        source="list price to the internet, first 10 TB a month, us-east-1 (stormit.cloud, AWS data transfer pricing)",
    ),
    words=Words(
        gaps=words.gaps,
        notes=words.notes,
        not_in_cost=words.not_in_cost,
        credentials_hint=words.CREDENTIALS_HINT,
        failure_hints=words.FAILURE_HINTS,
        terms=words.TERMS,
        long_terms=words.LONG_TERMS,
        label_types=(words.NODE_GROUP,),
    ),
    preflight=Preflight(
        questions=lambda wanted, in_place: preflight.questions(_change(wanted, in_place)),
        findings=lambda wanted, in_place, answers: preflight.findings(_change(wanted, in_place), answers),
        elsewhere=Elsewhere(codes=elsewhere.CODES, questions=elsewhere.questions, places=elsewhere.places),
        policy=_policy,
        name_rights=NameRights(dns=name_rights.DNS, questions=name_rights.questions, findings=name_rights.findings),
    ),
    releases=Releases(running=releases.running, newest=releases.newest, live=releases.live),
    declare=_declare,
)
