"""`up --wait-for-capacity`: brings an environment up again and again until there are machines for all pools. EDGE.

Called by `cli.up`. What is up stays up meanwhile: each try makes only what is missing. For a reservation that begins at
a known time it waits until then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

from meshctl.errors import InterruptedByUserError, NoCapacityError
from meshctl.model.deployment import utc_text

Result = TypeVar("Result")

_FIRST_PAUSE_S: Final = 60.0
_LONGEST_PAUSE_S: Final = 900.0
_LOOK_S: Final = 0.5  # how soon Ctrl-C ends a pause


def until_there_is_capacity(
    up: Callable[[], Result],
    limit_s: float,
    *,
    say: Callable[[str], None],
    is_interrupted: Callable[[], bool],
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """What `up` returns. Tries again only where machines were missing, and only if a try can begin before the limit.

    Raises: NoCapacityError of the last try, InterruptedByUserError, and what else `up` raises.
    """
    ends = clock() + limit_s
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return up()
        except NoCapacityError as error:
            left_s = ends - clock()
            if left_s <= (error.retry_in_s or 0):  # another try before the start would find nothing new
                raise
            wait_s = min(pause_s, left_s) if error.retry_in_s is None else max(error.retry_in_s, _FIRST_PAUSE_S)
            say(f"{error.what}; trying again in {_text(wait_s)}, for {_text(left_s)} more")
        _pause(wait_s, is_interrupted, clock, sleep)
        pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)


def _pause(
    seconds: float, is_interrupted: Callable[[], bool], clock: Callable[[], float], sleep: Callable[[float], None]
) -> None:
    ends = clock() + seconds
    while (left_s := ends - clock()) > 0:
        if is_interrupted():
            raise InterruptedByUserError(
                "interrupted while waiting for machines",
                why="nothing was in flight, and what is up stays up",
                hint="the same command goes on waiting",
            )
        sleep(min(left_s, _LOOK_S))


def _text(seconds: float) -> str:
    """`40 s`, `15 min`, `5 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return " ".join(filter(None, [f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]))


def not_started(environment: str, starts: Mapping[str, str], now: datetime | None = None) -> NoCapacityError:
    """The error of an `up` that was asked to wait until all pools have their nodes. It names the first start."""
    moment = min(starts.values())
    pools = ", ".join(starts)
    in_s = (datetime.fromisoformat(moment) - (now or datetime.now(UTC))).total_seconds()
    return NoCapacityError(
        f"up {environment}: the reservation of {'pool' if len(starts) == 1 else 'pools'} {pools} starts"
        f" {utc_text(moment)}; all else is up",
        failures=[],
        why="no node of it can start before, and its workloads wait",
        hint=f"`meshctl up {environment}` after that brings the nodes up",
        retry_in_s=max(in_s, 0.0),
    )
