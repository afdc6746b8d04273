"""Watches both sides of an expansion, and leads users away from the one that fails. EDGE: through `Migrations` alone.

Called by `cli.expand` for `--watch`. It is for endpoints that the health checkers of Route 53 do not reach: it runs
where both networks are reached, for as long as somebody lets it. What it changes is the share, by the same rounds that
the command makes, so that the journal and every other command know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

from meshctl.errors import InterruptedByUserError, LockedError, MeshError, UsageError
from meshctl.migrate import shared_answers as shares
from meshctl.migrate.journal.activity import MigrationStatus
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Share
from meshctl.model.deployment import Deployment
from meshctl.model.dns_splits import CHECK_FAILURES, CHECK_INTERVAL_S, WHOLE, Split

Say = Callable[[str], None]
_PAUSE_S: Final = 1.0
_LONGEST_RETRY_S: Final = 600


@dataclass
class SideHealth:
    """What is known of one side, as a health checker of Route 53 would know it. `is_well`: None until enough answers of
    one kind came in a row, the first ones included: a watcher that starts knows nothing."""

    is_well: bool | None = None
    in_a_row: int = 0  # answers that say the opposite of `is_well`, or what is to be known first
    last_answer: bool | None = None

    def take(self, *, answered: bool) -> bool:
        """Count one answer; whether it has changed what is known."""
        self.in_a_row = self.in_a_row + 1 if answered == self.last_answer else 1
        self.last_answer = answered
        if answered == self.is_well or self.in_a_row < CHECK_FAILURES:
            return False
        self.is_well = answered
        return True


def weight_for(share: Share, *, source: bool | None, target: bool | None, present: int) -> int:
    """The target's part in 255ths, by what is known of both sides. PURE. `share`: while both are well.

    Where both are sick, or not known yet, all stays as it is: one of them may be the first to come back. A gateway
    leaves a target that fails by itself.
    """
    if source is None or target is None or not (source or target):
        return present
    if source and target:
        return share.weight
    if not source:
        return WHOLE
    return 0 if share.by == "dns" else share.weight


@dataclass
class Copies:
    """When newer data is copied. `every_s`: 0 for never, beyond what a larger share copies."""

    every_s: int
    last_s: float

    def is_due(self, now_s: float) -> bool:
        return bool(self.every_s) and now_s - self.last_s >= self.every_s


@dataclass
class Retries:
    """When a round that has failed is tried again: each try adds records to the journal, which every command reads.

    The pause doubles with each failure, up to 10 minutes. It begins anew once a round has worked or the health of a
    side has changed."""

    pause_s: int = CHECK_INTERVAL_S
    not_before_s: float = 0.0

    def are_due(self, now_s: float) -> bool:
        return now_s >= self.not_before_s

    def count_failure(self, now_s: float) -> None:
        self.pause_s = min(2 * self.pause_s, _LONGEST_RETRY_S)
        self.not_before_s = now_s + self.pause_s

    def begin_anew(self) -> None:
        self.pause_s, self.not_before_s = CHECK_INTERVAL_S, 0.0


def watch(migrations: Migrations, source: str, target: str, share: Share, say: Say, *, copy_every_s: int = 0) -> None:
    """Until the expansion is over. Raises: InterruptedByUserError; UsageError once a migration goes on from the
    expansion, or another expansion is in force."""
    sides = {source: SideHealth(), target: SideHealth()}
    watcher = _Watcher(migrations, share, say, sides, Copies(copy_every_s, migrations.gateway.now()))
    while True:
        try:
            status = migrations.expansion_of(source, target, share.workload)
        except UsageError:
            raise
        except MeshError as error:
            _say_unchanged(say, error)
        else:
            if status is None:
                say(f"{share.workload} is expanded no more")
                return
            watcher.look(status)
        _pause(migrations)


@dataclass(frozen=True)
class _Watcher:
    """What the watcher of one expansion knows. `share`: while both sides are well; `sides`: by environment."""

    migrations: Migrations
    share: Share
    say: Say
    sides: dict[str, SideHealth]
    copies: Copies
    retries: Retries = field(default_factory=Retries)

    def look(self, status: MigrationStatus) -> None:
        """Ask both sides, and make a round where one is needed. Raises: InterruptedByUserError."""
        try:
            splits = self.migrations.gateway.splits()
            self._ask_sides(status, splits)
            self._make_round_if_needed(status, splits)
        except InterruptedByUserError:
            raise
        except MeshError as error:  # another command works on it, or a state can't be read now
            _say_unchanged(self.say, error)

    def _ask_sides(self, status: MigrationStatus, splits: Mapping[str, Split]) -> None:
        plan = status.history.plan
        with ThreadPoolExecutor(max_workers=2) as pool:
            gateway = self.migrations.gateway
            answers = list(pool.map(lambda side: shares.answer(gateway, side, splits), (plan.source, plan.target)))
        for side, answer in zip((plan.source, plan.target), answers, strict=True):
            if self.sides[side.environment].take(answered=answer.ok):
                self.retries.begin_anew()
                self.say(f"{side.environment} is {'well' if answer.ok else 'sick'}: {answer.text}")

    def _make_round_if_needed(self, status: MigrationStatus, splits: Mapping[str, Split]) -> None:
        history, now_s = status.history, self.migrations.gateway.now()
        plan, present = history.plan, history.weights[-1]
        source, target = (self.sides[side.environment].is_well for side in (plan.source, plan.target))
        weight = weight_for(self.share, source=source, target=target, present=present)
        chosen = self.share.model_copy(update={"weight": weight})
        is_calm = bool(source and target)
        is_led = weight == present and _is_written(splits, plan.target, chosen.dns_weight)
        is_led = is_led and not (is_calm and history.round_is_open)  # what it lacks may be the gateway's share
        if (is_led and not (is_calm and self.copies.is_due(now_s))) or not self.retries.are_due(now_s):
            return
        if is_led:
            self.copies.last_s = now_s
            self.say(f"newer data of {plan.source.environment} is copied to {plan.target.environment}")
        else:
            self.say(f"{chosen.text} of {self.share.workload} is led to {plan.target.environment}")
        self._make_round(status, weight, is_source_sick=source is False)

    def _make_round(self, status: MigrationStatus, weight: int, *, is_source_sick: bool) -> None:
        """Raises: InterruptedByUserError; LockedError where another run works on the expansion, which is waited for."""
        try:
            self.migrations.share_again(status.migration, weight, is_source_sick=is_source_sick)
        except InterruptedByUserError:
            raise
        except MeshError as error:
            if isinstance(error, LockedError) and not self._has_begun_round_since(status):
                raise
            self.retries.count_failure(self.migrations.gateway.now())
            self.say(f"{error.what}; tried again in {self.retries.pause_s} s")
        else:
            self.retries.begin_anew()

    def _has_begun_round_since(self, status: MigrationStatus) -> bool:
        """Whether the journal has more than it had. A round may have begun before it met the lock of an environment."""
        return self.migrations.history(status.migration)[1].rounds > status.history.rounds


def _say_unchanged(say: Say, error: MeshError) -> None:
    say(f"nothing is changed: {error.what}; asked again in {CHECK_INTERVAL_S} s")


def _is_written(splits: Mapping[str, Split], target: Deployment, weight: int) -> bool:
    own = [side for split in splits.values() for side in split.sides if side.environment == target.environment]
    return all(side.weight == weight for side in own)


def _pause(migrations: Migrations) -> None:
    """Raises: InterruptedByUserError."""
    for _ in range(round(CHECK_INTERVAL_S / _PAUSE_S)):
        migrations.stop.check()
        migrations.gateway.sleep(_PAUSE_S)
