"""Decides how long a part of a step is repeated while the other side does not answer. PURE.

Used by `context.StepContext` for every step. `engine.passing` decides which errors are temporary.
"""

from __future__ import annotations

from dataclasses import dataclass

ANSWER_S = 600  # how long a part of a step is repeated without an answer
TRIES = 5  # smallest number of tries, also if a single try takes long, as a copy does
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 30.0


@dataclass
class Retries:
    """The tries of one part of a step that have ended without an answer, in a row, and when the row began."""

    since_s: float = 0.0
    tries: int = 0

    def add_failure(self, began_s: float, now_s: float, *, idle: bool) -> None:
        """Count a try that ran from `began_s` to `now_s` and ended without an answer. A try that worked for more than
        ANSWER_S begins a new row, unless it is known to have been `idle` (a copy that copied nothing)."""
        if not self.tries or (now_s - began_s > ANSWER_S and not idle):
            self.since_s, self.tries = now_s, 0
        self.tries += 1

    def is_over(self, now_s: float) -> bool:
        return self.tries >= TRIES and now_s - self.since_s >= ANSWER_S

    @property
    def pause_s(self) -> float:
        return min(FIRST_PAUSE_S * self.tries, LONGEST_PAUSE_S)
