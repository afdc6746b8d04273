"""What the operator looks at in one Kubernetes cluster, read at once, and how it writes. EDGE: the API server.

Made by `controllers.weka` at each look; read by `clusters`, `clients`, `policies` and `provisioner`.
"""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import dataclass, field
from typing import Any, Final

from meshctl.lab.controllers.nodes import NODES, is_ready
from meshctl.lab.pods import api
from meshctl.lab.weka.api.registry import Registry
from meshctl.lab.weka.kinds.definitions import API
from meshctl.lab.weka.operator.containers import MODE_LABEL, Container, manifest, pod
from meshctl.lab.weka.operator.status import NOT_RUNNING
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

Object = dict[str, Any]
FINALIZER: Final = "weka.weka.io/finalizer"
PODS: Final = "/api/v1/pods"
CLUSTERS: Final = f"{API}/wekaclusters"
CLIENTS: Final = f"{API}/wekaclients"
CONTAINERS: Final = f"{API}/wekacontainers"
POLICIES: Final = f"{API}/wekapolicies"
OPERATIONS: Final = f"{API}/wekamanualoperations"


@dataclass(frozen=True)
class World:
    """`provider`: the platform that the lab plays here. `has_csi`: whether the operator brings the CSI driver."""

    client: AsyncClient
    registry: Registry
    kubernetes_cluster: str
    provider: str
    has_csi: bool = False
    nodes: dict[str, Object] = field(default_factory=dict)
    pods: dict[tuple[str, str], Object] = field(default_factory=dict)  # by namespace and name, those of containers
    clusters: list[Object] = field(default_factory=list)
    clients: list[Object] = field(default_factory=list)
    containers: dict[tuple[str, str], Object] = field(default_factory=dict)
    policies: list[Object] = field(default_factory=list)
    operations: list[Object] = field(default_factory=list)

    def node_of(self, container: Container) -> Object | None:
        """The node on which the container's pod is ready."""
        present = self.pods.get((container.namespace, container.name))
        if present is None or present["metadata"].get("deletionTimestamp") or not is_ready(present):
            return None
        return self.nodes.get(present["spec"].get("nodeName", ""))

    def is_running(self, container: Container) -> bool:
        return self.node_of(container) is not None


async def look(client: AsyncClient, registry: Registry, cluster: api.Cluster, *, has_csi: bool) -> World:
    """Raises: ApiError once the kinds are gone."""
    nodes, pods, *own = await asyncio.gather(
        api.items(client, NODES),
        api.items(client, PODS, labelSelector=MODE_LABEL),
        *(api.items(client, path) for path in (CLUSTERS, CLIENTS, CONTAINERS, POLICIES, OPERATIONS)),
    )
    clusters, clients, containers, policies, operations = own
    return World(
        client,
        registry,
        cluster.name,
        cluster.provider,
        has_csi=has_csi,
        nodes={each["metadata"]["name"]: each for each in nodes},
        pods={key_of(each): each for each in pods},
        clusters=clusters,
        clients=clients,
        containers={key_of(each): each for each in containers},
        policies=policies,
        operations=operations,
    )


def key_of(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def path_of(collection: str, item: Object) -> str:
    """Of one object of a collection in all namespaces."""
    base, _, plural = collection.rpartition("/")
    namespace, name = key_of(item)
    return f"{base}/namespaces/{namespace}/{plural}/{name}"


def collection_in(collection: str, namespace: str) -> str:
    base, _, plural = collection.rpartition("/")
    return f"{base}/namespaces/{namespace}/{plural}"


def stamp() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def report(world: World, collection: str, item: Object, status: Object) -> None:
    """Write the status where it differs: every write wakes the operator again."""
    present = item.get("status") or {}
    if {key: present.get(key) for key in status} != status:
        await api.patch(world.client, f"{path_of(collection, item)}/status", {"status": status})


async def hold(world: World, collection: str, item: Object) -> None:
    """Have the object stay until the operator has taken down what it stands for."""
    finalizers = item["metadata"].get("finalizers", [])
    if FINALIZER not in finalizers and not item["metadata"].get("deletionTimestamp"):
        body = {"metadata": {"finalizers": [*finalizers, FINALIZER]}}
        await api.patch(world.client, path_of(collection, item), body)


async def release(world: World, collection: str, item: Object) -> None:
    others = [each for each in item["metadata"].get("finalizers", []) if each != FINALIZER]
    await api.patch(world.client, path_of(collection, item), {"metadata": {"finalizers": others}})


async def ensure_container(world: World, container: Container) -> None:
    """The WekaContainer and its pod; a pod of another image or with other demands is made anew, once all others of its
    mode run."""
    key = (container.namespace, container.name)
    present = world.containers.get(key)
    wanted = manifest(container)
    if present is None:
        await api.ensure(world.client, collection_in(CONTAINERS, container.namespace), wanted)
        return  # its pod is owned by it, and comes with the next look
    if any(present["spec"].get(name) != value for name, value in wanted["spec"].items()):
        await api.patch(world.client, path_of(CONTAINERS, present), {"spec": wanted["spec"]})
    if key in world.pods:
        return
    of_container = pod(container, present["metadata"]["uid"])
    try:
        await api.ensure(world.client, collection_in(PODS, container.namespace), of_container)
    except ApiError as error:  # as in a namespace that admits no privileged pods
        await report(world, CONTAINERS, present, {"status": NOT_RUNNING, "message": str(error)})


def is_outdated(world: World, container: Container) -> bool:
    present = world.pods.get((container.namespace, container.name))
    return present is not None and present["spec"]["containers"][0]["image"] != container.image


async def roll(world: World, wanted: list[Container]) -> bool:
    """Replace one pod of an older image, where all others run. Returns whether any is left of an older image."""
    outdated = [each for each in wanted if is_outdated(world, each)]
    if outdated and all(world.is_running(each) for each in wanted):
        await end_pod(world, (outdated[0].namespace, outdated[0].name))
    return bool(outdated)


async def end_pod(world: World, key: tuple[str, str]) -> None:
    present = world.pods.get(key)
    if present is not None and not present["metadata"].get("deletionTimestamp"):
        await api.delete(world.client, path_of(PODS, present))


async def end_container(world: World, present: Object) -> None:
    """With its pod, which it owns."""
    if not present["metadata"].get("deletionTimestamp"):
        await api.delete(world.client, path_of(CONTAINERS, present))


def containers_of(world: World, kind: str, owner: Object) -> list[Object]:
    """The WekaContainers that a WekaCluster or WekaClient owns."""
    uid = owner["metadata"]["uid"]
    return [
        each
        for each in world.containers.values()
        if any(one["kind"] == kind and one["uid"] == uid for one in each["metadata"].get("ownerReferences", ()))
    ]
