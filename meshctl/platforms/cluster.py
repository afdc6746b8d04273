"""An existing Kubernetes cluster with the nodes that it has: the platforms `kubernetes` and `onprem`. PURE, but for
`declare`.

Found by `meshctl.platforms.registry` (entry points `kubernetes` and `onprem`). Pools get nodes by their hardware, which
are labelled for them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from meshctl.model.deployment import Deployment, Gap
from meshctl.model.environment import FabricOptions, GivenClusterEnvironment, Kubeconfig
from meshctl.model.files.key_values import Text
from meshctl.platforms import given
from meshctl.platforms.interface import (
    Egress,
    Fabric,
    LoadBalancers,
    Nodes,
    ObjectStores,
    Platform,
    Storage,
    Words,
)

if TYPE_CHECKING:
    from meshctl.render.objects import PlatformObject


class KubernetesEnvironment(GivenClusterEnvironment):
    provider: Literal["kubernetes"]
    kubernetes: Kubeconfig = Kubeconfig()
    fabric: FabricOptions = FabricOptions()


class OnpremEnvironment(GivenClusterEnvironment):
    provider: Literal["onprem"]
    inventory: Text | None = None
    kubernetes: Kubeconfig | None = None
    fabric: FabricOptions = FabricOptions()

    @classmethod
    def problems(
        cls, section: Mapping[str, Any], pools: Collection[str] | None
    ) -> list[tuple[tuple[str | int, ...], str]]:
        del pools
        if {"inventory", "kubernetes"} & section.keys():
            return []
        return [((), 'needs "inventory" (SSH hosts) or "kubernetes" (an existing cluster)')]


def _node_labels(deployment: Deployment) -> tuple[PlatformObject, ...]:
    from meshctl.render.cluster.nodes import node_label_objects  # with jinja2: not for commands that only resolve

    return node_label_objects(deployment)


def _onprem_gaps(environment: OnpremEnvironment) -> list[Gap]:
    if environment.kubernetes is not None:
        return []
    hint = "SSH hosts are not supported yet: give `kubernetes: {kubeconfig: …}`"
    return [Gap(subject="environment", wanted="a cluster on SSH hosts", best="an existing cluster", hint=hint)]


def _onprem_notes(environment: OnpremEnvironment) -> tuple[str, ...]:
    if environment.inventory is None or environment.kubernetes is None:
        return ()
    return (
        f"inventory {environment.inventory} is not read, as SSH hosts are not supported yet: the mesh runs on the"
        " cluster that `kubernetes` names; leave `inventory` out",
    )


_WORDS: Final = Words(
    gaps=lambda _environment: [],
    notes=lambda _environment: (),
    not_in_cost=lambda _deployment: (),
    credentials_hint="",
    failure_hints={},
    terms={},
    long_terms={},
    label_types=(),
)

KUBERNETES: Final = Platform(
    interface=2,
    name="kubernetes",
    environment=KubernetesEnvironment,
    cluster=given.CLUSTER,
    nodes=Nodes(
        made_of=None,
        labels=lambda machine: {
            "node.kubernetes.io/instance-type": machine.name,
            "kubernetes.io/arch": machine.arch,
        },
        gpu_tolerations=(),
        has_device_plugins=True,  # the cluster's operator installs them
        objects=_node_labels,
        moved_by_others=frozenset(),
    ),
    fabric=Fabric(
        settings=lambda _rdma: {},
        interfaces=lambda _rdma: (),
        declared=lambda environment: environment.fabric,
        resources=("rdma/", "nvidia.com/hostdev", "openshift.io/"),
    ),
    storage=Storage(
        file_system=given.file_systems(""),
        block=given.blocks(""),
        prices=tuple,
        made_classes=None,
        holding_types=(),
        grow_only=(),
    ),
    objects=ObjectStores(
        store=given.store,
        has_keys=True,
        takes_tags=False,
        bucket_settings={},
        hosts={},
        endpoint_hint="",
    ),
    load_balancers=LoadBalancers(public={}, internal={}, through_nodes=False, answers_within_s=10, tls=None),
    egress=Egress(usd_per_gb=None, source="unknown: depends on the site's connection"),
    words=_WORDS,
    preflight=None,
    releases=None,
    declare=given.declare,
)

ONPREM: Final = replace(
    KUBERNETES,
    name="onprem",
    environment=OnpremEnvironment,
    words=replace(_WORDS, gaps=_onprem_gaps, notes=_onprem_notes),
)
