"""The operations of the CLI on migrations: plan, start, resume, roll back, finish, show. EDGE.

A `Migrations` object is made for one mesh and one command. Every operation that changes something holds the mesh's
lock. Every error that stops a migration names the commands with which the user can go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

from meshctl.changes.losses import Loss, not_agreed
from meshctl.deploy.guards.protection import refused_by_migration_destroy
from meshctl.engine.state_store import StateStore
from meshctl.errors import (
    CredentialsError,
    InterruptedByUserError,
    LockedError,
    MeasurementError,
    MeshError,
    MigrationError,
    NewerVersionError,
    OwnedFieldsError,
    StoppedByFieldsError,
    UnreachableError,
    UnreadableError,
    UsageError,
)
from meshctl.migrate import plans, shared_answers
from meshctl.migrate.data import Data, S3Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.going_on import (
    end_expansion,
    expansion_to_go_on_from,
    refuse_if_gone_on,
    refuse_other_open,
)
from meshctl.migrate.journal import lock
from meshctl.migrate.journal.activity import (
    Activity,
    MigrationStatus,
    UnreadableMigration,
    activity_of,
    next_text,
)
from meshctl.migrate.journal.guard import open_migration
from meshctl.migrate.journal.history import Direction, History, read_history
from meshctl.migrate.journal.journal import Journal, last_open, migrations, open_journal
from meshctl.migrate.planning.inputs import Options, Share
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.migrate.progress import Event, Report
from meshctl.migrate.refusals import (
    refuse_changed_choice,
    refuse_giving_up_source,
    refuse_if_closed,
    refuse_rollback,
    refuse_unasked_answer,
    refuse_unless_expanded,
    refuse_unless_waiting,
)
from meshctl.migrate.steps.environment import DESTROYING, FINISHING
from meshctl.migrate.steps.lost import refuse_sides, refuse_unless_lost
from meshctl.migrate.steps.runner import Runner
from meshctl.objects.listing import NoBucketError
from meshctl.objects.progress import Stop

_MAYBE_LOST = (UnreachableError, CredentialsError, NoBucketError, UsageError)  # errors of a side that may be gone
_CLOSED_AS: dict[Direction, str] = {"rollback": "rolled-back", "finish": "finished"}


def _no_report(_event: Event) -> None:
    return None


@dataclass
class Migrations:
    """The migrations of one mesh."""

    mesh: str
    gateway: Gateway
    store: StateStore
    report: Report = _no_report
    stop: Stop = field(default_factory=Stop)
    break_lock: bool = False
    data: Data = field(default_factory=S3Data)
    check: Callable[[], None] = lambda: None  # raises what forbids a migration; called with the lock held
    check_again: Callable[[], None] = lambda: None  # as `check`, of what forbids another share of an expansion

    def plan(self, source: str, target: str, options: Options) -> MigrationPlan:
        """As `plans.plan_of_migration`. Raises: also UsageError, MigrationError for another migration that is open."""
        expanded = expansion_to_go_on_from(open_migration(self.store, self.mesh), source, target)
        return plans.plan_of_migration(self.gateway, self.data, source, target, options, expanded)

    def plan_expansion(self, source: str, target: str, share: Share, options: Options) -> MigrationPlan:
        """As `plans.plan_of_expansion`. Raises: also LockedError."""
        self.check()
        return plans.plan_of_expansion(self.gateway, self.data, source, target, share, options)

    def expansion(self) -> MigrationStatus | None:
        """The expansion that is in force or under way; None if there is none. Raises: UsageError if a migration goes on
        from it."""
        status = open_migration(self.store, self.mesh)
        if status is not None and status.history.plan.expanded is not None:
            refuse_if_gone_on(self.store, self.mesh, status.history.plan.expanded.migration)
        return status if status is not None and status.history.share is not None else None

    def expansion_of(self, source: str, target: str, workload: str) -> MigrationStatus | None:
        """The expansion of this workload into this environment; None if nothing is expanded. Raises: UsageError if
        something else is, as there is one expansion at a time; MigrationError if it is not in force."""
        status = self.expansion()
        if status is None:
            return None
        plan = status.history.plan
        present = (plan.source.environment, plan.target.environment, plan.share.workload if plan.share else "")
        if present != (source, target, workload):
            raise UsageError(
                f"{present[2]} is expanded already, from {present[0]} to {present[1]}",
                why="a mesh has one expansion at a time",
                hint="`meshctl contract` ends it",
            )
        refuse_unless_expanded(status.migration, status.history)
        return status

    def share_again(self, migration: str, weight: int, *, is_source_sick: bool | None = None) -> History:
        """Copy what has changed, and set the share, as `shared_answers.of_round`. Raises: MigrationError unless the
        expansion is in force."""
        with self._locked() as lease:
            journal = self._journal(migration, str(lease.owner))
            history = self._open(journal)
            refuse_unless_expanded(journal.migration, history)
            self.check_again()
            of_round = shared_answers.of_round(self.gateway, history, weight, is_source_sick=is_source_sick)
            journal.add("migration", "direction", self.gateway.now(), {"to": "forward", **of_round})
            return self._run(journal)

    def start(self, plan: MigrationPlan) -> str:
        """Run all steps until the migration waits for `finish`. Returns its id. Raises: UsageError, MigrationError."""
        with self._locked() as lease:
            refuse_other_open(open_migration(self.store, self.mesh), plan)
            self.check()
            migration = self._new_id(f"{plan.source.environment}-{plan.target.environment}")
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
        """Go on in the direction of the migration: forward, rollback or finish.

        `done` or `again` is the step that needs an answer: it took effect, or it is to be done again. `take_over`:
        fields that the steps set from now on although other programs own them.
        Raises: UsageError if that step needs no answer, or if such a field belongs to nothing in the mesh; and the
        errors of the steps.
        """
        with self._locked() as lease:
            journal = self._journal(migration, str(lease.owner))
            history = self._open(journal)
            refuse_unasked_answer(journal.migration, history, done, again)
            self.gateway.check_take_over(take_over, history.plan.source, history.plan.target)
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
        """Go back to the source: its workloads first, then the DNS records, then the target. Possible until `finish`.

        `target_lost`: the target is not used at all, and data written there is not copied back. `agreed`: the losses
        (`losses_by_rollback`) that the user was shown and has agreed to.
        Raises: ProtectedDataError if destroying the target would lose other data.
        """
        options = {"destroy_target": destroy_target, "target_lost": target_lost, **_agreement(agreed)}
        with self._locked() as lease:
            journal = self._journal(migration, str(lease.owner))
            history = self._open(journal)
            refuse_rollback(journal.migration, history, options)
            refuse_sides(self.gateway, self.data, history, target_lost=target_lost)
            lost = self.losses_by_rollback(history) if destroy_target else ()
            not_agreed_losses = not_agreed(lost, options["agreed_losses"])
            if not_agreed_losses:
                raise refused_by_migration_destroy(history.plan.target.environment, not_agreed_losses, DESTROYING)
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
            not_agreed_losses = not_agreed(lost, options["agreed_losses"], buckets=delete_data)
            if not_agreed_losses:
                raise refused_by_migration_destroy(history.plan.source.environment, not_agreed_losses, FINISHING)
            return self._change_direction(journal, history, "finish", options)

    def check_finish(self, migration: str = "", *, delete_data: bool) -> History:
        """The history, for the question to the user. Raises: as `finish`, for what the journal alone can show."""
        journal = self._journal(migration, "")
        history = self._open(journal)
        refuse_unless_waiting(journal.migration, history)
        refuse_changed_choice(journal.migration, history, delete_data=delete_data)
        return history

    def check_rollback(self, migration: str = "", *, destroy_target: bool, target_lost: bool) -> History:
        """As `check_finish`, for `rollback`."""
        journal = self._journal(migration, "")
        history = self._open(journal)
        refuse_rollback(journal.migration, history, {"destroy_target": destroy_target, "target_lost": target_lost})
        return history

    def check_source_lost(self, migration: str = "") -> History:
        """As `check_finish`, for `resume` with `source_lost`."""
        history = self._open(self._journal(migration, ""))
        refuse_giving_up_source(history)
        return history

    def losses_by_finish(self, history: History, *, delete_data: bool) -> Sequence[Loss]:
        """The data that `finish` deletes: the source's volumes and file systems; with `delete_data` its buckets."""
        return self._lost(history, "source", keep_data=not delete_data)

    def losses_by_rollback(self, history: History) -> Sequence[Loss]:
        """The data that a `rollback` with `destroy_target` deletes: the target's volumes and file systems."""
        return self._lost(history, "target", keep_data=True) if history.target_is_ours else ()

    def _lost(self, history: History, side: Literal["source", "target"], *, keep_data: bool) -> Sequence[Loss]:
        """Empty if the side does not answer: the step that destroys the side checks again, and stops then."""
        if side == "source" and history.source_lost:
            return ()  # nothing of it is destroyed
        with suppress(UnreachableError, CredentialsError, UsageError):
            deployment = history.plan.source if side == "source" else history.plan.target
            return self.gateway.losses_by_destroy(deployment, keep_data=keep_data)
        return ()

    def ids(self) -> list[str]:
        return migrations(self.store, self.mesh)

    def history(self, migration: str = "") -> tuple[str, History]:
        """The id and the history of a migration; without an id, of the newest one. Raises: UsageError."""
        journal = self._journal(migration, "")
        return journal.migration, read_history(journal.records)

    def status(self, migration: str = "") -> MigrationStatus:
        """As `history`, and whether a run works on it now."""
        return MigrationStatus(*self.history(migration), activity_of(lock.lease_holder(self.store, self.mesh)))

    def statuses(self) -> list[MigrationStatus | UnreadableMigration]:
        """All migrations, including those whose journal can't be read."""
        return [self._status_or_error(migration) for migration in self.ids()]

    def _status_or_error(self, migration: str) -> MigrationStatus | UnreadableMigration:
        try:
            return self.status(migration)
        except (NewerVersionError, UnreadableError) as error:
            return UnreadableMigration(migration, error)

    def _change_direction(self, journal: Journal, history: History, to: Direction, options: dict[str, Any]) -> History:
        """Run in the direction `to` from now on. The latest options count, also for a later `resume`."""
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
                end_expansion(self.store, self.mesh, runner.history, outcome, journal.owner, self.gateway.now())
                runner.add("migration", "closed", {"outcome": outcome})
        return runner.history

    def _is_target_lost(self, history: History) -> bool:
        """Whether a rollback has failed because the target is unreachable, so that `--target-lost` would help."""
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
                    Event(
                        "message",
                        "lock",
                        "",
                        text=f"lock taken over from {lease.taken_over_from}, which no longer runs",
                    )
                )
            yield lease

    def _new_id(self, tail: str) -> str:
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self.gateway.now()))
        migration = f"{stamp}-{tail}"
        while migration in self.ids():
            migration += "-2"
        return migration

    def _journal(self, migration: str, owner: str) -> Journal:
        ids = self.ids()
        if migration and migration not in ids:
            raise UsageError(f"no migration {migration}", hint="`meshctl migrations list` shows all migrations")
        if not ids:
            raise UsageError("this mesh has no migrations", hint="`meshctl migrate SRC DST` starts one")
        return open_journal(self.store, self.mesh, migration or last_open(self.store, self.mesh, ids), owner)

    def _open(self, journal: Journal) -> History:
        history = read_history(journal.records)
        refuse_if_closed(journal.migration, history)
        refuse_if_gone_on(self.store, self.mesh, journal.migration)
        return history


def _agreement(agreed: Iterable[Loss]) -> dict[str, Any]:
    """For the journal: the losses that the user agreed to. Older versions read only `allow_data_loss`."""
    identities = sorted({loss.identity for loss in agreed})
    return {"allow_data_loss": bool(identities), "agreed_losses": identities}


@contextmanager
def _with_next_commands(journal: Journal, is_target_lost: Callable[[History], bool]) -> Iterator[None]:
    """Adds to an error that stops a run the commands with which the user can go on."""
    migration = journal.migration
    try:
        yield
    except LockedError:
        raise
    except InterruptedByUserError as error:
        commands = _next_commands_text(migration, read_history(journal.records))
        raise InterruptedByUserError(
            f"migration {migration} stopped at a safe point",
            why="it was interrupted; its journal is kept",
            hint=commands,
        ) from error
    except MeshError as error:
        history = read_history(journal.records)
        maybe_lost = isinstance(error, _MAYBE_LOST) or isinstance(error.__cause__, _MAYBE_LOST)
        commands = _next_commands_text(migration, history, target_lost=maybe_lost and is_target_lost(history))
        hint = f"{error.hint}; {commands}" if error.hint else commands
        if isinstance(error, (MeasurementError, MigrationError)):
            error.hint = hint
            raise
        raise _stopped(f"migration {migration} stopped: {error.what}", error, hint) from error


def _stopped(what: str, error: MeshError, hint: str) -> MigrationError:
    """The error of a stopped migration. It keeps the fields of other programs, which scripts read from the JSON."""
    if isinstance(error, OwnedFieldsError):
        return StoppedByFieldsError(what, fields=error.fields, why=error.why, hint=hint)
    return MigrationError(what, why=error.why, hint=hint)


def _next_commands_text(migration: str, history: History, *, target_lost: bool = False) -> str:
    commands = next_text(migration, history, Activity())
    if target_lost:
        target = history.plan.target.environment
        return f"{commands}; if {target} is gone for good, `meshctl migrations rollback {migration} --target-lost`"
    return commands
