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
from meshctl.deploy.guards.protection import refused_by_migrate, refused_by_retire
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
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.journal import lock
from meshctl.migrate.journal.activity import (
    Activity,
    MigrationStatus,
    UnreadableMigration,
    activity_of,
    next_text,
    state_text,
)
from meshctl.migrate.journal.guard import open_migration
from meshctl.migrate.journal.history import Direction, History, read_history
from meshctl.migrate.journal.journal import Journal, migrations, open_journal
from meshctl.migrate.planning.plan import MigrationPlan, Options, StoreFacts, plan_migration
from meshctl.migrate.progress import Event, Report
from meshctl.migrate.refusals import (
    refuse_changed_choice,
    refuse_giving_up_source,
    refuse_if_closed,
    refuse_rollback,
    refuse_unasked_answer,
    refuse_unless_waiting,
)
from meshctl.migrate.steps.environment import DESTROYING, FINISHING
from meshctl.migrate.steps.lost import refuse_unless_lost
from meshctl.migrate.steps.runner import Runner
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
    gateway: Gateway
    store: StateStore
    report: Report = _silent
    stop: Stop = field(default_factory=Stop)
    break_lock: bool = False
    data: Data = field(default_factory=S3Data)

    def plan(self, source: str, target: str, options: Options) -> MigrationPlan:
        """Read both sides and decide. Changes nothing. Raises: InfeasibleError, UsageError."""
        if source == target:
            raise UsageError(f"source and target are both {source}", hint="name two environments")
        here = self.gateway.deployed(source)
        if here is None:
            raise UsageError(
                f"nothing is deployed in {source}",
                why="a migration moves what runs",
                hint=f"`meshctl up {source}`, or just `meshctl up {target}`",
            )
        there = self.gateway.deployment(target)
        self.gateway.check_take_over(options.take_over, here, there)
        self.gateway.take_over(options.take_over)
        for deployment in (here, there):
            self.gateway.check_cluster(deployment)
            self.gateway.check_fields(deployment, f"meshctl migrate {source} {target}")
        known = {store.name: store for store in there.object_stores}
        facts: list[StoreFacts] = []
        for store in here.object_stores:
            if store.ephemeral or store.name not in known:
                continue
            access = partial(self.gateway.object_access, store), partial(self.gateway.object_access, known[store.name])
            facts.append(self.data.facts(store.name, *access))
        plan = plan_migration(here, there, tuple(facts), options, self.gateway.jobs(here))
        lost = self.gateway.losses_by_up(there)
        if lost:  # once the migration is open nobody can be asked
            raise refused_by_migrate(target, lost)
        return plan

    def start(self, plan: MigrationPlan) -> str:
        """Begin, and go up to the wait for `finish`; returns the migration's id. Raises: UsageError, MigrationError…"""
        with self._locked() as lease:
            self._refuse_second(plan)
            source, target = plan.source.environment, plan.target.environment
            migration = self._new_id(f"{source}-{target}")
            journal = Journal(self.store, self.mesh, migration, str(lease.owner))
            journal.add("migration", "begin", self.gateway.now(), {"plan": plan.model_dump(mode="json")})
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
        with self._locked() as lease:
            journal = self._journal(migration, str(lease.owner))
            opened = self._open(journal)
            refuse_unasked_answer(journal.migration, opened, done, again)
            self.gateway.check_take_over(take_over, opened.plan.source, opened.plan.target)
            if done or again:
                journal.add(done or again, "decided", self.gateway.now(), {"as": "done" if done else "again"})
            if source_lost:
                self._give_up_source(journal)
            if take_over:
                history = read_history(journal.records)
                given = [*history.options.get("take_over", ()), *take_over]
                journal.add("migration", "direction", self.gateway.now(), {"to": history.direction, "take_over": given})
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
        person was shown of `losses_by_rollback`, and may be lost. Raises: ProtectedDataError when a destroyed target
        would lose anything else.
        """
        options = {"destroy_target": destroy_target, "target_lost": target_lost, **_agreement(agreed)}
        with self._locked() as lease:
            journal = self._journal(migration, str(lease.owner))
            history = self._open(journal)
            refuse_rollback(journal.migration, history, options)
            if target_lost and not history.target_lost:
                refuse_unless_lost(self.gateway, self.data, history.plan, "target")
            lost = self._lost(history, "target", keep_data=True) if destroy_target else ()
            unasked = not_agreed(lost, options["agreed_losses"])
            if unasked:
                raise refused_by_retire(history.plan.target.environment, unasked, DESTROYING)
            return self._change_direction(journal, history, "rollback", options)

    def finish(self, migration: str = "", *, delete_data: bool = False, agreed: Iterable[Loss] = ()) -> History:
        """Destroy the source; with `delete_data` together with its buckets. `agreed`: the losses (`losses_by_finish`)
        that the user was shown and has agreed to.

        Raises: MigrationError while the migration is not waiting for `finish`; ProtectedDataError if other data would
        be lost.
        """
        options = {"delete_data": delete_data, **_agreement(agreed)}
        with self._locked() as lease:
            journal = self._journal(migration, str(lease.owner))
            history = self._open(journal)
            refuse_unless_waiting(journal.migration, history)
            refuse_changed_choice(journal.migration, history, delete_data=delete_data)
            lost = self._lost(history, "source", keep_data=not delete_data)
            unasked = not_agreed(lost, options["agreed_losses"], buckets=delete_data)
            if unasked:
                raise refused_by_retire(history.plan.source.environment, unasked, FINISHING)
            return self._change_direction(journal, history, "finish", options)

    def check_finish(self, migration: str = "", *, delete_data: bool) -> History:
        """Before anybody is asked about data. Raises: as `finish` does as far as the journal tells."""
        journal = self._journal(migration, "")
        history = self._open(journal)
        refuse_unless_waiting(journal.migration, history)
        refuse_changed_choice(journal.migration, history, delete_data=delete_data)
        return history

    def check_rollback(self, migration: str = "", *, destroy_target: bool, target_lost: bool) -> History:
        """As `to_finish`, for `rollback`."""
        journal = self._journal(migration, "")
        history = self._open(journal)
        refuse_rollback(journal.migration, history, {"destroy_target": destroy_target, "target_lost": target_lost})
        return history

    def check_source_lost(self, migration: str = "") -> History:
        """As `to_finish`, for `resume` with `source_lost`."""
        history = self._open(self._journal(migration, ""))
        refuse_giving_up_source(history)
        return history

    def losses_by_finish(self, history: History, *, delete_data: bool) -> Sequence[Loss]:
        """The data that a `finish` loses: the source's volumes and file systems, and its buckets with `delete_data`."""
        return self._lost(history, "source", keep_data=not delete_data)

    def losses_by_rollback(self, history: History) -> Sequence[Loss]:
        """The data that a `rollback` loses which destroys the target: its volumes and file systems."""
        return self._lost(history, "target", keep_data=True)

    def _lost(self, history: History, side: Literal["source", "target"], *, keep_data: bool) -> Sequence[Loss]:
        """Nothing where that can't be told now: the step that destroys the side looks again, and stops then."""
        if side == "source" and history.source_lost:
            return ()  # it is left behind as it is
        with suppress(UnreachableError, CredentialsError, UsageError):
            deployment = history.plan.source if side == "source" else history.plan.target
            return self.gateway.losses_by_destroy(deployment, keep_data=keep_data)
        return ()

    def ids(self) -> list[str]:
        return migrations(self.store, self.mesh)

    def history(self, migration: str = "") -> tuple[str, History]:
        """The id and what happened; without an id, of the last migration. Raises: UsageError."""
        journal = self._journal(migration, "")
        return journal.migration, read_history(journal.records)

    def seen(self, migration: str = "") -> MigrationStatus:
        """As `history`, and whether anyone works on it at this moment."""
        return MigrationStatus(*self.history(migration), activity_of(lock.holder(self.store, self.mesh)))

    def listed(self) -> list[MigrationStatus | UnreadableMigration]:
        """All migrations. A journal that can't be read does not hide the others."""
        return [self._seen_or_not(migration) for migration in self.ids()]

    def _seen_or_not(self, migration: str) -> MigrationStatus | UnreadableMigration:
        try:
            return self.seen(migration)
        except (NewerVersionError, UnreadableError) as error:
            return UnreadableMigration(migration, error)

    def _change_direction(self, journal: Journal, history: History, to: Direction, options: dict[str, Any]) -> History:
        """Go that way from here on; the options given last are those that count, for `resume` too."""
        if history.direction != to or not options.items() <= history.options.items():
            journal.add("migration", "direction", self.gateway.now(), {"to": to, **options})
        return self._run(journal)

    def _give_up_source(self, journal: Journal) -> None:
        history = read_history(journal.records)
        refuse_giving_up_source(history)
        if not history.source_lost:
            refuse_unless_lost(self.gateway, self.data, history.plan, "source")
        to = {"to": history.direction, "source_lost": True}
        journal.add("migration", "direction", self.gateway.now(), to)

    def _run(self, journal: Journal) -> History:
        runner = Runner(self.gateway, self.data, journal, self.report, self.stop)
        self.gateway.take_over(runner.history.take_over)
        with _with_next_commands(journal, self._is_target_lost):
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
            return bool(refuse_unless_lost(self.gateway, self.data, history.plan, "target"))
        except MeshError:
            return False

    @contextmanager
    def _locked(self) -> Iterator[lock.Lease]:
        with lock.locked(self.store, self.mesh, break_lock=self.break_lock) as lease:
            if lease.taken_over_from is not None:
                self.report(
                    Event("message", "lock", "", text=f"taken over from {lease.taken_over_from}, which is gone")
                )
            yield lease

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
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self.gateway.now()))
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
        refuse_if_closed(journal.migration, history)
        return history


def _agreement(agreed: Iterable[Loss]) -> dict[str, Any]:
    """For the journal: which data may be lost, and for an older version that goes on with it whether any may."""
    identities = sorted({loss.identity for loss in agreed})
    return {"allow_data_loss": bool(identities), "agreed_losses": identities}


@contextmanager
def _with_next_commands(journal: Journal, is_target_lost: Callable[[History], bool]) -> Iterator[None]:
    """Add to what stopped a run the commands that go on from there."""
    migration = journal.migration
    try:
        yield
    except LockedError:
        raise
    except InterruptedByUserError as error:
        ways = _next_commands_text(migration, read_history(journal.records))
        raise InterruptedByUserError(
            f"migration {migration} stopped at a safe point", why="its journal is kept", hint=ways
        ) from error
    except MeshError as error:
        history = read_history(journal.records)
        silent = isinstance(error, _SILENT) or isinstance(error.__cause__, _SILENT)
        ways = _next_commands_text(migration, history, target_lost=silent and is_target_lost(history))
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


def _next_commands_text(migration: str, history: History, *, target_lost: bool = False) -> str:
    go_on = next_text(migration, history, Activity())
    if target_lost:
        target = history.plan.target.environment
        return f"{go_on}; if {target} is gone for good, `meshctl migrations rollback {migration} --target-lost`"
    return go_on
