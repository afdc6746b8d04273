"""What a copy tells while it runs, and how it is stopped. PURE but for the flag."""

from __future__ import annotations

from collections.abc import Callable

from meshctl.errors import InterruptedByUserError

OnCopied = Callable[
    [int, int, int, int, "float | None"], None
]  # done bytes, total, done objects, total, ETA in seconds


class Stop:
    """Set by Ctrl-C; asked between steps and in every wait."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        self.requested = True

    def check(self) -> None:
        """Raises: InterruptedByUserError once stopping was asked for."""
        if self.requested:
            raise InterruptedByUserError("stopped at a safe point")
