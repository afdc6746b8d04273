"""What prevents a migration, each with the way out. PURE.

`plan` calls `refused`, and it and `expansion` raise `infeasible`.
"""

from __future__ import annotations

from typing import Final

from meshctl.errors import InfeasibleError
from meshctl.migrate.planning import endpoint_differences
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.model.deployment import Deployment, Gap
from meshctl.model.files.units import format_gib
from meshctl.model.pods import milvus
from meshctl.words import pluralize

_FILE_SYSTEMS: Final = {"neuralmesh": "NeuralMesh file system"}  # by service, where it says more


def refused(source: Deployment, target: Deployment, facts: tuple[StoreFacts, ...], options: Options) -> tuple[Gap, ...]:
    """Everything that prevents moving `source` to `target`; empty if nothing does."""
    return (
        *_idle_gaps(source),
        *_volume_gaps(source, target),
        *_store_gaps(source, target),
        *_milvus_gaps(source, target, facts),
        *_workload_gaps(source, target),
        *endpoint_differences.gaps(source, target),
        *_shared_gaps(source, target, facts),
        *_foreign_gaps(source, target, facts, options),
    )


def infeasible(what: str, source: Deployment, target: Deployment, gaps: tuple[Gap, ...]) -> InfeasibleError:
    """The error that lists all gaps. `what` can't be done: `chat can't be expanded`."""
    return InfeasibleError(
        f"{what} from {source.environment} to {target.environment}: {gaps[0].subject}: {gaps[0].wanted}",
        gaps=gaps,
        why="; ".join(f"{gap.subject}: {gap.best}" for gap in gaps),
        hint="; ".join(dict.fromkeys(gap.hint for gap in gaps)),
    )


def _idle_gaps(source: Deployment) -> list[Gap]:
    """Refuses a source whose workloads are all paused (for example after a rollback): another environment is live and
    has newer data."""
    if not source.workloads or not all(workload.paused for workload in source.workloads):
        return []
    gap = Gap(
        subject=f"environment/{source.environment}",
        wanted="a workload that runs",
        best=f"all workloads of {source.environment} are paused",
        hint="migrate from the environment in which they run: `meshctl status` shows which",
    )
    return [gap]


def _volume_gaps(source: Deployment, target: Deployment) -> list[Gap]:
    """Refuses file systems and volumes with data, which can't be moved. What is deployed counts: `ephemeral: true` in
    mesh.yaml takes effect only when an `up` has asked the user and given up the data."""
    adopted, each = "adopted ", " for each pod"
    systems = [
        (s.name, f"{adopted * s.is_adopted}{_FILE_SYSTEMS.get(s.service, 'file system')}, {format_gib(s.size_gib)}")
        for s in source.file_systems
        if not s.ephemeral
    ]
    blocks = [
        (b.name, f"{adopted * b.is_adopted}block, {format_gib(b.size_gib)}{each * (not b.is_adopted)}")
        for b in source.blocks
        if not b.ephemeral
    ]
    volumes = [*systems, *blocks]
    env = source.environment
    undecided = [name for name, _ in volumes if target.ephemeral.get(name) is False]
    commands = (
        f"`meshctl up {env} --allow-data-loss` lists the data that is deleted and asks, then "
        f"`meshctl migrate {env} {target.environment}`"
    )
    if undecided:
        hint = (
            f"nothing in {env} was changed; copy the data that you need into object storage first (docs/migrate.md,"
            " File systems and volumes). Only for data that you can lose: set `ephemeral: true` on"
            f" {', '.join(undecided)} in mesh.yaml; {commands}"
        )
    else:
        names = ", ".join(name for name, _ in volumes)
        hint = f"mesh.yaml gives up {names}, but {env} still has the data: {commands}"
    return [
        Gap(
            subject=f"storage/{name}",
            wanted="moving its content",
            best=f"it stays in {env} ({what}): `migrate` moves only object storage",
            hint=hint + _way_of_the_vendor(source, name),
        )
        for name, what in volumes
    ]


def _way_of_the_vendor(source: Deployment, name: str) -> str:
    """How a file system of this kind is moved by hand, for the end of a hint; "" where there is no such way."""
    services = {system.name: system.service for system in source.file_systems}
    if services.get(name) != "neuralmesh":
        return ""
    return (
        ". WEKA itself moves a file system by a snapshot that is uploaded to a bucket which both clusters reach, and"
        " downloaded where the bucket is registered as local; later snapshots bring what has changed. It needs the same"
        " master key, a version that is not older, a licence and room in the target"
    )


def _store_gaps(source: Deployment, target: Deployment) -> list[Gap]:
    at_target = {s.name for s in target.object_stores}
    return [
        Gap(
            subject=f"storage/{store.name}",
            wanted=f"an object store of that name in {target.environment}",
            best=f"{target.environment} has {', '.join(sorted(at_target)) or 'no object store'}",
            hint=f"keep {store.name} in mesh.yaml until the migration is finished",
        )
        for store in source.object_stores
        if store.name not in at_target and not store.ephemeral
    ]


def _milvus_gaps(source: Deployment, target: Deployment, facts: tuple[StoreFacts, ...]) -> list[Gap]:
    """Refuses the bucket of a Milvus: copied without the etcd of the same Milvus, it is no index."""
    shared = {fact.store for fact in facts if fact.shared}
    writers = {
        mount.storage: workload.name
        for workload in source.workloads
        for mount in workload.mounts
        if mount.kind == "object" and not mount.read_only and milvus.is_image(workload.image)
    }
    env = source.environment
    return [
        Gap(
            subject=f"storage/{store.name}",
            wanted="a bucket that is usable as a copy",
            best=f"Milvus ({writers[store.name]}) keeps its segments in it, and their metadata in its etcd, which is"
            " not copied: without that, the segments are no index at the target",
            hint=f"nothing in {env} was changed. If the index can be made of its documents again, set `ephemeral: true`"
            f" on {store.name} in mesh.yaml, run `meshctl up {env} --allow-data-loss`, which asks first, then `meshctl"
            f" migrate {env} {target.environment}`. Otherwise copy it into the target's Milvus with milvus-backup",
        )
        for store in source.object_stores
        if store.name in writers and not store.ephemeral and store.name not in shared
    ]


def _workload_gaps(source: Deployment, target: Deployment) -> list[Gap]:
    names = {w.name for w in target.workloads}
    hosts = {e.name: e.host for e in target.endpoints}
    refresh = f"update the source first: `meshctl up {source.environment}`"
    workloads = [
        Gap(
            subject=f"workload/{workload.name}",
            wanted=f"the same workload in {target.environment}",
            best="mesh.yaml does not have it any more",
            hint=f"add it to mesh.yaml again, or {refresh}",
        )
        for workload in source.workloads
        if workload.name not in names
    ]
    endpoints = [
        Gap(
            subject=f"endpoint/{endpoint.name}",
            wanted=f"the name {endpoint.host} in {target.environment}",
            best=hosts.get(endpoint.name, "no such endpoint"),
            hint=refresh,
        )
        for endpoint in source.endpoints
        if hosts.get(endpoint.name) != endpoint.host
    ]
    return [*workloads, *endpoints]


def _shared_gaps(source: Deployment, target: Deployment, facts: tuple[StoreFacts, ...]) -> list[Gap]:
    """Refuses one bucket for both sides unless both have adopted it: the side that made it deletes it at its end."""
    makers = {
        fact.store: next((each.environment for each in (source, target) if _owns(each, fact.store)), "")
        for fact in facts
        if fact.shared
    }
    return [
        Gap(
            subject=f"storage/{store}",
            wanted=f"a bucket in {target.environment} that outlives {source.environment}",
            best=f"both use one bucket, which meshctl made for {maker} and deletes with it",
            hint=f"remove storage.{store} from the environment that adopts it: its data is then copied",
        )
        for store, maker in makers.items()
        if maker
    ]


def _owns(deployment: Deployment, store: str) -> bool:
    return not deployment.object_store(store).is_adopted


def _foreign_gaps(source: Deployment, target: Deployment, facts: tuple[StoreFacts, ...], options: Options) -> list[Gap]:
    """Refuses a target store whose objects the copy would delete, or overwrite with other content."""
    if options.replace_target_data:
        return []
    overwritten = [fact for fact in facts if fact.foreign_objects and not _owns(target, fact.store)]
    gaps = [
        Gap(
            subject=f"storage/{fact.store}",
            wanted="an adopted bucket without other objects under the same keys",
            best=f"{pluralize(fact.foreign_objects, 'object')} in {target.object_store(fact.store).bucket} would be "
            "overwritten with other content",
            hint="copy what you need elsewhere, or name another bucket; --replace-target-data overwrites them",
        )
        for fact in overwritten
    ]
    facts = tuple(fact for fact in facts if fact not in overwritten)
    ephemeral = {s.name for s in source.object_stores if s.ephemeral}
    return gaps + [
        Gap(
            subject=f"storage/{fact.store}",
            wanted="a target store without other objects",
            best=f"the target has {pluralize(fact.foreign_objects, 'object')} that the source does not have",
            hint="copy the objects that you need elsewhere and empty the target's bucket; if you need none of them, "
            "--replace-target-data deletes them",
        )
        for fact in facts
        if fact.foreign_objects and not fact.shared and fact.store not in ephemeral
    ]
