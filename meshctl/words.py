"""Numbers in sentences. PURE. Used by all messages that count something."""

from __future__ import annotations


def pluralize(number: int, noun: str) -> str:
    """`1 object`, `2 objects`."""
    return f"{number} {noun}{'s' * (number != 1)}"
