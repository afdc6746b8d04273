"""A shift's requests to a cluster. EDGE: does what `gateway` says through the client of `cluster_access`.

Made by `cli.shift`. Source for the answers of the Eviction API (201, 404, 429, 500 for more than one budget):
https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.deployment import Deployment
from meshctl.model.keys import elastic
from meshctl.model.pods import object_names
from meshctl.shift.gateway import FIELD_MANAGER, GONE, Budget, Gang, Node, Patch, Pod
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import DisruptionBudget, Server
from meshwire.kubernetes.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBS,
    LEADER_WORKER_SETS,
    NODES,
    PODS,
    STATEFUL_SETS,
    Resource,
)

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_LOOKS: Final = 5  # for a change that its controller has not seen yet
_LOOK_S: Final = 1.0
_FORBIDDEN, _ABSENT, _CONFLICT, _TOO_MANY = 403, 404, 409, 429


@dataclass
class ClusterGateway:
    """The cluster of one environment. `running_change`: who holds the lock of the environment's state, in words."""

    access: ClusterAccess
    deployment: Deployment
    running_change: Callable[[], str]
    clock: Callable[[], float] = time.time
    pause: Callable[[float], None] = time.sleep

    def nodes(self) -> list[Node]:
        with self._connected() as client:
            return cast("list[Node]", client.list_objects(NODES))

    def nodes_named(self, names: Iterable[str]) -> list[Node]:
        with self._connected() as client:
            return [node for name in names if (node := _node(client, name)) is not None]

    def node(self, name: str) -> Node | None:
        with self._connected() as client:
            return _node(client, name)

    def patch_node(self, name: str, patch: Patch) -> bool:
        with self._connected() as client:
            try:
                client.patch(NODES, name, dict(patch), kind=requests.MERGE_PATCH, manager=FIELD_MANAGER)
            except ApiError as error:
                if error.status != _CONFLICT:
                    raise
                return False
            return True

    def pods_on(self, nodes: Iterable[str]) -> list[Pod]:
        with self._connected() as client:
            listed = [client.list_objects(PODS, fields={"spec.nodeName": node}) for node in nodes]
        return [cast("Pod", pod) for pods in listed for pod in pods]

    def pods_of_mesh(self) -> list[Pod]:
        with self._connected() as client:
            return cast("list[Pod]", client.list_objects(PODS, namespace=self.deployment.namespace))

    def evict(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> str:
        body: dict[str, Any] = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": {"preconditions": {"uid": uid}},
        }
        path = f"{PODS.path(namespace, name)}/eviction"
        with self._connected() as client:
            try:
                client.send(requests.create(path, body, **requests.writing(dry_run=dry_run)))
            except ApiError as error:
                if error.status in (_ABSENT, _CONFLICT):  # gone, or another pod of that name
                    return GONE
                if error.status == _TOO_MANY or "more than one PodDisruptionBudget" in error.message:
                    return _words(error)
                raise
        return ""

    def budgets(self) -> list[Budget]:
        with self._connected() as client:
            try:
                listed = client.list_objects(DISRUPTION_BUDGETS, namespace=self.deployment.namespace)
            except ApiError as error:
                if error.status != _FORBIDDEN:
                    raise
                return []
        return [budget for item in listed if (budget := _budget(item)) is not None]

    def suspend(self, job: str, *, suspended: bool) -> bool:
        if not suspended and not self._runs(job):
            return False
        return self._patched(JOBS, job, {"spec": {"suspend": suspended}})

    def gang(self, job: str) -> Gang | None:
        with self._connected() as client:
            try:
                live = client.get(JOBS, job, namespace=self.deployment.namespace)
            except ApiError as error:
                if error.status != _ABSENT:
                    raise
                return None
        spec, conditions = live["spec"], live.get("status", {}).get("conditions") or ()
        ended = any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions)
        return Gang(int(spec.get("parallelism") or 0), bool(spec.get("suspend")), ended)

    def resize(self, job: str, nodes: int) -> None:
        """Patches the ConfigMap first, because pods read it when they start. Size and start are one patch, so that no
        pod starts before both: https://kubernetes.io/docs/concepts/workloads/controllers/job/#elastic-indexed-jobs"""
        self._patched(CONFIG_MAPS, object_names.gang(job), {"data": elastic.data(job, nodes)})
        start = {"suspend": False} if self._runs(job) else {}
        self._patched(JOBS, job, {"spec": {"completions": nodes, "parallelism": nodes, **start}})

    def _runs(self, job: str) -> bool:
        return any(each.name == job and each.runs for each in self.deployment.workloads)

    def _patched(self, resource: Resource[Any], name: str, patch: dict[str, Any]) -> bool:
        """False where there is no such object of the mesh."""
        with self._connected() as client:
            try:
                client.patch(
                    resource,
                    name,
                    patch,
                    kind=requests.MERGE_PATCH,
                    namespace=self.deployment.namespace,
                    manager=FIELD_MANAGER,
                )
            except ApiError as error:
                if error.status != _ABSENT:
                    raise
                return False
        return True

    def changed_by(self, workloads: Collection[str] | None = None) -> str:
        running = self.running_change()
        if running:
            return running
        rolling = self._rolling(workloads)
        for _ in range(_LOOKS):
            if all(map(is_seen, rolling)):
                break
            self.sleep(_LOOK_S)
            rolling = self._rolling(workloads)
        names = sorted(server["metadata"]["name"] for server in rolling)
        return f"{', '.join(names)} is being rolled out" if names else ""

    def _rolling(self, workloads: Collection[str] | None) -> list[Server]:
        with self._connected() as client:
            rolling = [
                server
                for resource in (DEPLOYMENTS, STATEFUL_SETS)
                for server in self._servers(client, resource)
                if is_rolling(server)
            ]
            if self.deployment.has_group_controller and any(w.is_grouped for w in self.deployment.workloads):
                groups = self._servers(client, LEADER_WORKER_SETS)
                rolling += [each for each in groups if are_groups_rolling(each)]
        return [each for each in rolling if workloads is None or _workload(each) in workloads]

    def _servers(self, client: Client, resource: Resource[Server]) -> list[Server]:
        return client.list_objects(resource, namespace=self.deployment.namespace)

    def now(self) -> float:
        return self.clock()

    def sleep(self, seconds: float) -> None:
        self.pause(seconds)

    @contextmanager
    def _connected(self) -> Iterator[Client]:
        with self.access.connected() as client:
            yield client


def _node(client: Client, name: str) -> Node | None:
    try:
        return cast("Node", client.get(NODES, name))
    except ApiError as error:
        if error.status != _ABSENT:
            raise
        return None


def _workload(server: Server) -> str:
    """Of a group, too, whose sets have names of their own."""
    metadata = server["metadata"]
    return metadata.get("labels", {}).get("app.kubernetes.io/name", metadata["name"])


def is_seen(server: Server) -> bool:
    """Whether its controller has seen what was changed last; else it is not known whether pods are to be replaced. A
    scaler's change is not seen for a moment, either. PURE."""
    status = server.get("status", {})
    return status.get("observedGeneration", 0) >= server.get("metadata", {}).get("generation", 0)


def is_rolling(server: Server) -> bool:
    """Whether pods of an older template are still there, or the controller has not seen the newest one. Missing or
    unready pods are not a roll-out: they may wait for this very shift. PURE."""
    status = server.get("status", {})
    if not status:
        return False
    return not is_seen(server) or status.get("updatedReplicas", 0) < status.get("replicas", 0)


def are_groups_rolling(group_set: Server) -> bool:
    """As `is_rolling`, of a LeaderWorkerSet. It has no observedGeneration, and says in a condition that it is rolled
    out: github.com/kubernetes-sigs/lws, api/leaderworkerset/v1/leaderworkerset_types.go. PURE."""
    status = group_set.get("status", {})
    conditions = status.get("conditions") or ()
    is_updating = any(each["type"] == "UpdateInProgress" and each["status"] == "True" for each in conditions)
    replicas = status.get("replicas", 0)
    return is_updating or status.get("updatedReplicas", replicas) < replicas


def _budget(item: DisruptionBudget) -> Budget | None:
    """None before its controller has counted its pods, and where it chooses them by more than labels."""
    selector, status = item.get("spec", {}).get("selector") or {}, item.get("status", {})
    if not status.get("expectedPods") or selector.get("matchExpressions"):
        return None
    return Budget(selector.get("matchLabels") or {}, status["expectedPods"], status.get("desiredHealthy", 0))


def _words(error: ApiError) -> str:
    """The causes name the budget; the message alone is "Cannot evict pod as it would violate the pod's disruption
    budget."."""
    causes = error.details.get("causes") or []
    reasons = [str(cause.get("message")) for cause in causes if cause.get("message")]
    return "; ".join(reasons) or error.message
