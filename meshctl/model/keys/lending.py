"""Lending: idle nodes of one pool run what bursts of another one, and Kueue takes them back for their owner, or KAI
Scheduler does (`meshctl.model.keys.kai`). PURE.

Read by `references` (what the keys of a mesh may say), `resolve`, `render` and `operate`. With Kueue each pool that
lends or whose workloads may borrow has a ClusterQueue in the one cohort of the mesh. Its nominal quota is all that the
pool has, so that what the pool's own workloads ask for is never refused for a loan: docs/adr/0054-lending-by-quota.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Deployment, Pool, Workload
from meshctl.model.files.file_problems import mapping
from meshctl.model.keys import scaling
from meshctl.model.keys.job_order import JOB_KINDS

API: Final = "kueue.x-k8s.io/v1beta2"
# Of a pod that something else than Kueue's own kinds of jobs makes anew: it gets no finalizer, so that it goes also
# while Kueue does not answer. Source: kueue v0.18.2, pkg/controller/jobs/pod/pod_webhook.go, constants/constants.go
PARENT_ANNOTATION: Final = "kueue.x-k8s.io/pod-suspending-parent"
MANAGED_LABEL: Final = "kueue.x-k8s.io/managed"
GATE: Final = "kueue.x-k8s.io/admission"  # keeps the scheduler from a pod until Kueue has admitted it
# of the pods of what serves that run on nodes which other pools lend, so that they are told from those that stay
LENT_LABEL: Final = "meshctl.dev/lent"

Problem = tuple[tuple[str | int, ...], str]


def object_name(deployment: Deployment, pool: Pool) -> str:
    """Of the pool's flavor and ClusterQueue, which are objects of the whole cluster: with a dot, which neither name
    has, so that no other mesh of the cluster has a pool with the same one."""
    separator = "." if deployment.has_dotted_queues else "-"
    return f"{deployment.mesh}{separator}{pool.name}"


def pools(deployment: Deployment) -> tuple[Pool, ...]:
    """The pools whose accelerators are counted: those that lend, those whose workloads may borrow, and those that have
    done so until jobs of theirs have ended."""
    return tuple(pool for pool in deployment.pools if takes_part(pool, deployment.workloads))


def kai_counts(deployment: Deployment) -> bool:
    """Whether KAI Scheduler counts. It does not where only its queues stay, for jobs that came up in them."""
    return deployment.kai is not None and not deployment.kai_queues_stay


def kueue_pools(deployment: Deployment) -> tuple[Pool, ...]:
    """Those of them whose accelerators Kueue counts. Where KAI Scheduler does, these are pools whose jobs were in
    queues of Kueue before, until they have ended."""
    return tuple(each for each in pools(deployment) if each.has_jobs_in_queue or not kai_counts(deployment))


def counter(deployment: Deployment) -> str:
    """Who counts what pools lend, in words."""
    return "KAI Scheduler" if kai_counts(deployment) else "Kueue"


def takes_part(pool: Pool, workloads: tuple[Workload, ...]) -> bool:
    is_borrowing = any(each.lenders and each.pool == pool.name for each in workloads)
    return pool.lends_nodes > 0 or pool.has_jobs_in_queue or is_borrowing


def lenders_of(deployment: Deployment, pool: Pool) -> tuple[Pool, ...]:
    """The pools that workloads of this pool may borrow from in a queue of Kueue; none where KAI Scheduler counts, and
    the queue only stays."""
    if kai_counts(deployment):
        return ()
    names = {name for workload in deployment.workloads if workload.pool == pool.name for name in workload.lenders}
    return tuple(each for each in deployment.pools if each.name in names)


def is_in_queue(workload: Workload, pool: Pool) -> bool:
    """Whether it asks for what the pool's queue counts. Of jobs whose queue stays only until they end, nobody knows
    which of them have ended."""
    return workload.pool == pool.name and (bool(workload.queue) or (pool.has_jobs_in_queue and workload.is_job))


def serves_on_lent_nodes(workload: Workload) -> bool:
    """Whether replicas of it, which serve, may be on nodes that other pools lend: also where its own pool has room for
    all by now."""
    return not workload.is_job and bool(workload.lenders) and workload.has_range


def is_counted(workload: Workload) -> bool:
    """Whether Kueue counts the pods of a workload that serves."""
    return bool(workload.queue) and not workload.is_job


def devices(pool: Pool) -> int:
    """All accelerators that the pool may have."""
    return max(pool.nodes_max, pool.nodes) * pool.gpus_per_node


def lent_devices(pool: Pool) -> int:
    return pool.lends_nodes * pool.gpus_per_node


def problems(
    pools: Mapping[str, Mapping[str, Any]], workloads: Mapping[str, Mapping[str, Any]], storage: Mapping[str, Any]
) -> Iterator[Problem]:
    """What is wrong with `lend` and `burst` in a mesh as it is written."""
    for name, pool in pools.items():
        lend = pool.get("lend")
        if isinstance(lend, Mapping):
            yield from _of_pool(name, pool, lend)
    for name, workload in workloads.items():
        if workload.get("burst") is True:
            yield from _of_burst(("workloads", name), workload, storage)


def _of_pool(name: str, pool: Mapping[str, Any], lend: Mapping[str, Any]) -> Iterator[Problem]:
    at: tuple[str | int, ...] = ("pools", name, "lend")
    if "accelerator" not in pool:
        yield at, "only nodes with accelerators are lent, since it is accelerators that are counted; leave this out"
    nodes, up_to = pool.get("nodes"), lend.get("upTo")
    most = nodes.get("max") if isinstance(nodes, Mapping) else nodes
    if isinstance(most, int) and isinstance(up_to, int) and up_to > most > 0:
        yield (*at, "upTo"), f"the pool has {most} nodes at most, and can't lend {up_to}"


def _of_burst(at: tuple[str | int, ...], workload: Mapping[str, Any], storage: Mapping[str, Any]) -> Iterator[Problem]:
    kind = workload.get("kind")
    if kind is not None and kind not in JOB_KINDS:
        yield from (((*at, *path), message) for path, message in _of_serving_burst(workload))
    section, key = "resources", "accelerators"
    wanted = mapping(workload.get(section)).get(key, 0)
    if wanted == 0:
        yield (*at, "burst"), "it asks for no accelerators, and so it has nothing to borrow; add resources.accelerators"
    for name, mount in mapping(workload.get("mounts")).items():
        store = mapping(storage.get(name))
        is_lasting = not store.get("ephemeral") and store.get("kind") == "block"
        if is_lasting and isinstance(mount, Mapping):
            yield (*at, "mounts", name), "a workload with `burst` can't mount block storage, which stays in one zone"


def _of_serving_burst(workload: Mapping[str, Any]) -> Iterator[Problem]:
    """What serves borrows for the replicas that load brings beyond those that its own pool has room for: it needs a
    range, and a program of ours that moves both parts of it. Yields (path below the workload, message)."""
    metric, replicas = mapping(workload.get("scale")).get("metric"), mapping(workload.get("replicas"))
    if not isinstance(metric, str) or not replicas:
        yield (
            ("burst",),
            "what serves borrows nodes for replicas that load brings: write `replicas: {min: N, max: M}` and a"
            " `scale`, or leave this out",
        )
    elif not scaling.is_read_from_pods(metric):
        choices = f"{scaling.QUEUE_DEPTH}, {scaling.CONCURRENCY} or {scaling.REQUESTS}"
        yield (
            ("scale", "metric"),
            "with `burst` it can't be cpu: Kubernetes' own autoscaler moves the replicas of one pool alone; scale by"
            f" {choices}",
        )
    if replicas.get("min") == 0:
        yield ("replicas", "min"), "with `burst` it must be at least 1: a workload without replicas borrows nothing"
    if workload.get("nodes", 1) != 1:
        yield ("nodes",), "groups of pods can't borrow nodes, since Kueue counts the pods of what serves one by one"
