"""Workloads as they run here, and whether they fit on their pools. PURE.

Called by `meshctl.resolve`; turned into Kubernetes objects by `meshctl.render`.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Before, Checkpoint, Gap, Health, Metrics, Mount, Pool, Scale, Workload
from meshctl.model.environment import PlatformEnvironment
from meshctl.model.files.units import format_in_gib
from meshctl.model.keys import health as health_words
from meshctl.model.observed import ObservedNode
from meshctl.resolve.data import staging
from meshctl.resolve.placement import node_rules, packing
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.work import gang_groups
from meshctl.words import pluralize

# The kubelet throws out images, and then pods, below 15% and 10% of free disk:
# https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/#hard-eviction-thresholds
_DISK_USABLE: Final = 0.85
_TOLERANCE: Final = 1e-9  # of a sum of fractions


def resolve(mesh: mesh_model.Mesh, environment: PlatformEnvironment) -> tuple[Workload, ...]:
    """The workloads of the mesh with what the environment says of them."""
    return tuple(
        with_overrides(_workload(mesh, name, workload), environment) for name, workload in mesh.workloads.items()
    )


def with_overrides(workload: Workload, environment: PlatformEnvironment) -> Workload:
    """Applies the overrides of environments.yaml. An override of one workload wins over that of all (`*`), and both
    win over the mesh's own variables. A queue of `*` holds for all jobs."""
    entries = environment.overrides_of(workload.name)
    if not entries:
        return workload
    changes: dict[str, dict[str, Any]] = {"env": dict(workload.env), "labels": {}, "annotations": {}}
    for entry in entries:
        for key in changes:
            changes[key] |= getattr(entry, key)
    changes["pod"] = environment.pod_fields(workload.name)
    override_env = tuple(sorted({name for entry in entries for name in entry.env}))
    queues = [entry.queue for entry in entries if entry.queue is not None and workload.is_job]
    queue = queues[-1] if queues else ""
    return workload.model_copy(update={**changes, "override_env": override_env, "queue": queue})


def notes(workloads: Iterable[Workload]) -> list[str]:
    """Notes on what environments.yaml adds to pods in this environment only."""
    return [
        f"workload/{workload.name}: {', '.join(sorted(workload.pod))} of its pods are set by environments.yaml and are"
        " not portable; the cluster checks them at `plan`"
        for workload in workloads
        if workload.pod
    ]


def replicas_of(mesh: mesh_model.Mesh, workload: mesh_model.Workload) -> int:
    """The gang's nodes for training (by default all of its pool), else replicas (by default one; the least of a range):
    pods, or groups."""
    if workload.kind == "training":
        return workload.nodes or max(mesh.pools[workload.pool].nodes.min, 1)
    return max(workload.replicas.min, 1) if workload.replicas else 1  # what may sleep starts with one


def most_replicas_of(workload: mesh_model.Workload) -> int:
    """The most that load can bring; 0 for a number of replicas."""
    bounds = workload.replicas
    return bounds.max if bounds is not None and bounds.max > bounds.min else 0


def sleeps(workload: mesh_model.Workload) -> bool:
    """Whether load may bring it to no replicas."""
    return workload.replicas is not None and workload.replicas.min == 0


def nodes_per_replica(workload: mesh_model.Workload) -> int:
    """How many pods a replica has: those of a group, which only what serves has."""
    return workload.nodes or 1 if workload.kind in ("inference", "service") else 1


# Fields that both models have by the same name, which the deployment takes over as the mesh has them; one that the mesh
# leaves out keeps the deployment's default. The others are decided below, as are those that hold sections.
_DECIDED: Final = frozenset(
    {"name", "replicas", "scale", "secrets", "files", "before", "health", "metrics", "mounts", "checkpoint"}
)
_COPIED: Final = sorted((mesh_model.Workload.model_fields.keys() & Workload.model_fields.keys()) - _DECIDED)


def _workload(mesh: mesh_model.Mesh, name: str, workload: mesh_model.Workload) -> Workload:
    resources, health, checkpoint = workload.resources, workload.health, workload.checkpoint
    return Workload(
        **{field: value for field in _COPIED if (value := getattr(workload, field)) is not None},
        name=name,
        secrets={key: secret for key, secret in workload.secrets.items() if not key.startswith("/")},
        secret_files={key: secret for key, secret in workload.secrets.items() if key.startswith("/")},
        files={path: mesh.text(file) for path, file in workload.files.items()},
        replicas=replicas_of(mesh, workload),
        most_replicas=most_replicas_of(workload),
        sleeps=sleeps(workload),
        scale=Scale(**workload.scale.model_dump()) if workload.scale else None,
        nodes_per_replica=nodes_per_replica(workload),
        least_nodes=workload.elastic.min if workload.elastic else 0,
        accelerators=0 if resources.accelerators == "all" else resources.accelerators,  # see `whole_nodes`
        cpu=resources.cpu or 0,
        memory_gib=resources.memory_gib or 0,
        health=Health(**health_words.resolved(health.model_dump(exclude_none=True))) if health else None,
        before=tuple(Before(**step.model_dump()) for step in workload.before),
        metrics=Metrics(**workload.metrics.model_dump()) if workload.metrics else None,
        staged_gib=staging.staged_gib(mesh, workload),
        staging_s=staging.staging_s(mesh, workload),
        mounts=tuple(
            Mount(
                **mount.model_dump(exclude_none=True),
                storage=storage,
                kind=mesh.storage[storage].kind,
                ephemeral=mesh.storage[storage].ephemeral,
                local_gib=mesh.storage[storage].size_gib if mesh.storage[storage].kind == "local" else 0,
            )
            for storage, mount in workload.mounts.items()
        ),
        checkpoint=Checkpoint(**checkpoint.model_dump(exclude_none=True)) if checkpoint else None,
    )


@dataclass(frozen=True, slots=True)
class Home:
    """A pool, and what pods can use of each of its nodes. 0 means unknown (an existing cluster that was not read)."""

    pool: Pool
    usable: Usable

    @property
    def disk_gib(self) -> float:
        is_known = self.usable.cpu_cores > 0  # of an existing cluster whose nodes nobody asked for, nothing is
        return self.pool.disk_gib * _DISK_USABLE if is_known else 0

    @property
    def node(self) -> packing.Amounts:
        """One node, in the order of `pods_of`."""
        amounts = (self.usable.cpu_cores, self.usable.memory_gib, self.disk_gib)
        devices = (self.usable.rdma_devices, self.usable.pods)
        return (self.pool.gpus_per_node, *(has or math.inf for has in (*amounts, *devices)))

    @property
    def nodes(self) -> packing.Nodes:
        """What is free on each node: existing nodes may also run pods of others. Missing nodes have a gap of their
        own."""
        seen = [self.free_on(node) for node in self.usable.nodes]
        gained = [self.node if node is None else self.free_on(node) for node in self.usable.gained]
        groups = Counter([*seen, *[self.node] * (self.pool.nodes - len(seen)), *gained])
        return tuple(groups.items()) or ((self.node, 0),)

    def free_on(self, node: ObservedNode) -> packing.Amounts:
        *_, disk, devices, _ = self.node
        taken, most_pods = node.taken, node.allocatable_pods
        return (
            max(node.gpu_count - taken.gpus, 0),
            max((node.allocatable_cpu or node.cpu_cores) - taken.cpu, 0),
            max((node.allocatable_memory_gib or node.memory_gib) - taken.memory_gib, 0),
            disk,
            max(devices - taken.rdma.get(self.pool.fabric.resource, 0), 0) if self.pool.fabric else devices,
            max(most_pods - taken.pods, 0) if most_pods else math.inf,
        )

    def free(self, resource: int) -> float:
        """How much of one resource is free on all nodes together."""
        return sum(free[resource] * count for free, count in self.nodes)

    def places(self, pods: packing.Pods) -> int:
        """How many of the pods have room if no other pod of the mesh is there."""
        return sum(pods.fit_on(free) * count for free, count in self.nodes)

    @property
    def taken_by_storage(self) -> str:
        """What storage has of each node, for the end of a sentence; "" for nothing."""
        return f"; storage takes {self.usable.storage_takes} of each node" if self.usable.storage_takes else ""

    @property
    def pods_of_others(self) -> str:
        """What pods of others use of the nodes, for the end of a sentence; "" if there are none."""
        taken = [node.taken for node in self.usable.nodes]
        totals = (sum(t.gpus for t in taken), sum(t.cpu for t in taken), sum(t.memory_gib for t in taken))
        parts = [f"{show(total)} {what}" for total, (what, show) in zip(totals, _RESOURCE_NAMES, strict=False) if total]
        return f"; pods of others have {' and '.join(parts)} there" if parts else ""


def gaps(
    workloads: Iterable[Workload], pools: Iterable[Pool], usable: Mapping[str, Usable], up: Collection[str] = ()
) -> list[Gap]:
    """Pods larger than a node, workloads with more pods than fit, and those of one pool that don't fit together.

    `usable`: what pods can have of a node, by the pool's name; 0 is not known (an existing cluster, offline) and
    forbids nothing. `up`: as `running.unchanged` gives it.
    """
    homes = {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    by_pool: dict[str, list[Workload]] = {}
    all_gaps: list[Gap] = []
    all_workloads = tuple(workloads)
    for workload in all_workloads:
        home = homes.get(workload.pool)
        if home is None:  # has a gap of its own
            continue
        impossible = _lasting_blocks(workload) or _unwritable(workload) or _too_large(workload, home)
        if impossible:
            all_gaps.append(impossible)
            continue
        shortage = _too_many(workload, home) or (None if workload.name in up else kept_off(workload, home))
        if shortage:
            all_gaps.append(shortage)
            continue
        by_pool.setdefault(workload.pool, []).append(workload)
    for name, members in by_pool.items():
        together = (_crowded(each, homes[name]) for each in gang_groups.at_once(members, all_workloads))
        all_gaps.extend(itertools.islice((gap for gap in together if gap), 1))
    return all_gaps


def uncounted(workloads: Iterable[Workload], pools: Iterable[Pool], usable: Mapping[str, Usable]) -> list[str]:
    """A note on each pool of which it is not certain that all sets of its jobs fit. Called where there is no gap."""
    all_workloads = tuple(workloads)
    notes = []
    for pool in pools:
        members = [workload for workload in all_workloads if workload.pool == pool.name]
        stand_ins = gang_groups.stand_ins(members, all_workloads)
        if stand_ins and _crowded(stand_ins, Home(pool, usable[pool.name])):
            notes.append(gang_groups.note(pool.name))
    return notes


def _lasting_blocks(workload: Workload) -> Gap | None:
    """Kubernetes makes a claim for each pod of a StatefulSet, and for none of a Job."""
    lasting = [
        mount.storage
        for mount in workload.mounts
        if mount.kind == "block" and not (mount.ephemeral or mount.is_adopted)
    ]
    if workload.kind not in ("training", "batch") or workload.replicas < 2 or not lasting:
        return None
    return Gap(
        subject=f"workload/{workload.name}",
        wanted=f"a lasting volume of storage {lasting[0]} for each of {workload.replicas} pods",
        best=f"one for a {workload.kind} job of one pod",
        hint=f"use `kind: filesystem` for storage.{lasting[0]}; or `ephemeral: true` if it may be lost",
    )


def _unwritable(workload: Workload) -> Gap | None:
    """An object store that is mounted readOnly is still written by its URL."""
    storage = workload.checkpoint.storage if workload.checkpoint else ""
    mount = next((mount for mount in workload.mounts if mount.storage == storage), None)
    if mount is None or not mount.read_only or mount.kind == "object":
        return None
    return Gap(
        subject=f"workload/{workload.name}",
        wanted=f"checkpoints on storage {storage}",
        best=f"{storage} is mounted readOnly: nothing can be written",
        hint=f"remove readOnly from its mount of {storage}, or keep checkpoints in an object store",
    )


def _too_large(workload: Workload, home: Home) -> Gap | None:
    pool, usable = home.pool, home.usable
    checks = (
        (workload.accelerators, pool.gpus_per_node, pool.gpus_per_node, "accelerators", True),
        (workload.cpu, usable.cpu_cores, pool.cpu_cores, "CPU cores", usable.cpu_cores > 0),
        (workload.memory_gib, usable.memory_gib, pool.memory_gib, "memory", usable.memory_gib > 0),
    )
    for wanted, has, label, what, is_known in checks:
        if is_known and wanted > has:
            show = format_in_gib if what == "memory" else _cores
            return Gap(
                subject=f"workload/{workload.name}",
                wanted=f"{show(wanted)} {what} per pod",
                best=f"{pool.machine} of pool {pool.name} has {show(has)}"
                + (f" for pods (of {show(label)})" if has < label else "")
                + home.taken_by_storage,
                hint="lower the workload's resources, or ask for larger nodes in its pool",
            )
    return _no_room(workload, home) if home.disk_gib and workload.staged_gib > home.disk_gib else None


def _cores(number: float) -> str:
    """Rounded down, so that what is shown can be asked for."""
    return f"{math.floor(number * 100 + _TOLERANCE) / 100:g}"


def _no_room(workload: Workload, home: Home) -> Gap:
    wanted = f"{format_in_gib(workload.staged_gib)} of local disk per pod"
    pool = home.pool
    has_drives = pool.storage is not None and pool.storage.drives > 0
    more_disk = "run it on another pool" if has_drives else "ask for local NVMe (scratch) in its pool"
    return Gap(
        subject=f"workload/{workload.name}",
        wanted=f"{wanted}, for its local storage and the object stores that it mounts with readOnly",
        best=f"{pool.machine} of pool {pool.name} has {format_in_gib(home.disk_gib)} for it"
        + (", as storage has its drives" if has_drives else ""),
        hint=f"{more_disk}, make local storage smaller, or mount an object store without readOnly and read from its"
        " URL",
    )


def pods_of(workload: Workload, pool: Pool) -> packing.Pods:
    devices = pool.fabric_devices(workload.accelerators)
    wants = (workload.accelerators, workload.cpu, workload.memory_gib, workload.staged_gib, devices, 1)
    return packing.Pods(workload.pods, wants, _most_on_node(workload, workload.replicas))


def most_pods_of(workload: Workload, pool: Pool) -> packing.Pods:
    """As `pods_of`, of all that load can bring to the pool."""
    most = pods_of(workload, pool)
    return packing.Pods(workload.own_most_pods, most.wants, _most_on_node(workload, workload.own_at_most))


def _most_on_node(workload: Workload, replicas: int) -> int:
    """Each pod of a gang or of a group has a node of its own."""
    if workload.kind == "training":
        return 1
    return replicas if workload.is_grouped else 0


def kept_off(workload: Workload, home: Home) -> Gap | None:
    """Too few nodes on which environments.yaml lets the pods run."""
    pool, nodes = home.pool, home.usable.nodes
    matching = node_rules.matching(workload, nodes, pool.labels)
    places = sum(pods_of(workload, pool).fit_on(home.free_on(node)) for node in matching)
    if len(matching) == len(nodes) or places >= workload.pods:
        return None
    return node_rules.shortage(workload, pool.name, _counted(workload), nodes, matching, places)


def _too_many(workload: Workload, home: Home) -> Gap | None:
    pool, pods = home.pool, pods_of(workload, home.pool)
    if workload.pods <= home.places(pods):
        return None
    tightest = min((free for free, _ in home.nodes), key=pods.fit_on)
    fits = [has // want if want else math.inf for want, has in zip(pods.wants, tightest, strict=True)]
    scarce = fits.index(min(fits))
    is_named = scarce < len(_RESOURCE_NAMES) and not pods.most_on_node
    why = f", limited by {_RESOURCE_NAMES[scarce][0]}" if is_named else ""
    return Gap(
        subject=f"workload/{workload.name}",
        wanted=f"{_counted(workload)} on pool {pool.name}",
        best=f"{home.places(pods)} fit on its {pluralize(pool.nodes, 'node')} ({pool.machine}){why}"
        f"{home.pods_of_others}{home.taken_by_storage}",
        hint="raise the pool's nodes (nodes.min of a range), or lower the workload's replicas",
    )


def _counted(workload: Workload) -> str:
    """`2 pods`, or `2 groups of 2 pods, each pod of a group on a node of its own`."""
    if not workload.is_grouped:
        return f"{workload.replicas} pods"
    groups = f"{pluralize(workload.replicas, 'group')} of {workload.nodes_per_replica} pods"
    return f"{groups}, the pods of a group on a node each,"


# What pods share of a node, in the order of `pods_of`, and how each is written.
_RESOURCE_NAMES: Final[tuple[tuple[str, Callable[[float], str]], ...]] = (
    ("accelerators", "{:g}".format),
    ("CPU cores", _cores),
    ("memory", format_in_gib),
    ("local disk", format_in_gib),
    ("RDMA devices", "{:g}".format),
    ("pods", "{:g}".format),
)


def _crowded(members: list[Workload], home: Home) -> Gap | None:
    """The gap of workloads that fit one by one but not together."""
    if len(members) < 2:
        return None
    pool = home.pool
    pods = tuple(pods_of(workload, pool) for workload in members)
    names = " and ".join(workload.name for workload in members)
    for resource, (what, show) in enumerate(_RESOURCE_NAMES):
        wanted, has = sum(kind.count * kind.wants[resource] for kind in pods), home.free(resource)
        if wanted > has * (1 + _TOLERANCE):
            return _together(home, f"{show(wanted)} {what} for {names} together", show(has))
    wanted_pods, placed = sum(kind.count for kind in pods), packing.placeable(pods, home.nodes)
    if placed == wanted_pods:
        return None
    return _together(home, f"room for {_listed(members, pool)}", f"{placed} of the {wanted_pods} pods fit")


def _listed(members: list[Workload], pool: Pool) -> str:
    """`2 pods of a (5 accelerators each) and 1 pod of b (8 CPU cores, 64 GiB memory)`."""
    parts = []
    for workload in members:
        wants = zip(
            pods_of(workload, pool).wants, _RESOURCE_NAMES[:-1], strict=False
        )  # each is one pod, which goes without saying
        sizes = ", ".join(f"{show(amount)} {what}" for amount, (what, show) in wants if amount)
        each = " each" * (workload.pods > 1)
        parts.append(f"{pluralize(workload.pods, 'pod')} of {workload.name}" + (f" ({sizes}{each})" if sizes else ""))
    return " and ".join(parts)


def _together(home: Home, wanted: str, best: str) -> Gap:
    pool = home.pool
    return Gap(
        subject=f"pool/{pool.name}",
        wanted=wanted,
        best=f"{best} on its {pluralize(pool.nodes, 'node')} ({pool.machine}){home.pods_of_others}"
        f"{home.taken_by_storage}",
        hint="raise the pool's nodes, or give one of the workloads a pool of its own",
    )
