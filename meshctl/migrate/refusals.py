"""What can't be asked of a migration as far as it is, told before anybody is asked and before its journal turns. PURE.

Called by `migration`, once for the command line, which then asks a person, and once more with the lock held.
"""

from __future__ import annotations

from meshctl.errors import MigrationError, UsageError
from meshctl.migrate.journal.activity import Activity, next_text, state_text
from meshctl.migrate.journal.history import History
from meshctl.migrate.steps.step_plan import rollback, stores_not_copied_back


def refuse_if_closed(migration: str, history: History) -> None:
    """Raises: UsageError."""
    if history.outcome:
        raise UsageError(f"migration {migration} is over: {history.outcome}", hint="`meshctl migrations list`")


def refuse_unless_waiting(migration: str, history: History) -> None:
    """Raises: MigrationError while it is not waiting for its end."""
    if history.state not in ("waiting", "finishing"):
        raise MigrationError(
            f"migration {migration} is not at its end: {state_text(history, Activity())}",
            hint=next_text(migration, history, Activity()),
        )


def refuse_giving_up_source(history: History) -> None:
    """Raises: MigrationError when the source is needed yet."""
    unseeded = [m.store for m in history.plan.moves if f"seed/{m.store}" not in history.done]
    if unseeded or history.direction == "rollback":
        raise MigrationError(
            "the source can't be left behind",
            why=f"{', '.join(unseeded)}: not copied yet" if unseeded else "the migration goes back to it",
            hint="bring the source's storage back first",
        )


def refuse_unasked_answer(migration: str, history: History, done: str, again: str) -> None:
    """A comparison that failed is no question, and a step that did not stop as undecidable has none. UsageError."""
    asked = history.undecided
    if {done, again} <= {"", asked} and not (done and again):
        return
    given = " and ".join(f"--{name} {step}" for name, step in (("done", done), ("again", again)) if step)
    if asked:
        why = f"{asked} asks, and wants one answer"
        hint = f"`meshctl migrations resume {migration} --again {asked}` (do it) or `--done {asked}` (it is done)"
    else:
        why = "no step stopped as undecidable"
        hint = f"`meshctl migrations resume {migration}` goes on, and says so if it must ask"
    raise UsageError(f"{given} can't be taken", why=why, hint=hint)


def refuse_rollback(migration: str, history: History, options: dict[str, bool]) -> None:
    """Before the journal is turned. Raises: UsageError, MigrationError."""
    source, target = history.plan.source.environment, history.plan.target.environment
    resume = f"`meshctl migrations resume {migration}`"
    lost, destroy = options["target_lost"], options["destroy_target"]
    if lost and destroy:
        raise UsageError(
            "--destroy-target and --target-lost exclude each other",
            hint=f"roll back with --target-lost, then `meshctl destroy {target}`",
        )
    if history.began("finish/source"):
        raise MigrationError("the source is being retired, there is no way back to it", hint=resume)
    if history.began("rollback/destroy") and not (destroy or lost):
        raise MigrationError(f"{target} is being destroyed, it can't be paused any more", hint=resume)
    if history.target_lost and not lost and history.began("rollback/source") and stores_not_copied_back(history):
        raise MigrationError(
            f"{source} runs again without what was written in {target}",
            why="that can't be brought back into what has moved on since",
            hint=resume,
        )
    rollback(history)


def refuse_changed_choice(migration: str, history: History, *, delete_data: bool) -> None:
    """What was decided by deeds can't be chosen anew. Raises: MigrationError."""
    source = history.plan.source.environment
    if history.source_lost and delete_data:
        raise MigrationError(
            f"{source} was given up, nothing of it is destroyed",
            hint=f"`meshctl migrations finish {migration}`, then `meshctl destroy {source} --forget-cluster`",
        )
    before = bool(history.options.get("delete_data"))
    if "finish/source" in history.done and before != delete_data:
        raise MigrationError(
            f"{source} is destroyed already, its data {'deleted' if before else 'kept'}",
            hint=f"`meshctl migrations resume {migration}`",
        )
