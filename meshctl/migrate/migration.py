"""What the CLI calls: plan a migration, start it, go on, go back, finish it, look at it. EDGE.

`Migrations` belongs to one mesh and one command. Everything that acts holds the mesh's lock; every error that stops a
begun migration names the commands that go on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from meshctl.changes.losses import Loss, not_agreed
from meshctl.deploy.guards.protection import refused_by_migrate, refused_by_migration_destroy
from meshctl.engine.state_store import StateStore
from meshctl.errors import (
    CredentialsError,
    InterruptedByUserError,
    LockedError,
    MeshError,
    MigrationError,
    NewerVersionError,
    OwnedFieldsError,
    StoppedByFieldsError,
    UnreachableError,
    UnreadableError,
    UsageError,
)
from meshctl.migrate.data import Data, S3Data
from meshctl.migrate.journal import lock
from meshctl.migrate.journal.activity import Activity, NotSeen, Seen, activity_of, next_text, state_text
from meshctl.migrate.journal.guard import open_migration
from meshctl.migrate.journal.history import Direction, History, read_history
from meshctl.migrate.journal.journal import Journal, migrations, open_journal
from meshctl.migrate.planning.plan import MigrationPlan, Options, StoreFacts, plan_migration
from meshctl.migrate.progress import Event, Report
from meshctl.migrate.refusals import (
    refuse_early_finish,
    refuse_leaving,
    refuse_over,
    refuse_too_late,
    refuse_unasked,
    refuse_way_back,
)
from meshctl.migrate.steps.environment import DESTROYING, FINISHING
from meshctl.migrate.steps.lost import refuse_unless_lost
from meshctl.migrate.steps.runner import Runner
from meshctl.migrate.world import World
from meshctl.objects.listing import NoBucketError
from meshctl.objects.progress import Stop

_SILENT = (UnreachableError, CredentialsError, NoBucketError, UsageError)  # of a side that may be gone for good
_CLOSED_AS: dict[Direction, str] = {"rollback": "rolled-back", "finish": "finished"}


def _silent(_event: Event) -> None:
    return None


@dataclass
class Migrations:
    """The migrations of one mesh."""

    mesh: str
    world: World
    store: StateStore
    report: Report = _silent
    stop: Stop = field(default_factory=Stop)
    break_lock: bool = False
    data: Data = field(default_factory=S3Data)

    def plan(self, source: str, target: str, options: Options) -> MigrationPlan:
        """Read both sides and decide. Changes nothing. Raises: InfeasibleError, UsageError."""
        if source == target:
            raise UsageError(f"source and target are both {source}", hint="name two environments")
        here = self.world.deployed(source)
        if here is None:
            raise UsageError(
                f"nothing is deployed in {source}",
                why="a migration moves what runs",
                hint=f"`meshctl up {source}`, or just `meshctl up {target}`",
            )
        there = self.world.deployment(target)
        self.world.check_take_over(options.take_over, here, there)
        self.world.take_over(options.take_over)
        for deployment in (here, there):
            self.world.check_cluster(deployment)
            self.world.check_fields(deployment, f"meshctl migrate {source} {target}")
        known = {store.name: store for store in there.object_stores}
        facts: list[StoreFacts] = []
        for store in here.object_stores:
            if store.ephemeral or store.name not in known:
                continue
            access = partial(self.world.object_access, store), partial(self.world.object_access, known[store.name])
            facts.append(self.data.facts(store.name, *access))
        plan = plan_migration(here, there, tuple(facts), options, self.world.jobs(here))
        lost = self.world.lost_by_up(there)
        if lost:  # once the migration is open nobody can be asked
            raise refused_by_migrate(target, lost)
        return plan

    def start(self, plan: MigrationPlan) -> str:
        """Begin, and go up to the wait for `finish`; returns the migration's id. Raises: UsageError, MigrationError…"""
        with self._locked() as held:
            self._refuse_second(plan)
            source, target = plan.source.environment, plan.target.environment
            migration = self._new_id(f"{source}-{target}")
            journal = Journal(self.store, self.mesh, migration, str(held.owner))
            journal.add("migration", "begin", self.world.now(), {"plan": plan.model_dump(mode="json")})
            self._run(journal)
            return migration

    def resume(
        self,
        migration: str = "",
        *,
        done: str = "",
        again: str = "",
        source_lost: bool = False,
        take_over: tuple[str, ...] = (),
    ) -> History:
        """Go on, whichever way the migration went. `done`, `again`: the step that asked, and what a person found out.
        `take_over`: fields of other programs that are set from here on.

        Raises: UsageError when that step did not ask, or such a field is of nothing in the mesh; what the steps raise.
        """
        with self._locked() as held:
            journal = self._journal(migration, str(held.owner))
            opened = self._open(journal)
            refuse_unasked(journal.migration, opened, done, again)
            self.world.check_take_over(take_over, opened.plan.source, opened.plan.target)
            if done or again:
                journal.add(done or again, "decided", self.world.now(), {"as": "done" if done else "again"})
            if source_lost:
                self._leave_source(journal)
            if take_over:
                history = read_history(journal.records)
                given = [*history.options.get("take_over", ()), *take_over]
                journal.add("migration", "direction", self.world.now(), {"to": history.direction, "take_over": given})
            return self._run(journal)

    def rollback(
        self,
        migration: str = "",
        *,
        destroy_target: bool = False,
        target_lost: bool = False,
        agreed: Iterable[Loss] = (),
    ) -> History:
        """Back to the source: its workloads first, then the names, then the target. Possible until `finish`.

        `target_lost`: nothing is asked of the target, and what was written there is not brought back. `agreed`: what a
        person was shown of `lost_by_rollback`, and may be lost. Raises: ProtectedDataError when a destroyed target
        would lose anything else.
        """
        options = {"destroy_target": destroy_target, "target_lost": target_lost, **_agreement(agreed)}
        with self._locked() as held:
            journal = self._journal(migration, str(held.owner))
            history = self._open(journal)
            refuse_way_back(journal.migration, history, options)
            if target_lost and not history.target_lost:
                refuse_unless_lost(self.world, self.data, history.plan, "target")
            lost = self._lost(history, "target", keep_data=True) if destroy_target else ()
            unasked = not_agreed(lost, options["agreed_losses"])
            if unasked:
                raise refused_by_migration_destroy(history.plan.target.environment, unasked, DESTROYING)
            return self._turn(journal, history, "rollback", options)

    def finish(self, migration: str = "", *, delete_data: bool = False, agreed: Iterable[Loss] = ()) -> History:
        """Retire the source. `agreed`: what a person was shown of `lost_by_finish`, and may be lost; with `delete_data`
        its buckets may, too. Raises: MigrationError while the migration is not waiting for it, ProtectedDataError when
        it would lose anything else.
        """
        options = {"delete_data": delete_data, **_agreement(agreed)}
        with self._locked() as held:
            journal = self._journal(migration, str(held.owner))
            history = self._open(journal)
            refuse_early_finish(journal.migration, history)
            refuse_too_late(journal.migration, history, delete_data=delete_data)
            lost = self._lost(history, "source", keep_data=not delete_data)
            unasked = not_agreed(lost, options["agreed_losses"], buckets=delete_data)
            if unasked:
                raise refused_by_migration_destroy(history.plan.source.environment, unasked, FINISHING)
            return self._turn(journal, history, "finish", options)

    def to_finish(self, migration: str = "", *, delete_data: bool) -> History:
        """Before anybody is asked about data. Raises: as `finish` does as far as the journal tells."""
        journal = self._journal(migration, "")
        history = self._open(journal)
        refuse_early_finish(journal.migration, history)
        refuse_too_late(journal.migration, history, delete_data=delete_data)
        return history

    def to_roll_back(self, migration: str = "", *, destroy_target: bool, target_lost: bool) -> History:
        """As `to_finish`, for `rollback`."""
        journal = self._journal(migration, "")
        history = self._open(journal)
        refuse_way_back(journal.migration, history, {"destroy_target": destroy_target, "target_lost": target_lost})
        return history

    def to_leave_source(self, migration: str = "") -> History:
        """As `to_finish`, for `resume` with `source_lost`."""
        history = self._open(self._journal(migration, ""))
        refuse_leaving(history)
        return history

    def lost_by_finish(self, history: History, *, delete_data: bool) -> Sequence[Loss]:
        """The data that a `finish` loses: the source's volumes and file systems, and its buckets with `delete_data`."""
        return self._lost(history, "source", keep_data=not delete_data)

    def lost_by_rollback(self, history: History) -> Sequence[Loss]:
        """The data that a `rollback` loses which destroys the target: its volumes and file systems."""
        return self._lost(history, "target", keep_data=True)

    def _lost(self, history: History, side: Literal["source", "target"], *, keep_data: bool) -> Sequence[Loss]:
        """Nothing where that can't be told now: the step that destroys the side looks again, and stops then."""
        if side == "source" and history.source_lost:
            return ()  # it is left behind as it is
        with suppress(UnreachableError, CredentialsError, UsageError):
            deployment = history.plan.source if side == "source" else history.plan.target
            return self.world.lost_by_retire(deployment, keep_data=keep_data)
        return ()

    def ids(self) -> list[str]:
        return migrations(self.store, self.mesh)

    def history(self, migration: str = "") -> tuple[str, History]:
        """The id and what happened; without an id, of the last migration. Raises: UsageError."""
        journal = self._journal(migration, "")
        return journal.migration, read_history(journal.records)

    def seen(self, migration: str = "") -> Seen:
        """As `history`, and whether anyone works on it at this moment."""
        return Seen(*self.history(migration), activity_of(lock.holder(self.store, self.mesh)))

    def listed(self) -> list[Seen | NotSeen]:
        """All migrations. A journal that can't be read does not hide the others."""
        return [self._seen_or_not(migration) for migration in self.ids()]

    def _seen_or_not(self, migration: str) -> Seen | NotSeen:
        try:
            return self.seen(migration)
        except (NewerVersionError, UnreadableError) as error:
            return NotSeen(migration, error)

    def _turn(self, journal: Journal, history: History, to: Direction, options: dict[str, Any]) -> History:
        """Go that way from here on; the options given last are those that count, for `resume` too."""
        if history.direction != to or not options.items() <= history.options.items():
            journal.add("migration", "direction", self.world.now(), {"to": to, **options})
        return self._run(journal)

    def _leave_source(self, journal: Journal) -> None:
        history = read_history(journal.records)
        refuse_leaving(history)
        if not history.source_lost:
            refuse_unless_lost(self.world, self.data, history.plan, "source")
        to = {"to": history.direction, "source_lost": True}
        journal.add("migration", "direction", self.world.now(), to)

    def _run(self, journal: Journal) -> History:
        runner = Runner(self.world, self.data, journal, self.report, self.stop)
        self.world.take_over(runner.history.take_over)
        with _explained(journal, self._is_target_lost):
            runner.run()
            outcome = _CLOSED_AS.get(runner.history.direction)
            if outcome:
                runner.add("migration", "closed", {"outcome": outcome})
        return runner.history

    def _is_target_lost(self, history: History) -> bool:
        """Whether the way back failed because the target is out of reach, and giving it up is a way on."""
        if history.direction != "rollback" or history.target_lost:
            return False
        try:
            return bool(refuse_unless_lost(self.world, self.data, history.plan, "target"))
        except MeshError:
            return False

    @contextmanager
    def _locked(self) -> Iterator[lock.Held]:
        with lock.locked(self.store, self.mesh, break_lock=self.break_lock) as held:
            if held.taken_from is not None:
                self.report(Event("message", "lock", "", text=f"taken over from {held.taken_from}, which is gone"))
            yield held

    def _refuse_second(self, plan: MigrationPlan) -> None:
        found = open_migration(self.store, self.mesh)
        if found is None:
            return
        migration, history, _ = found
        there = f"{history.plan.source.environment} -> {history.plan.target.environment}"
        raise UsageError(
            f"migration {migration} ({there}) of {plan.source.mesh} is not finished: {state_text(history, Activity())}",
            hint=next_text(migration, history, Activity()),
        )

    def _new_id(self, tail: str) -> str:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self.world.now()))
        migration = f"{stamp}-{tail}"
        while migration in self.ids():
            migration += "-2"
        return migration

    def _journal(self, migration: str, owner: str) -> Journal:
        ids = self.ids()
        if migration and migration not in ids:
            raise UsageError(f"no migration {migration}", hint="`meshctl migrations list`")
        if not ids:
            raise UsageError("this mesh was never migrated", hint="`meshctl migrate SRC DST`")
        return open_journal(self.store, self.mesh, migration or ids[-1], owner)

    def _open(self, journal: Journal) -> History:
        history = read_history(journal.records)
        refuse_over(journal.migration, history)
        return history


def _agreement(agreed: Iterable[Loss]) -> dict[str, Any]:
    """For the journal: which data may be lost, and for an older version that goes on with it whether any may."""
    identities = sorted({loss.identity for loss in agreed})
    return {"allow_data_loss": bool(identities), "agreed_losses": identities}


@contextmanager
def _explained(journal: Journal, is_target_lost: Callable[[History], bool]) -> Iterator[None]:
    """Add to what stopped a run the commands that go on from there."""
    migration = journal.migration
    try:
        yield
    except LockedError:
        raise
    except InterruptedByUserError as error:
        ways = _ways_on(migration, read_history(journal.records))
        raise InterruptedByUserError(
            f"migration {migration} stopped at a safe point", why="its journal is kept", hint=ways
        ) from error
    except MeshError as error:
        history = read_history(journal.records)
        silent = isinstance(error, _SILENT) or isinstance(error.__cause__, _SILENT)
        ways = _ways_on(migration, history, target_lost=silent and is_target_lost(history))
        hint = f"{error.hint}; {ways}" if error.hint else ways
        if isinstance(error, MigrationError):
            error.hint = hint
            raise
        raise _stopped(f"migration {migration} stopped: {error.what}", error, hint) from error


def _stopped(what: str, error: MeshError, hint: str) -> MigrationError:
    """The fields of other programs, which programs read, are handed on."""
    if isinstance(error, OwnedFieldsError):
        return StoppedByFieldsError(what, fields=error.fields, why=error.why, hint=hint)
    return MigrationError(what, why=error.why, hint=hint)


def _ways_on(migration: str, history: History, *, target_lost: bool = False) -> str:
    go_on = next_text(migration, history, Activity())
    if target_lost:
        target = history.plan.target.environment
        return f"{go_on}; if {target} is gone for good, `meshctl migrations rollback {migration} --target-lost`"
    return go_on
