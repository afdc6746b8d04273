"""A clock for tests of waits. Used by the tests of this folder."""

from __future__ import annotations


class Time:
    """A clock that only waits move; it is the provider's sign of a cancel, too."""

    now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return False

    def is_set(self) -> bool:
        return False
