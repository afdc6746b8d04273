"""A cluster in memory that evicts, schedules and restarts pods, and a run that may be killed at any moment of a shift.

Each node has room for one pod of the mesh. Time passes only while the shift sleeps.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import pytest
from obstore.store import MemoryStore

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.engine.state_store import StateStore
from meshctl.migrate.progress import Event
from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment
from meshctl.model.keys import elastic, gangs
from meshctl.shift.cluster_gateway import ClusterGateway
from meshctl.shift.gateway import FIELD_MANAGER
from meshctl.shift.shifts import Shifts
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.requests import Request
from meshwire.kubernetes.resources import Resource
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import client_of
from tests.unit.shift.test_node_changes import merged

START_S = 1_764_000_000.0
STARTS_IN_S = 4.0  # how long a new pod takes to become ready
ENDS_IN_S = 3.0  # how long a pod takes to end that heeds its signal

Object = dict[str, Any]


class Killed(BaseException):
    """A `kill -9`: no code of meshctl may handle it."""


@dataclass
class World:
    """`budgets`: how many pods of a workload may be missing; others have no budget. `stubborn`: the workloads whose
    pods end only when their grace is over. `kill_at`: the number of the moment at which the run is killed; 0 = never.
    """

    deployment: Deployment
    nodes: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    jobs: dict[str, Object] = field(default_factory=dict)
    sizes: dict[str, Object] = field(default_factory=dict)  # the ConfigMaps of elastic gangs
    groups: list[Object] = field(default_factory=list)  # LeaderWorkerSets
    servers: list[Object] = field(default_factory=list)
    replicas: dict[str, int] = field(default_factory=dict)
    budgets: dict[str, int] = field(default_factory=dict)
    stubborn: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()  # the workloads whose new pods have a scheduling gate
    released_after_s: float = math.inf  # how long there is room for such a pod before somebody takes its gate
    fits_since: dict[str, float] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    now: float = START_S
    running_change: str = ""
    events: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    kill_at: int = 0
    moments: int = 0
    is_killed: bool = False
    store: MemoryStore = field(default_factory=MemoryStore)
    least_ready: dict[str, int] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def begin(self) -> Self:
        """The nodes of each pool, labelled, and the pods of all workloads ready on them."""
        for pool in self.deployment.pools:
            for number in range(pool.nodes):
                labels = {**self.deployment.node_labels(pool.name), "zone": "a"}
                taints: list[Object] = [{"key": each.key, "effect": each.effect} for each in pool.taints]
                self.add_node(f"{pool.name}-{number}", labels, taints)
        for workload in self.deployment.workloads:
            self.replicas.setdefault(workload.name, workload.replicas)
            if workload.is_job:
                size = {"completions": workload.replicas, "parallelism": workload.replicas}
                self.jobs[workload.name] = {"metadata": {"name": workload.name}, "spec": {"suspend": False, **size}}
            if workload.is_elastic:
                data = elastic.data(workload.name, workload.replicas)
                self.sizes[f"{workload.name}-gang"] = {"metadata": {}, "data": data}
        self.sleep(0)
        self.sleep(STARTS_IN_S)
        self.events.clear()
        self.least_ready.clear()
        return self

    def add_node(self, name: str, labels: Mapping[str, str], taints: Iterable[Object] = ()) -> None:
        spec = {"taints": list(taints)} if taints else {}
        status = {"conditions": [{"type": "Ready", "status": "True"}]}
        owned: Object = {"f:metadata": {"f:labels": {f"f:{key}": {} for key in labels}}}
        entry = {"manager": "up", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": owned}
        metadata = {"name": name, "resourceVersion": "1", "labels": dict(labels), "managedFields": [entry]}
        self.nodes[name] = {"metadata": metadata, "spec": spec, "status": status}

    def kill_node(self, name: str) -> None:
        """It does not answer any more: its pods can't end."""
        self.dead.add(name)
        self.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    def revive_node(self, name: str) -> None:
        self.dead.discard(name)
        self.nodes[name]["status"]["conditions"] = [{"type": "Ready", "status": "True"}]

    def of(self, workload: str) -> list[Object]:
        return [pod for pod in self.pods.values() if _workload(pod) == workload]

    def placed(self, workload: str) -> list[str]:
        return sorted(pod["spec"]["nodeName"] for pod in self.of(workload) if pod["spec"].get("nodeName"))

    # what a shift sees of the cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def list_objects(
        self, resource: Resource[Any], *, namespace: str = "", fields: Mapping[str, str] | None = None, **_: Any
    ) -> list[Any]:
        listed = {
            "nodes": [*self.nodes.values()],
            "pods": [*self.pods.values()],
            "deployments": self.servers,
            "leaderworkersets": self.groups,
            "poddisruptionbudgets": [self._budget(workload) for workload in self.budgets],
        }.get(resource.plural, [])
        node = (fields or {}).get("spec.nodeName")
        return [
            copy.deepcopy(item)
            for item in listed
            if namespace in ("", item["metadata"].get("namespace", namespace))
            and node in (None, item["spec"].get("nodeName"))
        ]

    def _budget(self, workload: str) -> Object:
        count = self.replicas[workload]
        status = {"expectedPods": count, "desiredHealthy": max(count - self.budgets[workload], 0)}
        selector = {"matchLabels": {"app.kubernetes.io/name": workload}}
        return {"metadata": {"name": workload}, "spec": {"selector": selector}, "status": status}

    def get(self, resource: Resource[Any], name: str, **_: Any) -> Any:
        objects = self._objects(resource)
        if name not in objects:
            raise ApiError(404, f'{resource.plural} "{name}" not found')
        return copy.deepcopy(objects[name])

    def _objects(self, resource: Resource[Any]) -> dict[str, Object]:
        return {"nodes": self.nodes, "jobs": self.jobs, "configmaps": self.sizes}[resource.plural]

    def patch(self, resource: Resource[Any], name: str, body: Any, **_: Any) -> Any:
        """Who changes a label is its only owner then, as an API server has it."""
        self.moment()
        objects = self._objects(resource)
        if name not in objects:
            raise ApiError(404, f"{name} not found")
        version = body.get("metadata", {}).get("resourceVersion")
        if version is not None and version != objects[name]["metadata"]["resourceVersion"]:
            raise ApiError(409, "the object has been modified")
        objects[name] = merged(objects[name], body)
        if resource.plural == "nodes":
            _own(objects[name], body)
            objects[name]["metadata"]["resourceVersion"] = str(int(version) + 1)
            self.events.append(f"patch {name} {_changes(body)}")
        elif "completions" in body.get("spec", {}):
            assert not self.of(name), "ranks that run keep the number that they have started with"
            self.replicas[name] = body["spec"]["parallelism"]
            self.events.append(f"resize {name} {body['spec']['completions']}")
        elif resource.plural == "jobs":
            self.events.append(f"suspend {name} {body['spec']['suspend']}")
        self._control()
        self.moment()

    def send(self, request: Request) -> Any:
        """The Eviction API alone."""
        assert request.path.endswith("/eviction")
        name = request.path.split("/")[-2]
        pod = self.pods.get(name)
        if pod is None or pod["metadata"]["uid"] != request.body["deleteOptions"]["preconditions"]["uid"]:
            raise ApiError(404, f"{name} not found")
        workload = _workload(pod)
        if workload in self.budgets:
            missing = self.replicas[workload] - sum(map(_is_ready, self.of(workload)))
            if missing >= self.budgets[workload]:
                causes = {"causes": [{"message": f"the disruption budget {workload} needs all pods"}]}
                raise ApiError(429, "would violate the pod's disruption budget", details=causes)
        if request.query.get("dryRun") == "All":
            return {}
        self.moment()
        self.events.append(f"evict {name}")
        self._end(pod)
        self.moment()
        return {}

    # what the cluster does by itself

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._control()

    def moment(self) -> None:
        self.moments += 1
        if self.is_killed or self.moments == self.kill_at:
            self.is_killed = True
            raise Killed

    def _end(self, pod: Object) -> None:
        grace_s = pod["spec"]["terminationGracePeriodSeconds"]
        lasts_s = grace_s if _workload(pod) in self.stubborn else min(ENDS_IN_S, grace_s)
        pod["metadata"].setdefault("deletionTimestamp", _timestamp(self.now + grace_s))
        pod.setdefault("ends_at", self.now + lasts_s)
        pod["status"]["conditions"] = []

    def _control(self) -> None:
        """The controllers, the scheduler and the kubelets."""
        for name, pod in [*self.pods.items()]:
            if pod.get("ends_at", self.now + 1) <= self.now and pod["spec"].get("nodeName") not in self.dead:
                del self.pods[name]
        for workload, count in self.replicas.items():
            self._keep(workload, count)
        for pod in self.pods.values():
            self._schedule(pod)
            is_ending = "deletionTimestamp" in pod["metadata"]
            if pod["spec"].get("nodeName") and not is_ending and self.now >= pod.get("ready_at", self.now + 1):
                pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        for workload in self.replicas:
            ready = sum(map(_is_ready, self.of(workload)))
            self.least_ready[workload] = min(ready, self.least_ready.get(workload, ready))

    def _keep(self, workload: str, count: int) -> None:
        is_suspended = self.jobs.get(workload, {}).get("spec", {}).get("suspend", False)
        pods = self.of(workload)
        if is_suspended:
            for pod in pods:
                self._end(pod)
            return
        # a Job waits until its pod has ended (podReplacementPolicy: Failed), a Deployment does not
        alive = [pod for pod in pods if workload in self.jobs or "deletionTimestamp" not in pod["metadata"]]
        for _ in range(count - len(alive)):
            self._add_pod(workload)
        too_many = len(alive) - count if workload not in self.jobs else 0
        for pod in sorted(alive, key=lambda pod: bool(pod["spec"].get("nodeName")))[: max(too_many, 0)]:
            self._end(pod)

    def _add_pod(self, workload: str) -> None:
        declared = self.deployment.workload(workload)
        number = next(self.numbers)
        metadata: dict[str, Any] = {
            "name": f"{workload}-{number}",
            "namespace": self.deployment.namespace,
            "uid": f"uid-{number}",
            "labels": {"app.kubernetes.io/name": workload, "app.kubernetes.io/managed-by": "meshctl"},
        }
        grace_s = declared.checkpoint.grace_s if declared.checkpoint else 60
        spec = {"terminationGracePeriodSeconds": grace_s, "nodeSelector": self.deployment.node_labels(declared.pool)}
        self.pods[metadata["name"]] = {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}
        if workload in self.held:
            spec["schedulingGates"] = [{"name": gangs.GATE}]
        if declared.is_elastic:
            self.pods[metadata["name"]]["nodes"] = self.sizes[f"{workload}-gang"]["data"]["nodes"]

    def _schedule(self, pod: Object) -> None:
        if pod["spec"].get("nodeName"):
            return
        taken = {each["spec"].get("nodeName") for each in self.pods.values()}
        for name, node in sorted(self.nodes.items()):
            labels = node["metadata"]["labels"].items()
            fits = pod["spec"]["nodeSelector"].items() <= labels and not node["spec"].get("unschedulable")
            if fits and name not in taken | self.dead:
                if not self._is_released(pod):
                    return
                pod["spec"]["nodeName"] = name
                pod["ready_at"] = self.now + STARTS_IN_S
                return

    def _is_released(self, pod: Object) -> bool:
        """Whether the scheduler may place a pod for which there is room."""
        name = pod["metadata"]["name"]
        since_s = self.fits_since.setdefault(name, self.now)
        if "schedulingGates" in pod["spec"] and self.now - since_s >= self.released_after_s:
            del pod["spec"]["schedulingGates"]
        return "schedulingGates" not in pod["spec"]

    def shifts(self) -> Shifts:
        gateway = ClusterGateway(
            ClusterAccess("dc1"), self.deployment, lambda: self.running_change, lambda: self.now, self.sleep
        )
        return Shifts(self.deployment, gateway, MortalStore(self.store, None, self), self._report, break_lock=True)

    def _report(self, event: Event) -> None:
        self.messages.append(event.text)

    def survive(self) -> None:
        """The next run is a new process: the lock of the one that was killed counts for nothing."""
        self.is_killed, self.kill_at = False, 0
        store = StateStore(self.store)
        for path in store.paths("migrations/demo/locks"):
            store.delete(path)


class MortalStore(StateStore):
    """The store of the journal. A kill can happen before or after each write; after it, nothing is written any more."""

    def __init__(self, store: Any, folder: Any, world: World) -> None:
        super().__init__(store, folder)
        object.__setattr__(self, "world", world)

    def create(self, path: str, text: str) -> bool:
        self.world.moment()  # type: ignore[attr-defined]
        made = super().create(path, text)
        self.world.moment()  # type: ignore[attr-defined]
        return made

    def delete(self, path: str) -> None:
        if not self.world.is_killed:  # type: ignore[attr-defined]
            super().delete(path)


def _workload(pod: Object) -> str:
    return str(pod["metadata"]["labels"].get("app.kubernetes.io/name", ""))


def _is_ready(pod: Object) -> bool:
    return any(each["type"] == "Ready" for each in pod["status"].get("conditions", ()))


def _own(node: Object, body: Object) -> None:
    changed = [f"f:{label}" for label in body["metadata"].get("labels", ())]
    if "managedFields" in body["metadata"] or not changed:
        return
    for entry in node["metadata"]["managedFields"]:
        for field_name in changed:
            entry["fieldsV1"]["f:metadata"]["f:labels"].pop(field_name, None)
    owned: Object = {"f:metadata": {"f:labels": {key: {} for key in changed}}}
    node["metadata"]["managedFields"].append(
        {"manager": FIELD_MANAGER, "operation": "Update", "apiVersion": "v1", "fieldsV1": owned}
    )


def _changes(body: Object) -> str:
    if "managedFields" in body["metadata"]:
        return "owners"
    if "labels" in body["metadata"]:
        return f"to {body['metadata']['labels'][POOL_LABEL]}"
    return "cordon" if body["spec"].get("unschedulable") else "uncordon"


def _timestamp(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat()


def declared(gang: int = 4, chat: int = 2, least: int = 0) -> Deployment:
    """Pools train of four nodes and serve of two; a gang and a service that take a whole node with each pod. `least`:
    with how few nodes the gang goes on."""
    made = deployment("dc1", mesh="demo")
    workloads = {w.name: w for w in made.workloads}
    return made.model_copy(
        update={
            "workloads": (
                workloads["chat"].model_copy(update={"replicas": chat}),
                workloads["pretrain"].model_copy(update={"replicas": gang, "least_nodes": least}),
            )
        }
    )


def world_of(patch: pytest.MonkeyPatch, **changes: Any) -> World:
    world = World(**{"deployment": declared(), **changes}).begin()
    patch.setattr(ClusterAccess, "client", client_of(world))
    return world


__all__ = ["MESH_LABEL", "POOL_LABEL", "Killed", "World", "declared", "world_of"]
