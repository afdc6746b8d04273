"""Enough of an API server for the operator of the lab's WEKA: objects by path, merge patches, finalizers, and pods that
are ready at once where a node has room for them.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx

from meshctl.lab.pods import api
from meshctl.lab.weka.api.registry import Registry
from meshctl.lab.weka.operator import clients, clusters, drives, policies, world
from meshctl.lab.weka.provisioner import Provisioner
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.target import Target

Object = dict[str, Any]
IMAGE = "quay.io/weka.io/weka-in-container:4.4.21.2"
MESH = "weka.weka.io/v1alpha1"


def node(name: str, *, nvme: str = "4x7680", pages_mib: int = 65536, labels: dict[str, str] | None = None) -> Object:
    sizes = {"cpu": "64", "memory": "512Gi", "hugepages-2Mi": f"{pages_mib}Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {"pool": "gpu"}, "annotations": {drives.HARDWARE: nvme}},
        "spec": {},
        "status": {
            "capacity": dict(sizes),
            "allocatable": dict(sizes),
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def weka_cluster(**spec: Any) -> Object:
    template = {"driveContainers": 6, "computeContainers": 6, "driveCores": 2, "computeCores": 2, "numDrives": 4}
    return {
        "apiVersion": MESH,
        "kind": "WekaCluster",
        "metadata": {"name": "prod", "namespace": "weka"},
        "spec": {
            "image": IMAGE,
            "nodeSelector": {"pool": "gpu"},
            "dynamicTemplate": template,
            "network": {"udpMode": True},
            "gracefulDestroyDuration": "24h",
            **spec,
        },
    }


def sign_drives(**spec: Any) -> Object:
    payload = {"signDrivesPayload": {"type": "all-not-root", "nodeSelector": {"pool": "gpu"}}}
    return {
        "apiVersion": MESH,
        "kind": "WekaPolicy",
        "metadata": {"name": "sign", "namespace": "weka"},
        "spec": {"type": "sign-drives", "payload": payload, **spec},
    }


def weka_client(**spec: Any) -> Object:
    target = {"targetCluster": {"name": "prod", "namespace": "weka"}}
    wanted = {"image": IMAGE, "nodeSelector": {"pool": "gpu"}, "network": {"udpMode": True}, **target, **spec}
    return {"apiVersion": MESH, "kind": "WekaClient", "metadata": {"name": "gpu", "namespace": "weka"}, "spec": wanted}


class Kubernetes:
    """`objects`: by the path of each. `cluster`: what the lab calls it."""

    def __init__(self, root: Path, provider: str = "onprem") -> None:
        self.objects: dict[str, Object] = {}
        self.cluster = api.Cluster("dc1", "", "", provider)
        self.registry = Registry(root)
        self.provisioner = Provisioner(root)
        self.client = AsyncClient(Target("http://api"), transport=httpx.MockTransport(self.answer))
        self.uids = 0
        self.forbidden = ""  # the path at which nothing may be made
        self.looks_again_s: float | None = None  # when the operator looks again without a change

    def put(self, collection: str, *items: Object) -> None:
        for item in items:
            self.create(_in_space(collection, item), copy.deepcopy(item))

    def create(self, path: str, item: Object) -> Object:
        self.uids += 1
        item["metadata"] |= {"uid": f"u-{self.uids:04}"}
        self.objects[f"{path}/{item['metadata']['name']}"] = item
        if item.get("kind") == "Pod":
            self.schedule(item)
        if item.get("kind") == "PersistentVolumeClaim":
            item["status"] = {"phase": "Pending"}
        return item

    def get(self, path: str) -> Object:
        return self.objects[path]

    def schedule(self, pod: Object) -> None:
        """Onto the first node that has what it asks for, and no pod of its mode."""
        spec, mode = pod["spec"], pod["metadata"]["labels"]["weka.io/mode"]
        pod["status"] = {"conditions": []}
        for each in self.of("/api/v1/nodes"):
            name = each["metadata"]["name"]
            own = [one for one in self.of("/api/v1/pods") if one["spec"].get("nodeName") == name]
            labels = {**each["metadata"]["labels"], "kubernetes.io/os": "linux"}
            terms = spec["affinity"].get("nodeAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", {})
            fields = [one for term in terms.get("nodeSelectorTerms", []) for one in term["matchFields"]]
            if (
                all(labels.get(key) == value for key, value in spec["nodeSelector"].items())
                and all(name in field["values"] for field in fields)
                and all(one["metadata"]["labels"]["weka.io/mode"] != mode for one in own)
                and _has_room(each, [*own, pod])
            ):
                spec["nodeName"] = name
                pod["status"] = {"conditions": [{"type": "Ready", "status": "True"}], "podIP": "10.0.0.1"}
                return

    def of(self, collection: str) -> list[Object]:
        """In all namespaces."""
        base, _, plural = collection.rpartition("/")
        return [item for path, item in self.objects.items() if path.startswith(base) and path.split("/")[-2] == plural]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        path, body = request.url.path, json.loads(request.content or b"null")
        if request.method == "GET":
            return self._read(path, request.url.params.get("labelSelector", ""))
        if request.method == "POST" and path == self.forbidden:
            return httpx.Response(403, json={"reason": "Forbidden", "message": "violates PodSecurity"})
        if request.method == "POST":
            if "generateName" in body["metadata"]:
                body["metadata"]["name"] = f"{body['metadata']['generateName']}{self.uids}"
            if f"{path}/{body['metadata']['name']}" in self.objects:
                return httpx.Response(409, json={"reason": "AlreadyExists"})
            return httpx.Response(201, json=self.create(path, body))
        item = self.objects.get(path.removesuffix("/status"))
        if item is None:
            return httpx.Response(404, json={"reason": "NotFound"})
        if request.method == "PATCH":
            merge(item, body)
            if item["metadata"].get("deletionTimestamp"):
                self._collect()
        if request.method == "DELETE":
            self.delete(path)
        return httpx.Response(200, json=item)

    def delete(self, path: str) -> None:
        metadata = self.objects[path]["metadata"]
        metadata.setdefault("deletionTimestamp", datetime.now(UTC).isoformat())
        self._collect()

    def _read(self, path: str, selector: str) -> httpx.Response:
        if path in self.objects:
            return httpx.Response(200, json=self.objects[path])
        if (
            re.search(r"/[^/]+s$", path)
            and not re.search(r"/namespaces/[^/]+/[^/]+/[^/]+$", path)
            and path.count("/") <= 6
        ):
            items = [each for each in self.of(path) if _is_selected(each, selector)]
            return httpx.Response(200, json={"items": items, "metadata": {}})
        return httpx.Response(404, json={"reason": "NotFound"})

    def _collect(self) -> None:
        """Remove what was deleted and is not held, with what it owns."""
        for path, item in list(self.objects.items()):
            owners = [one["uid"] for one in item["metadata"].get("ownerReferences", [])]
            uids = {one["metadata"]["uid"] for one in self.objects.values()}
            deleted = item["metadata"].get("deletionTimestamp") and not item["metadata"].get("finalizers")
            if deleted or (owners and not uids & set(owners)):
                self.objects.pop(path, None)
                self._collect()
                return

    def look(self, *, has_csi: bool = True) -> None:
        """One look of the operator."""

        async def once() -> None:
            now = await world.look(self.client, self.registry, self.cluster, has_csi=has_csi)
            for each in now.nodes.values():
                await clusters.keep_node(now, each)
            for policy in now.policies:
                await policies.step_policy(now, policy)
            for operation in now.operations:
                await policies.step_operation(now, operation)
            for cluster in now.clusters:
                self.looks_again_s = await clusters.step(now, cluster)
            for client in now.clients:
                await clients.step(now, client)
            await self.provisioner.step(now)

        asyncio.run(once())
        for pod in self.of("/api/v1/pods"):  # the scheduler looks again
            if not pod["spec"].get("nodeName") and "weka.io/mode" in pod["metadata"].get("labels", {}):
                self.schedule(pod)

    def look_until(self, done: Callable[[], bool], *, most: int = 20) -> list[str]:
        """Look until it is so. Returns the states that the cluster went through."""
        states: list[str] = []
        for _ in range(most):
            self.look()
            state = self.state()
            if not states or states[-1] != state:
                states.append(state)
            if done():
                return states
        raise AssertionError(f"never so; states: {states}")

    def state(self) -> str:
        of_cluster = self.of(world.CLUSTERS)
        return (of_cluster[0].get("status") or {}).get("status", "") if of_cluster else "gone"

    def events(self) -> list[str]:
        return [each["message"] for each in self.of("/api/v1/events")]


def merge(target: Object, patch: Object) -> None:
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict):
            merge(target.setdefault(key, {}), value)
        else:
            target[key] = value


def _in_space(collection: str, item: Object) -> str:
    namespace = item["metadata"].get("namespace")
    base, _, plural = collection.rpartition("/")
    return f"{base}/namespaces/{namespace}/{plural}" if namespace else collection


def _is_selected(item: Object, selector: str) -> bool:
    labels = item["metadata"].get("labels") or {}
    if not selector:
        return True
    return selector[1:] not in labels if selector.startswith("!") else selector in labels


def _has_room(each: Object, pods: list[Object]) -> bool:
    def count(quantity: str) -> float:
        units = {"Mi": 1, "Gi": 1024, "": 1, "m": 0.001}
        matched = re.fullmatch(r"([\d.]+)(\w*)", quantity)
        assert matched is not None
        return float(matched[1]) * units[matched[2]]

    asked: dict[str, float] = {}
    for pod in pods:
        for name, quantity in pod["spec"]["containers"][0]["resources"]["requests"].items():
            asked[name] = asked.get(name, 0) + count(quantity)
    return all(total <= count(each["status"]["allocatable"].get(name, "0")) for name, total in asked.items())
