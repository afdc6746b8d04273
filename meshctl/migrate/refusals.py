"""Refuses commands that a migration in its present state can't carry out, before anything is changed. PURE.

Called by `migration` twice: before the CLI asks the user for a confirmation, and again with the lock held.
"""

from __future__ import annotations

from meshctl.errors import MigrationError, UsageError
from meshctl.migrate.journal.activity import Activity, next_text, state_text
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.inputs import SharedBy
from meshctl.migrate.steps.order.step_plan import rollback, stores_not_copied_back


def refuse_if_closed(migration: str, history: History) -> None:
    """Raises: UsageError if the migration is over."""
    if history.outcome:
        hint = "`meshctl migrations list` shows all migrations"
        raise UsageError(f"migration {migration} is already {history.outcome}", hint=hint)


def refuse_second(mesh: str, migration: str, history: History) -> None:
    """Raises: UsageError: a mesh has one migration or expansion at a time."""
    what = "migration" if history.share is None else "expansion"
    ends = f"{history.plan.source.environment} -> {history.plan.target.environment}"
    raise UsageError(
        f"{what} {migration} ({ends}) of {mesh} is not finished: {state_text(history, Activity())}",
        hint=next_text(migration, history, Activity()),
    )


def refuse_unless_waiting(migration: str, history: History) -> None:
    """Raises: MigrationError if the migration is not waiting for `finish`."""
    if history.share is not None:
        raise MigrationError(
            f"{migration} is an expansion, which has no `finish`",
            why=f"both {history.plan.source.environment} and {history.plan.target.environment} serve",
            hint=next_text(migration, history, Activity()),
        )
    if history.state not in ("waiting", "finishing"):
        raise MigrationError(
            f"migration {migration} is not waiting for `finish`: {state_text(history, Activity())}",
            hint=next_text(migration, history, Activity()),
        )


def refuse_unless_expanded(
    migration: str, history: History, why: str = "its share can be changed once both environments serve"
) -> None:
    """Raises: MigrationError unless the expansion is in force, so that its share can be changed."""
    if history.state != "waiting":
        raise MigrationError(
            f"expansion {migration} is not in force: {state_text(history, Activity())}",
            why=why,
            hint=next_text(migration, history, Activity()),
        )


def refuse_another_way(history: History, by: SharedBy | None) -> None:
    """Raises: UsageError if an expansion in force is to share its users in another way; `by` None = as it does."""
    share = history.share
    if share is None or by in (None, share.by):
        return
    plan = history.plan
    raise UsageError(
        f"{share.workload} is shared by {share.by}, not by {by}",
        why="the way is chosen when the workload is expanded",
        hint=f"leave out --by; or `meshctl contract`, then `meshctl expand {plan.source.environment} "
        f"{plan.target.environment} --workload {share.workload} --share 40% --by {by}`",
    )


def refuse_giving_up_source(history: History) -> None:
    """Raises: MigrationError if the source is still needed."""
    if history.share is not None:
        source, target = history.plan.source.environment, history.plan.target.environment
        raise MigrationError(
            "an expansion can't go on without its source",
            why=f"{target} runs only {history.share.workload}; ending the expansion sends all traffic back to {source}",
            hint=f"`meshctl up {source}` brings it up again" if history.state == "waiting" else "restore the source",
        )
    unseeded = [m.store for m in history.plan.moves if f"seed/{m.store}" not in history.done]
    if unseeded or history.direction == "rollback":
        raise MigrationError(
            "the migration can't go on without the source",
            why=f"not copied yet: {', '.join(unseeded)}" if unseeded else "the migration is being rolled back to it",
            hint="restore the source first",
        )


def refuse_unasked_answer(migration: str, history: History, done: str, again: str) -> None:
    """Only the step whose effect could not be determined takes an answer; a failed comparison takes none.

    Raises: UsageError for an answer to another step, or for two answers.
    """
    undecided = history.undecided
    if {done, again} <= {"", undecided} and not (done and again):
        return
    given = " and ".join(f"--{name} {step}" for name, step in (("done", done), ("again", again)) if step)
    resume = f"meshctl migrations resume {migration}"
    if undecided:
        why = f"only {undecided} needs an answer, and exactly one"
        hint = f"`{resume} --again {undecided}` (do it again) or `{resume} --done {undecided}` (it is done)"
    else:
        why = "no step of this migration needs an answer"
        hint = f"`{resume}` goes on, and says so if a step needs one"
    raise UsageError(f"{given} can't be used now", why=why, hint=hint)


def refuse_rollback(migration: str, history: History, options: dict[str, bool]) -> None:
    """Raises: UsageError, MigrationError if a rollback with these options is no longer possible."""
    source, target = history.plan.source.environment, history.plan.target.environment
    resume = f"`meshctl migrations resume {migration}` goes on"
    lost, destroy = options["target_lost"], options["destroy_target"]
    if lost and destroy:
        raise UsageError(
            "--destroy-target and --target-lost can't be used together",
            hint=f"roll back with --target-lost, then `meshctl destroy {target}`",
        )
    if history.began("finish/source"):
        raise MigrationError("the source is being destroyed: a rollback is no longer possible", hint=resume)
    if history.began("rollback/destroy") and not (destroy or lost):
        raise MigrationError(f"{target} is already being destroyed and can't be paused any more", hint=resume)
    if history.target_lost and not lost and history.began("rollback/source") and stores_not_copied_back(history):
        raise MigrationError(
            f"{source} already runs again, without the data that was written in {target}",
            why="that data can't be copied back any more, because the source's data has changed since",
            hint=resume,
        )
    rollback(history)


def refuse_changed_choice(migration: str, history: History, *, delete_data: bool) -> None:
    """Raises: MigrationError if `delete_data` contradicts what has already been done."""
    source = history.plan.source.environment
    if history.source_lost and delete_data:
        raise MigrationError(
            f"{source} was given up (--source-lost): `finish` does not destroy anything of it",
            hint=f"`meshctl migrations finish {migration}`, then `meshctl destroy {source} --forget-cluster`",
        )
    before = bool(history.options.get("delete_data"))
    if "finish/source" in history.done and before != delete_data:
        raise MigrationError(
            f"{source} is already destroyed, and its data was {'deleted' if before else 'kept'}",
            hint=f"`meshctl migrations resume {migration}` goes on",
        )
