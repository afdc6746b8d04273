"""CoreWeave: an existing CKS cluster, whose nodes meshctl makes by NodePool objects. PURE, but for `declare`.

Found by `meshctl.platforms.registry` (entry point `coreweave`). Facts are from docs.coreweave.com, each beside its use.
"""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING, Final, Literal

from meshctl.catalog import Machine, Rdma, StoragePrice, machines_of, storage_prices_of
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.environment import GivenClusterEnvironment, Kubeconfig
from meshctl.model.files.addresses import Region
from meshctl.platforms import given
from meshctl.platforms.interface import (
    Egress,
    Fabric,
    LoadBalancers,
    Machines,
    NeuralMeshNodes,
    Nodes,
    ObjectStores,
    Platform,
    Storage,
    StoreHost,
    Words,
)

if TYPE_CHECKING:
    from meshctl.render.objects import PlatformObject

_NAME: Final = "coreweave"
_ROWS: Final = resources.files("meshctl.catalog")
_SHARED_CLASS: Final = "shared-vast"  # for file systems; CoreWeave has no storage class for block storage
_NODE_POOL: Final = "kubernetes:compute.coreweave.com/v1alpha1:NodePool"
_NODE_POOL_KIND: Final = {"NodePool": ("compute.coreweave.com/v1alpha1", "spec")}
# node labels with these prefixes are CoreWeave's own and refused (products/cks/reference/node-pool)
_RESERVED_LABELS: Final = ("coreweave.com", "coreweave.cloud")
# machines that come in racks of 18 nodes, for which the platform refuses autoscaling (products/cks/nodes/autoscaling)
_RACK_MACHINES: Final = ("gb200-", "gb300-", "verarubin-")


class CoreweaveEnvironment(GivenClusterEnvironment):
    provider: Literal["coreweave"]
    region: Region
    kubernetes: Kubeconfig = Kubeconfig()


def _machines() -> tuple[Machine, ...]:
    return machines_of(_NAME, _ROWS.joinpath("coreweave.yaml"))


def _storage_prices() -> tuple[StoragePrice, ...]:
    return storage_prices_of(_NAME, _ROWS.joinpath("storage.yaml"))


def _labels(machine: Machine) -> dict[str, str]:
    labels = {"node.kubernetes.io/instance-type": machine.name, "kubernetes.io/arch": machine.arch}
    if machine.gpu_model:
        labels |= {"gpu.nvidia.com/class": machine.gpu_model, "gpu.nvidia.com/model": machine.gpu_model}
    return labels


def _zones(environment: CoreweaveEnvironment, _in_one_zone: bool) -> tuple[str, ...]:  # noqa: FBT001 (the interface's)
    return (environment.region,)


def _rdma_settings(rdma: Rdma) -> dict[str, str]:
    """Source: docs.coreweave.com, use-gpudirect-rdma (InfiniBand). RoCE types need networks of their own."""
    if rdma.kind != "infiniband":
        return {}
    env = {"NCCL_IB_HCA": "ibp", "NCCL_SOCKET_IFNAME": "eth0"}
    if rdma.adapters:
        env["UCX_NET_DEVICES"] = ",".join(f"ibp{index}:1" for index in range(rdma.adapters))
    return env


def nodepool_objects(deployment: Deployment) -> tuple[PlatformObject, ...]:
    """One NodePool for each pool, named `<mesh>-<pool>`: NodePools have no namespace."""
    return tuple(_nodepool(deployment, pool) for pool in deployment.pools)


def _nodepool(deployment: Deployment, pool: Pool) -> PlatformObject:
    from meshctl.render.objects import NumberRange, PlatformObject  # with jinja2: not for commands that only resolve
    from meshctl.render.pod.pods import common_labels
    from meshctl.render.templates import render

    autoscaling = pool.nodes_min < pool.nodes_max and not pool.machine.startswith(_RACK_MACHINES)
    labels = {key: value for key, value in pool.labels.items() if not _reserved(key)}
    values = {
        "name": f"{deployment.mesh}-{pool.name}",
        "labels": common_labels(deployment),
        "compute_class": "spot" if pool.market == "spot" else "default",
        "machine": pool.machine,
        "nodes": pool.nodes,
        "nodes_min": pool.nodes_min,
        "nodes_max": pool.nodes_max,
        "autoscaling": autoscaling,
        "node_labels": {**labels, **deployment.node_labels(pool.name)},
        "taints": [taint.model_dump() for taint in pool.taints],
    }
    (manifest,) = render("platform/nodepool.yaml.j2", ("NodePool",), values, _NODE_POOL_KIND)
    # between the bounds targetNodes is the autoscaler's, which writes no other number
    bounds = NumberRange("targetNodes", pool.nodes_min, pool.nodes_max) if autoscaling else None
    return PlatformObject(f"pool/{pool.name}:nodepool", manifest, wait=True, number_range=bounds)


def _reserved(label: str) -> bool:
    return label.partition("/")[0].endswith(_RESERVED_LABELS)


PLATFORM: Final = Platform(
    interface=2,
    name=_NAME,
    environment=CoreweaveEnvironment,
    cluster=given.CLUSTER,
    nodes=Nodes(
        made_of=Machines(
            catalog=_machines,
            # use-gpudirect-rdma-roce: an annotation with 16 networks; without it NCCL falls back to TCP
            refused_rdma={"roce": "RoCE needs networks of its own in each pod, which are not supported yet"},
            placement_groups=False,
            reservations=None,
            zones=_zones,
            root_disk_gib=0,
            image=lambda _machine: "",
            gpu_taints=(),
            pool_gaps=lambda _pool: (),
            reported_memory=1.0,  # the catalog has what the nodes report
            most_pods=110,
        ),
        labels=_labels,
        gpu_tolerations=({"key": "is_gpu", "operator": "Exists"},),  # the taint that CKS puts on its GPU nodes
        has_device_plugins=True,
        objects=nodepool_objects,
        moved_by_others=frozenset(),
        # docs.coreweave.com, "InfiniBand and RoCE labels" (read 2026-11-29); those with `ib.` are the older ones, of
        # InfiniBand alone
        domain_labels=(
            "ds.coreweave.com/nvlink.domain",
            "node.coreweave.cloud/rack",
            "backend.coreweave.cloud/leafgroup",
            "ib.coreweave.cloud/leafgroup",
            "backend.coreweave.cloud/superpod",
            "ib.coreweave.cloud/superpod",
            "backend.coreweave.cloud/fabric",
            "ib.coreweave.cloud/fabric",
        ),
    ),
    fabric=Fabric(
        settings=_rdma_settings,
        interfaces=lambda _rdma: (),
        declared=lambda _environment: None,
        resources=("rdma/",),
    ),
    storage=Storage(
        file_system=given.file_systems(_SHARED_CLASS),
        block=given.blocks(_SHARED_CLASS),
        prices=_storage_prices,
        made_classes=None,
        holding_types=(),
        grow_only=(),
        neural_mesh=NeuralMeshNodes(
            sign_drives="all-not-root", interfaces=None, emptied_by=frozenset({(_NODE_POOL, "spec.instanceType")})
        ),
    ),
    objects=ObjectStores(
        store=given.store_of_region,
        has_keys=True,
        takes_tags=False,
        bucket_settings={},
        # serves virtual-hosted names only; the pods' endpoint is the cache on each node, which nobody else reaches
        hosts={"cwobject.com": StoreHost(addressing="virtual", pod_endpoint="http://cwlota.com")},
        endpoint_hint="on CoreWeave it is https://cwobject.com",
    ),
    load_balancers=LoadBalancers(
        # without it the address is a private one (networking/ingress-service/expose-service-dns)
        public={"service.beta.kubernetes.io/coreweave-load-balancer-type": "public"},
        internal={},
        through_nodes=False,
        answers_within_s=60,
        tls=None,
    ),
    egress=Egress(usd_per_gb=None, source="unknown: depends on the contract"),
    words=Words(
        gaps=lambda _environment: [],
        notes=lambda _environment: (),
        not_in_cost=lambda _deployment: (),
        credentials_hint="",
        failure_hints={
            "Quota": "CoreWeave has no quota for that instance type in this zone: ask support, or choose another type",
            "NoAddress": "CoreWeave's own controller gives addresses: `kubectl describe service` shows why it has not",
        },
        terms={
            (_NODE_POOL, "spec.targetNodes"): "nodes",
            (_NODE_POOL, "spec.minNodes"): "nodes.min",
            (_NODE_POOL, "spec.maxNodes"): "nodes.max",
            (_NODE_POOL, "spec.instanceType"): "machine",
        },
        long_terms={},
        label_types=(),
    ),
    preflight=None,
    releases=None,
    declare=given.declare,
)
