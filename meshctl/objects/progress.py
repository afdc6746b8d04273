"""How a copy or a comparison reports its progress, and how it is asked to stop. PURE but for the flag."""

from __future__ import annotations

from collections.abc import Callable

from meshctl.errors import InterruptedByUserError

# bytes done, bytes in total, objects done, objects in total, seconds left (None if unknown)
OnCopied = Callable[[int, int, int, int, "float | None"], None]


class Stop:
    """A request to stop. Ctrl-C sets it; it is checked between steps and in every wait."""

    def __init__(self) -> None:
        self.requested = False

    def request(self) -> None:
        self.requested = True

    def check(self) -> None:
        """Raises: InterruptedByUserError once a stop was requested."""
        if self.requested:
            raise InterruptedByUserError("stopped at a safe point")
