"""Watches both sides of an expansion, and leads users away from the one that fails. EDGE: through `Migrations` alone.

Called by `cli.expand` for `--watch`. It is for endpoints that the health checkers of Route 53 do not reach: it runs
where both networks are reached, for as long as somebody lets it. What it changes is the share, by the same rounds that
the command makes, so that the journal and every other command know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from meshctl.clients.endpoint_questions import questions
from meshctl.clients.health_checks import Answer
from meshctl.errors import InterruptedByUserError, MeshError
from meshctl.migrate.journal.activity import MigrationStatus
from meshctl.migrate.migration import Migrations
from meshctl.migrate.planning.inputs import Share
from meshctl.model.deployment import Deployment
from meshctl.model.dns_splits import CHECK_FAILURES, CHECK_INTERVAL_S, WHOLE, Split

Say = Callable[[str], None]
_PAUSE_S: Final = 1.0


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


def watch(migrations: Migrations, source: str, target: str, share: Share, say: Say, *, copy_every_s: int = 0) -> None:
    """Until the expansion is over. Raises: InterruptedByUserError."""
    sides = {source: SideHealth(), target: SideHealth()}
    copies = Copies(copy_every_s, migrations.gateway.now())
    while True:
        try:
            status = migrations.expansion()
            if status is None:
                say(f"{share.workload} is expanded no more")
                return
            present = migrations.expansion_of(source, target, share.workload) or status
            _look(migrations, present, share, sides, copies, say)
        except InterruptedByUserError:
            raise
        except MeshError as error:  # another command works on it, or a state can't be read now
            say(f"nothing is changed: {error.what}; asked again in {CHECK_INTERVAL_S} s")
        _pause(migrations)


def _look(
    migrations: Migrations,
    status: MigrationStatus,
    share: Share,
    sides: dict[str, SideHealth],
    copies: Copies,
    say: Say,
) -> None:
    plan = status.history.plan
    splits = migrations.gateway.splits()
    with ThreadPoolExecutor(max_workers=2) as pool:
        answers = list(pool.map(lambda side: _answer(migrations, side, splits), (plan.source, plan.target)))
    for side, answer in zip((plan.source, plan.target), answers, strict=True):
        if sides[side.environment].take(answered=answer.ok):
            say(f"{side.environment} is {'well' if answer.ok else 'sick'}: {answer.text}")
    present = status.history.weights[-1]
    weight = weight_for(
        share,
        source=sides[plan.source.environment].is_well,
        target=sides[plan.target.environment].is_well,
        present=present,
    )
    chosen = share.model_copy(update={"weight": weight})
    now_s = migrations.gateway.now()
    is_as_chosen = weight == present and _is_written(splits, plan.target, chosen.dns_weight)
    is_calm = all(side.is_well for side in sides.values())
    if is_as_chosen and not (is_calm and copies.is_due(now_s)):
        return
    if is_as_chosen:
        copies.last_s = now_s  # also where it fails: the next one comes as late
        say(f"newer data of {plan.source.environment} is copied to {plan.target.environment}")
    else:
        say(f"{chosen.text} of {share.workload} is led to {plan.target.environment}")
    migrations.share_again(status.migration, weight)


def _is_written(splits: Mapping[str, Split], target: Deployment, weight: int) -> bool:
    own = [side for split in splits.values() for side in split.sides if side.environment == target.environment]
    return all(side.weight == weight for side in own)


def _answer(migrations: Migrations, deployment: Deployment, splits: Mapping[str, Split]) -> Answer:
    """The first bad answer of the shared endpoints, or a good one. They are asked where their records lead: a cluster
    whose API does not answer may serve all the same."""
    answer = Answer(ok=True, text="no endpoint is shared")
    for endpoint in deployment.endpoints:
        sides = splits[endpoint.name].sides if endpoint.name in splits else ()
        for address in (side.address for side in sides if side.environment == deployment.environment):
            answer = migrations.gateway.probe(deployment, endpoint, address, next(questions(deployment, endpoint)))
            if not answer.ok:
                return answer
    return answer


def _pause(migrations: Migrations) -> None:
    """Raises: InterruptedByUserError."""
    for _ in range(round(CHECK_INTERVAL_S / _PAUSE_S)):
        migrations.stop.check()
        migrations.gateway.sleep(_PAUSE_S)
