"""How long a part of a step is done again while the other side does not answer. PURE.

Used by `context.StepContext`, for every step. Which errors mean no more than that is decided in `engine.passing`.
"""

from __future__ import annotations

from dataclasses import dataclass

ANSWER_S = 600  # how long one question of a step is asked again
TRIES = 5  # at the least, also where each try lasts long by itself, as a copy does
FIRST_PAUSE_S = 2.0
LONGEST_PAUSE_S = 30.0


@dataclass
class Retries:
    """With one part of a step: since when, and how often in a row, it has had no answer."""

    since_s: float = 0.0
    tries: int = 0

    def add_failure(self, began_s: float, now_s: float, *, idle: bool) -> None:
        """One more try, from `began_s` to `now_s`, ended without an answer. After more than ANSWER_S of work it is
        the first of a new row, unless the try is known to have been `idle`: a copy may wait that long for an answer."""
        if not self.tries or (now_s - began_s > ANSWER_S and not idle):
            self.since_s, self.tries = now_s, 0
        self.tries += 1

    def is_over(self, now_s: float) -> bool:
        return self.tries >= TRIES and now_s - self.since_s >= ANSWER_S

    @property
    def pause_s(self) -> float:
        return min(FIRST_PAUSE_S * self.tries, LONGEST_PAUSE_S)
