"""The progress of a running migration. PURE.

`runner` and the steps pass `Event`s to a callback of the CLI; `progress_text` formats an event as one line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from meshctl.model.files.units import size_text
from meshctl.printable import one_line


@dataclass(frozen=True)
class Event:
    """`kind` started, done and failed are about the step as a whole; `copying` has the numbers so far; `message` is a
    line about something within the step. `eta_s` is None if unknown."""

    kind: Literal["started", "done", "failed", "copying", "message"]
    step: str
    title: str
    elapsed_s: float = 0
    text: str = ""
    done_bytes: int = 0
    total_bytes: int = 0
    done_objects: int = 0
    total_objects: int = 0
    eta_s: float | None = None


Report = Callable[[Event], None]
Say = Callable[[str], None]


def progress_text(event: Event) -> str:
    """One line of text without a line break."""
    return one_line(_text(event))


def _text(event: Event) -> str:
    head = f"{event.step:<27} "
    if event.kind == "started":
        return f"{head}{event.title}"
    if event.kind == "done":
        tail = f"  {event.text}" if event.text else ""
        return f"{head}done in {event.elapsed_s:.1f} s{tail}"
    if event.kind == "failed":
        return f"{head}FAILED after {event.elapsed_s:.1f} s: {event.text}"
    if event.kind == "message":
        return f"{head}  {event.text}"
    eta = "" if event.eta_s is None else f", {event.eta_s:.0f} s left"
    files = f"{event.done_objects}/{event.total_objects} objects"
    return f"{head}  {size_text(event.done_bytes)} of {size_text(event.total_bytes)}, {files}{eta}"
