"""What can go wrong outside of this program, by the slot of the blueprint that it is about. PURE."""

from __future__ import annotations

from typing import Any


class SettingsError(Exception):
    """A variable that is missing or can't be read."""


class SlotError(Exception):
    """Another program that this one needs does not do its part. `slot`: llm, embed, rerank or store."""

    status = 502

    def __init__(self, slot: str, reason: str) -> None:
        super().__init__(f"{slot}: {reason}")
        self.slot = slot


class SlotTimeoutError(SlotError):
    """It has not answered in time."""

    status = 504


class IndexNotReadyError(SlotError):
    """The store has no complete index of the documents yet."""

    status = 503


def body(status: int, message: str, slot: str = "") -> dict[str, Any]:
    """In the form in which OpenAI's API has errors, with the slot that is to blame."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    named = {"slot": slot} if slot else {}
    return {"error": {"message": message, "type": kind, "code": status, **named}}
