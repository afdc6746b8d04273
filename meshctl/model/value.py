"""What the values are that `resolve` decides and states keep: frozen, and readable by older and newer releases. PURE.

Used by the modules `deployment`, `deployed_pools`, `deployed_storage` and `deployed_workloads` beside it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Value(BaseModel):
    """A frozen value; unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def added_later(default: Any) -> Any:
    """The default of a field that deployments of older releases don't have, so that those can still be read.

    While it has its default, the field is not written either: a deployment that does not use it keeps its bytes and
    its digest, and older releases can read it.
    """
    return Field(default, exclude_if=lambda value: value == default)


class Price(Value):
    """List or contract price of one thing for one hour. `usd` None means unknown, which is never 0."""

    subject: str  # "pool/train"
    usd_per_hour: float | None
    source: str  # where the number was read, with its date; or why there is none
    date: str = ""
