"""Numbers in sentences. PURE. Used wherever something is counted for a person."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {noun}{'s' * (number != 1)}"
