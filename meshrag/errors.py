"""What can go wrong outside of this program, by the slot of the blueprint that it is about. PURE."""

from __future__ import annotations


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
