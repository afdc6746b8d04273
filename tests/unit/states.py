"""States for tests, made of the records that the engine would have exported."""

from __future__ import annotations

from typing import Any

from meshctl.model.stack_state import StackState

NOTHING = StackState()


def read(record: dict[str, Any]) -> StackState:
    return StackState.read(record, "the state")


def state(*resources: dict[str, Any], **more: Any) -> StackState:
    """`more`: what the engine keeps beside the resources."""
    return read({"resources": list(resources), **more})
