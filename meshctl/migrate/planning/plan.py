"""Makes the plan of a migration: what it will do, and what it will cost. PURE.

`migration` calls `plan_migration` with both deployments and the sizes of their stores. The plan is the first record of
the journal; `step_plan` makes the steps from it, and `views` shows it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from meshctl.migrate.planning import endpoint_differences, indexes, jobs
from meshctl.migrate.planning.gaps import infeasible, refused
from meshctl.migrate.planning.indexes import RemadeIndex
from meshctl.migrate.planning.inputs import Expanded, Options, Share, StoreFacts
from meshctl.migrate.planning.rates import COPY_RATE
from meshctl.model.deployment import Block, Deployment, Endpoint, FileSystem, Gap, ObjectStore, Workload
from meshctl.model.observed import JobState
from meshctl.model.value import Value, added_later
from meshctl.platforms import registry
from meshctl.resolve.placement import fabric_expectation

_GB = 1e9


class StoreMove(Value):
    """An object store to copy. `minutes` and `egress_usd` are estimates, None if a rate is unknown. `read_bytes`: how
    much the comparison reads from each side (0 in plans made by older versions)."""

    store: str
    source_url: str
    target_url: str
    objects: int
    total_bytes: int
    target_objects: int
    minutes: float
    minutes_source: str
    egress_usd: float | None
    egress_source: str
    read_bytes: int = 0
    foreign_objects: int = 0  # objects at the target that the source does not have: the sync deletes them


class Cost(Value):
    """A cost of an environment; those of stores are in `StoreMove`. `usd` is None if unknown."""

    subject: str
    what: str
    usd: float | None
    source: str


class MigrationPlan(Value):
    """Every decision of the migration. It is made once, and is not made again after a crash."""

    source: Deployment  # as deployed, with its paused marks
    target: Deployment
    moves: tuple[StoreMove, ...]
    stays: tuple[str, ...]  # storage that is not moved because it is ephemeral or shared; with the reason
    stopped: tuple[str, ...]  # workloads that run in one environment at a time: stopped at the source before the sync
    warm: tuple[str, ...]  # workloads that only read stores to which nothing writes: started at the target early
    costs: tuple[Cost, ...]
    notes: tuple[str, ...]
    options: Options
    share: Share | None = added_later(None)  # of an expansion, whose target has one workload and gets a share
    expanded: Expanded | None = added_later(None)  # what of the mesh runs at the target already, and serves a share
    indexes: tuple[RemadeIndex, ...] = added_later(())  # that the target makes of documents while the source answers

    @property
    def idle(self) -> frozenset[str]:
        """Workloads that are paused at the source, and stay paused."""
        return frozenset(w.name for w in self.source.workloads if w.paused)

    @property
    def finished(self) -> dict[str, str]:
        """Jobs that are not run again at the target: workload -> the environment that they ended in."""
        return self.target.marks

    @property
    def running(self) -> frozenset[str]:
        """Workloads that run at the target after the migration."""
        return self.workloads - self.idle - self.finished.keys()

    @property
    def serving(self) -> frozenset[str]:
        """Workloads that an expansion has brought to the target: they serve there, and are never paused on the way."""
        return frozenset(self.expanded.workloads if self.expanded is not None else ())

    @property
    def workloads(self) -> frozenset[str]:
        return frozenset(w.name for w in self.target.workloads)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The target's endpoints whose workloads run: their DNS records are moved."""
        return tuple(e for e in self.target.endpoints if e.workload in self.running)

    def move(self, store: str) -> StoreMove:
        return next(move for move in self.moves if move.store == store)


def storage_of(deployment: Deployment) -> tuple[ObjectStore | FileSystem | Block, ...]:
    stores: tuple[ObjectStore | FileSystem | Block, ...]
    stores = (*deployment.object_stores, *deployment.file_systems, *deployment.blocks)
    return stores


def written_stores(workload: Workload) -> frozenset[str]:
    names = {mount.storage for mount in workload.mounts if mount.kind == "object" and not mount.read_only}
    return frozenset(names | ({workload.checkpoint.storage} if workload.checkpoint else set()))


def read_stores(workload: Workload) -> frozenset[str]:
    return frozenset(mount.storage for mount in workload.mounts if mount.kind == "object" and mount.read_only)


def plan_migration(
    source: Deployment,
    target: Deployment,
    facts: tuple[StoreFacts, ...],
    options: Options,
    states: Mapping[str, JobState] | None = None,
    expanded: Expanded | None = None,
) -> MigrationPlan:
    """`states` are the source's jobs. `expanded`: the expansion that is in force from the source to the target.

    Raises: InfeasibleError that lists everything that prevents the migration."""
    by_store = {fact.store: fact for fact in facts}
    gaps = (*refused(source, target, facts, options), *_expanded_gaps(source, target, expanded))
    if gaps:
        raise infeasible(f"{source.mesh} can't be moved", source, target, gaps)
    moved = [s for s in source.object_stores if not s.ephemeral and not by_store[s.name].shared]
    moves = tuple(move_of(source, s, target.object_store(s.name), by_store[s.name]) for s in moved)
    finished = jobs.finished_jobs(source, target, states or {})
    stopped = tuple(
        w.name for w in source.workloads if not w.paused and runs_alone(source, w) and w.name not in finished
    )
    remade = indexes.remade(target, by_store, frozenset(w.name for w in source.workloads if w.paused))
    return MigrationPlan(
        source=source,
        target=target.bare.finished(finished),
        moves=moves,
        stays=_stays(source, by_store),
        stopped=stopped,
        warm=_warm(source, {*stopped, *finished}, expanded),
        costs=_costs(source, target, moves, remade, options),
        notes=(
            *_notes(source, target),
            *indexes.notes(target, remade),
            *jobs.notes(source, target, states or {}),
            *_expansion_notes(source, expanded),
            *fabric_expectation.unjudged(target.pools),
        ),
        options=options,
        expanded=expanded,
        indexes=remade,
    )


def _expanded_gaps(source: Deployment, target: Deployment, expanded: Expanded | None) -> list[Gap]:
    """What serves in both environments is stopped in neither while data is copied, so it must write none."""
    names = frozenset(expanded.workloads if expanded is not None else ())
    both = [(side, workload) for side in (source, target) for workload in side.workloads if workload.name in names]
    writing = dict.fromkeys(workload.name for side, workload in both if runs_alone(side, workload))
    return [
        Gap(
            subject=f"workload/{name}",
            wanted="it only reads in both environments, as when it was expanded",
            best="it writes data or is a job now, so two of them would write the same data",
            hint=f"`meshctl contract` leads all to {source.environment} again; then"
            f" `meshctl migrate {source.environment} {target.environment}` moves it with the rest",
        )
        for name in writing
    ]


def runs_alone(deployment: Deployment, workload: Workload) -> bool:
    """Whether the workload must never run in both environments at once: it writes data that is moved, or is a job."""
    persistent = {storage.name for storage in storage_of(deployment) if not storage.ephemeral}
    writes = any(not mount.read_only and mount.storage in persistent for mount in workload.mounts)
    return writes or workload.checkpoint is not None or workload.kind in ("training", "batch")


def _warm(source: Deployment, stopped: Collection[str], expanded: Expanded | None) -> tuple[str, ...]:
    serving = expanded.workloads if expanded is not None else ()
    written = {name for w in source.workloads for name in written_stores(w)}
    candidates = (w for w in source.workloads if not w.paused and w.name not in stopped)
    return tuple(w.name for w in candidates if w.name in serving or not read_stores(w) & written)


def move_of(source: Deployment, old: ObjectStore, new: ObjectStore, fact: StoreFacts) -> StoreMove:
    rate = registry.platform(source.provider).egress
    usd = None if rate.usd_per_gb is None else round(fact.total_bytes / _GB * rate.usd_per_gb, 2)
    return StoreMove(
        store=old.name,
        source_url=old.url,
        target_url=new.url,
        objects=fact.objects,
        total_bytes=fact.total_bytes,
        target_objects=fact.target_objects,
        minutes=round(fact.total_bytes / COPY_RATE.bytes_per_s / 60, 1),
        minutes_source=COPY_RATE.source,
        egress_usd=usd,
        egress_source=rate.source,
        read_bytes=fact.read_bytes,
        foreign_objects=fact.foreign_objects,
    )


def _costs(
    source: Deployment,
    target: Deployment,
    moves: tuple[StoreMove, ...],
    remade: tuple[RemadeIndex, ...],
    options: Options,
) -> tuple[Cost, ...]:
    """Both environments run from `provision` to `finish`. The time until the end of `observe` can be estimated."""
    minutes = 2 * sum(move.minutes for move in moves) + indexes.minutes_of(remade) + options.observe_s / 60
    hours = minutes / 60
    of_index = " the index," if any(index.minutes is not None for index in remade) else ""
    span = (
        f"about {span_text(minutes)}: seed and verify at the assumed rate,{of_index} {options.observe_s} s of observing"
    )
    usd = None if target.hourly_usd is None else round(target.hourly_usd * hours, 2)
    why = "; ".join(f"the price of pool {name} is unknown" for name in target.unpriced_pools)
    return (
        Cost(
            subject=target.environment,
            what=f"runs beside {source.environment} until the cutover ({span})",
            usd=usd,
            source=why or f"{target.hourly_usd} USD/h: prices as in `meshctl check`",
        ),
        Cost(
            subject=source.environment,
            what="each further hour until `meshctl migrations finish`",
            usd=source.hourly_usd,
            source="a pool's price is unknown" if source.hourly_usd is None else "prices of its pools and storage",
        ),
    )


def span_text(minutes: float) -> str:
    return f"{minutes / 60:.1f} h" if minutes > 120 else f"{minutes:g} min" if minutes < 10 else f"{minutes:.0f} min"


def _stays(source: Deployment, facts: dict[str, StoreFacts]) -> tuple[str, ...]:
    stores = storage_of(source)
    shared = [
        f"{s.name}: both environments use {s.url}"
        for s in source.object_stores
        if s.name in facts and facts[s.name].shared
    ]
    return (*(f"{s.name}: ephemeral" for s in stores if s.ephemeral), *shared)


def _expansion_notes(source: Deployment, expanded: Expanded | None) -> tuple[str, ...]:
    if expanded is None:
        return ()
    return (
        f"{expanded.workloads[0]} is expanded, and keeps its share until the cutover leads all of its users over",
        f"a rollback leads all of them to {source.environment} and ends the expansion, unless the migration has brought"
        " up nothing yet",
    )


def _notes(source: Deployment, target: Deployment) -> tuple[str, ...]:
    notes = []
    old = {w.name: w for w in source.workloads}
    for workload in target.workloads:
        before = old.get(workload.name)
        if before is None:
            notes.append(f"workload {workload.name} is new: {source.environment} does not have it")
        elif before.image != workload.image:
            notes.append(f"workload {workload.name} gets another image: {before.image} -> {workload.image}")
    notes += [
        f"endpoint {endpoint.name} stays public, as in {source.environment}: the mesh does not say who may reach it"
        for endpoint in target.endpoints
        if not endpoint.access
    ]
    notes += [
        f"endpoint {endpoint.name} is internal: `probe` asks it from this machine, which must reach the network of"
        f" {target.environment} (a VPN, or run the migration inside)"
        for endpoint in target.endpoints
        if endpoint.is_internal
    ]
    return (*notes, *endpoint_differences.notes(source, target))
