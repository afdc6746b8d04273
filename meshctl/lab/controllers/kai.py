"""KAI Scheduler, as far as the lab plays it: it places pods with `schedulerName: kai-scheduler`, and takes back. EDGE.

Run for the clusters that `meshctl lab up --kai` names. The API server has definitions of its queues and topologies, and
checks objects by them; what is placed where, and who ends for whom, is decided in `kai_rules`.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import re
import time
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any, Final

import yaml

from meshctl.lab.controllers import kai_rules
from meshctl.lab.controllers.changes import following
from meshctl.lab.controllers.kai_rules import Node, Pod, Queue
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

QUEUES: Final = "/apis/scheduling.run.ai/v2/queues"
SCHEDULER: Final = "kai-scheduler"
CLUSTERS: Final = ("cw", "dc1")
_TOPOLOGIES: Final = "/apis/kai.scheduler/v1alpha1/topologies"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_PODS, _NODES, _JOBS = "/api/v1/pods", "/api/v1/nodes", "/apis/batch/v1/jobs"
_QUEUE: Final = "kai.scheduler/queue"
_DEFAULT_QUEUE: Final = "default-queue"
_PREEMPTIBILITY: Final = "kai.scheduler/preemptibility"
_GANG: Final = "kai.scheduler/batch-min-member"
_NODE_POOL: Final = "kai.scheduler/node-pool"  # the lab has the one of all that lack it
_GPU: Final = "nvidia.com/gpu"
_PREEMPTIBLE_BELOW: Final = 100  # of PriorityClasses, where the label is missing
_UNITS: Final = {
    "Ki": 1024,
    "Mi": 1024**2,
    "Gi": 1024**3,
    "Ti": 1024**4,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "T": 10**12,
}
_SECONDS: Final = {"h": 3600, "m": 60, "s": 1}
_START_EVERY_S: Final = 0.3

Object = dict[str, Any]


async def play(_lab: Lab, _cluster: api.Cluster, client: AsyncClient, ready: Callable[[], None]) -> None:
    """Place what asks for it, for ever. `ready` is called once its kinds are served."""
    texts = resources.files(__package__).joinpath("kai-crds.yaml").read_text()
    for definition in yaml.safe_load_all(texts):
        await api.ensure(client, _DEFINITIONS, definition)
    while not await _are_served(client):
        await asyncio.sleep(_START_EVERY_S)
    ready()
    async with following(client, [QUEUES, _PODS, _NODES, _JOBS]) as changes:
        while True:
            await changes.wait(await _look(client))


async def _are_served(client: AsyncClient) -> bool:
    try:
        await api.items(client, QUEUES)
        await api.items(client, _TOPOLOGIES)
    except ApiError:
        return False
    return True


async def _look(client: AsyncClient) -> float | None:
    """Do what is to be done now; after how many seconds to look again though nothing has changed, None for never."""
    listed = await api.items(client, _PODS)
    if not any(each["spec"].get("schedulerName") == SCHEDULER for each in listed):
        return None
    queues = {each["metadata"]["name"]: queue_of(each) for each in await api.items(client, QUEUES) if _is_here(each)}
    nodes = [node_of(each) for each in await api.items(client, _NODES) if _is_here(each)]
    sizes = {each["metadata"]["uid"]: _gang_size(each) for each in await api.items(client, _JOBS)}
    pods = [pod_of(each, sizes) for each in listed if not _has_ended(each)]
    decision = kai_rules.decide(queues, nodes, pods, time.time())
    for pod in decision.evicted:
        await api.delete(client, _path(pod))
    for pod, node in decision.bound:
        target = {"apiVersion": "v1", "kind": "Node", "name": node}
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name}, "target": target}
        with contextlib.suppress(ApiError):  # it is gone, or has changed: the next look sees it
            await api.post(client, f"{_path(pod)}/binding", binding)
    by_uid = {each["metadata"]["uid"]: each for each in listed}
    for uid, reason in decision.waits.items():
        await _explain(client, by_uid[uid], reason)
    return decision.again_s


async def _explain(client: AsyncClient, pod: Object, message: str) -> None:
    """The condition by which people, and `status`, see why a pod waits."""
    conditions = pod.get("status", {}).get("conditions") or []
    if any(each["type"] == "PodScheduled" and each.get("message") == message for each in conditions):
        return
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    others = [each for each in conditions if each["type"] != "PodScheduled"]
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
    await api.patch(client, path, {"status": {"conditions": [*others, condition]}})


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _is_here(item: Object) -> bool:
    return _NODE_POOL not in (item["metadata"].get("labels") or {})


def _has_ended(item: Object) -> bool:
    return item.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _gang_size(job: Object) -> int:
    return int((job["metadata"].get("annotations") or {}).get(_GANG, 1))


def queue_of(item: Object) -> Queue:
    spec = item.get("spec") or {}
    resources_of = spec.get("resources") or {}
    quota = {name: _bound(name, resources_of, "quota") for name in kai_rules.COUNTED}
    # without a limit, or with 0, a queue has its quota and no more
    limit = {name: _bound(name, resources_of, "limit") or quota[name] for name in kai_rules.COUNTED}
    return Queue(
        name=item["metadata"]["name"],
        parent=spec.get("parentQueue", ""),
        quota=quota,
        limit=limit,
        priority=int(spec.get("priority", 100)),
        min_runtime_s=_seconds(spec.get("reclaimMinRuntime", "0s")),
    )


def _bound(name: str, of_queue: Mapping[str, Any], key: str) -> float:
    number = float((of_queue.get(name) or {}).get(key) or 0)
    return number * 10**6 if name == "memory" and number != kai_rules.UNLIMITED else number


def _seconds(text: str) -> float:
    """Of a duration like `1h30m`."""
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9.]+)([hms])", text))


def node_of(item: Object) -> Node:
    metadata, spec, status = item["metadata"], item.get("spec") or {}, item.get("status") or {}
    is_ready = any(each["type"] == "Ready" and each["status"] == "True" for each in status.get("conditions") or ())
    return Node(
        name=metadata["name"],
        labels=metadata.get("labels") or {},
        taints=tuple(spec.get("taints") or ()),
        allocatable=_amounts(status.get("allocatable") or {}),
        is_well=is_ready and not spec.get("unschedulable"),
    )


def pod_of(item: Object, sizes: Mapping[str, int]) -> Pod:
    """`sizes`: of gangs, by the UID of their Job."""
    metadata, spec, status = item["metadata"], item["spec"], item.get("status") or {}
    labels = metadata.get("labels") or {}
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    job = next((each["uid"] for each in metadata.get("ownerReferences") or () if each["kind"] == "Job"), "")
    requests = _requests(spec)
    is_gated = bool(spec.get("schedulingGates"))
    is_ours = spec.get("schedulerName") == SCHEDULER and not is_gated
    by_priority = int(spec.get("priority") or 0) < _PREEMPTIBLE_BELOW
    return Pod(
        uid=metadata["uid"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        node=spec.get("nodeName") or "",
        requests=requests,
        queue=labels.get(_QUEUE, _DEFAULT_QUEUE) if is_ours else "",
        counted={"gpu": requests.get(_GPU, 0), "cpu": requests.get("cpu", 0), "memory": requests.get("memory", 0)},
        selector=spec.get("nodeSelector") or {},
        terms=tuple(required.get("nodeSelectorTerms") or ()),
        preferred=tuple(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()),
        tolerations=tuple(spec.get("tolerations") or ()),
        is_preemptible=labels[_PREEMPTIBILITY] == "preemptible" if _PREEMPTIBILITY in labels else by_priority,
        priority=int(spec.get("priority") or 0),
        created=metadata.get("creationTimestamp") or "",
        started=_time(status.get("startTime")),
        is_ending=bool(metadata.get("deletionTimestamp")),
        gang=job if sizes.get(job, 1) > 1 else "",
        gang_size=sizes.get(job, 1),
    )


def _requests(spec: Object) -> dict[str, int]:
    """Of its containers together, or the largest of what runs before them."""
    running: dict[str, int] = {"pods": 1}
    for container in spec.get("containers") or ():
        for name, amount in _of_container(container).items():
            running[name] = running.get(name, 0) + amount
    for container in spec.get("initContainers") or ():
        for name, amount in _of_container(container).items():
            running[name] = max(running.get(name, 0), amount)
    return running


def _of_container(container: Object) -> dict[str, int]:
    return _amounts((container.get("resources") or {}).get("requests") or {})


def _amounts(listed: Mapping[str, Any]) -> dict[str, int]:
    """By resource: cores in thousandths, all others as they are."""
    return {name: _amount(str(value), 1000 if name == "cpu" else 1) for name, value in listed.items()}


def _amount(text: str, factor: int) -> int:
    if text.endswith("m"):
        return int(float(text[:-1]) * factor / 1000)
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    return int(float(text.removesuffix(unit)) * _UNITS.get(unit, 1) * factor)


def _time(text: str | None) -> float:
    return datetime.datetime.fromisoformat(text).timestamp() if text else 0.0
