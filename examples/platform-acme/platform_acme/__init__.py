"""Acme GPU Cloud, which does not exist: a whole platform for meshctl in a package of its own.

Its Kubernetes is managed: the cluster is given by a kubeconfig, and a `NodeGroup` object in it makes nodes. Copy this
folder to begin with a platform of yours; docs/contributing/platform.md says what each part is for.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final, Literal

from meshctl.catalog import Machine, Rdma, machines_of, storage_prices_of
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.environment import GivenClusterEnvironment, Kubeconfig
from meshctl.model.questions import Findings
from meshctl.model.releases import LivePlatform
from meshctl.platforms import given
from meshctl.platforms.interface import (
    Egress,
    Fabric,
    LoadBalancers,
    Machines,
    Nodes,
    ObjectStores,
    Platform,
    Preflight,
    Releases,
    Storage,
    StoreHost,
    Words,
)

if TYPE_CHECKING:
    from meshctl.render.objects import PlatformObject

_ROWS: Final = resources.files(__package__).joinpath("machines.yaml")
_SHARED_CLASS: Final = "acme-shared"
_NODE_GROUP: Final = "kubernetes:compute.acme.example/v1:NodeGroup"


class AcmeEnvironment(GivenClusterEnvironment):
    provider: Literal["acme"]
    region: Literal["north-1", "south-1"]
    kubernetes: Kubeconfig = Kubeconfig()


def _node_labels(machine: Machine) -> dict[str, str]:
    return {"node.kubernetes.io/instance-type": machine.name, "kubernetes.io/arch": machine.arch}


def _node_groups(deployment: Deployment) -> tuple[PlatformObject, ...]:
    return tuple(_node_group(deployment, pool) for pool in deployment.pools)


def _node_group(deployment: Deployment, pool: Pool) -> PlatformObject:
    from meshctl.render.objects import PlatformObject  # with the templates: not for commands that only resolve

    manifest = {
        "apiVersion": "compute.acme.example/v1",
        "kind": "NodeGroup",
        "metadata": {
            "name": f"{deployment.mesh}-{pool.name}",
            "labels": {"app.kubernetes.io/part-of": deployment.mesh, "app.kubernetes.io/managed-by": "meshctl"},
            "annotations": {"pulumi.com/waitFor": "condition=Filled", "pulumi.com/timeoutSeconds": "1800"},
        },
        "spec": {
            "machine": pool.machine,
            "nodes": pool.nodes,
            "spot": pool.market == "spot",
            "labels": {**pool.labels, **deployment.node_labels(pool.name)},
        },
    }
    return PlatformObject(f"pool/{pool.name}:node-group", manifest, wait=True)


def _fabric_settings(rdma: Rdma) -> dict[str, str]:
    return {"NCCL_IB_HCA": "acme", "UCX_NET_DEVICES": ",".join(f"acme{index}:1" for index in range(rdma.adapters))}


PLATFORM: Final = Platform(
    interface=2,
    name="acme",
    environment=AcmeEnvironment,
    cluster=given.CLUSTER,
    nodes=Nodes(
        made_of=Machines(
            catalog=lambda: machines_of("acme", _ROWS),
            refused_rdma={},
            placement_groups=False,
            reservations=None,
            zones=lambda environment, _in_one_zone: (environment.region,),
            root_disk_gib=100,
            image=lambda _machine: "",
            gpu_taints=(),
            pool_gaps=lambda _pool: (),
            reported_memory=0.97,
            most_pods=110,
        ),
        labels=_node_labels,
        gpu_tolerations=({"key": "acme.example/gpu", "operator": "Exists"},),
        has_device_plugins=True,
        objects=_node_groups,
        moved_by_others=frozenset(),
    ),
    fabric=Fabric(
        settings=_fabric_settings,
        interfaces=lambda _rdma: (),
        declared=lambda _environment: None,
        resources=("acme.example/hca",),
    ),
    storage=Storage(
        file_system=given.file_systems(_SHARED_CLASS),
        block=given.blocks(_SHARED_CLASS),
        prices=lambda: storage_prices_of("acme", _ROWS),
        made_classes=None,
        holding_types=(),
        grow_only=(),
    ),
    objects=ObjectStores(
        store=given.store_of_region,
        has_keys=True,
        takes_tags=False,
        bucket_settings={},
        hosts={"objects.acme.example": StoreHost(addressing="virtual", pod_endpoint="")},
        endpoint_hint="on Acme it is https://objects.acme.example",
    ),
    load_balancers=LoadBalancers(
        public={"acme.example/load-balancer": "public"},
        internal={"acme.example/load-balancer": "internal"},
        through_nodes=False,
        answers_within_s=10,
        tls=None,  # they pass on what they get
    ),
    egress=Egress(usd_per_gb=0.02, source="made up: there is no such cloud"),
    words=Words(
        gaps=lambda _environment: [],
        notes=lambda _environment: (),
        not_in_cost=lambda _deployment: ("Acme's managed Kubernetes",),
        credentials_hint="",
        failure_hints={"Quota": "ask Acme for a higher quota, or choose another machine type"},
        terms={(_NODE_GROUP, "spec.nodes"): "nodes", (_NODE_GROUP, "spec.machine"): "machine"},
        long_terms={},
        label_types=(),
    ),
    preflight=Preflight(
        questions=lambda _wanted, _in_place: (),
        findings=lambda _wanted, _in_place, _answers: Findings(),
        elsewhere=None,
        policy=None,
    ),
    releases=Releases(
        running=lambda _deployment: (),
        newest=lambda _deployment, _answers: (),
        live=lambda _deployment, _answers: LivePlatform(),
    ),
    declare=given.declare,
)
