"""What a provider implements and the values it answers with. Subclassed in providers.aws and providers.kubernetes;
called by `serve`.

A provider sees plain Python values (see `values`) and knows nothing of gRPC. Every method may run on many threads at
once. `inputs` are the checked inputs of a resource, `outputs` its whole state (the engine stores both).

Errors a provider may raise, from any method: `ProviderError` (nothing was kept) and, from `create`, `update` and
`read`, `CreatedNotReady` (the object exists: the engine keeps it in the state, and the next `up` calls `update` again).
Any other exception is a bug and is reported as an internal error.
"""

# ruff: noqa: A002, ARG002 (`id` is the protocol's word; the base ignores its arguments)

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from providers.plugin.values import Properties


class ProviderError(Exception):
    """A call that failed. The engine shows `message [code=CODE]`; `code` is the API's own error code where there is
    one.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.message} [code={self.code}]" if self.code else self.message


class CreatedNotReady(ProviderError):  # noqa: N818 (a state of the object more than an error)
    """The object exists but isn't ready. `reasons` are lines for the user; each should end with ` [code=…]` where there
    is one.
    """

    def __init__(
        self, *, id: str, outputs: Properties, reasons: Sequence[str], inputs: Properties | None = None
    ) -> None:
        super().__init__("", "; ".join(reasons))
        self.id = id
        self.outputs = outputs
        self.reasons = list(reasons)
        self.inputs = inputs


@dataclass(frozen=True)
class CheckFailure:
    """One wrong input: `path` as Pulumi writes it (`Tags[0].Key`), empty for the resource as a whole."""

    path: str
    reason: str


class Kind(Enum):
    """How one property changes; the names are the protocol's (`PropertyDiff.Kind`)."""

    ADD = "ADD"
    ADD_REPLACE = "ADD_REPLACE"
    DELETE = "DELETE"
    DELETE_REPLACE = "DELETE_REPLACE"
    UPDATE = "UPDATE"
    UPDATE_REPLACE = "UPDATE_REPLACE"

    def replacing(self) -> Kind:
        return self if self.value.endswith("_REPLACE") else Kind(f"{self.value}_REPLACE")


@dataclass(frozen=True)
class Diff:
    """What would change. `replaces` are top-level property names; `detailed` maps property paths to their kind.

    `input_diff`: the paths are those of inputs (old inputs against new), not of outputs.
    """

    changes: bool
    replaces: tuple[str, ...] = ()
    detailed: Mapping[str, Kind] = field(default_factory=dict)
    delete_before_replace: bool = False
    input_diff: bool = True


@dataclass(frozen=True)
class Created:
    """`id` is empty only in previews, where nobody knows it yet."""

    id: str
    outputs: Properties


@dataclass(frozen=True)
class Found:
    """An object as read: `outputs` its state, `inputs` what would make it so. `id` empty: it doesn't exist."""

    id: str
    outputs: Properties = field(default_factory=dict)
    inputs: Properties = field(default_factory=dict)


class Host:
    """The engine's side, as a provider may use it. `serve` replaces it with one that reaches the engine's log."""

    def status(self, urn: str, message: str) -> None:
        """Shows what is waited for, beside the resource; overwritten by the next one."""

    def warn(self, urn: str, message: str) -> None:
        """A line that stays."""


class Provider:
    """Base of every provider. `name` is the package, `version` its version; both are sent in the schema and plugin
    info.
    """

    name: str = ""
    version: str = "0.0.0"

    def __init__(self) -> None:
        self.host: Host = Host()
        self.cancelled = threading.Event()

    def check_config(self, news: Properties) -> tuple[Properties, list[CheckFailure]]:
        return news, []

    def diff_config(self, *, olds: Properties, news: Properties) -> Diff:
        """Changed configuration never replaces resources, unless a provider says so."""
        keys = [key for key in sorted({*olds, *news}) if olds.get(key) != news.get(key)]
        return Diff(changes=bool(keys), detailed=dict.fromkeys(keys, Kind.UPDATE))

    def configure(self, config: Properties) -> None:
        """Takes the configuration; makes no call. Values may be `UNKNOWN` in previews, and JSON text where nested."""

    def check(
        self, token: str, *, urn: str, news: Properties, olds: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Validates `news` and fills in defaults. `olds`: the checked inputs of last time, empty for a new resource."""
        raise NotImplementedError

    def diff(
        self,
        token: str,
        *,
        urn: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        ignore_changes: Sequence[str],
    ) -> Diff:
        raise NotImplementedError

    def create(self, token: str, *, urn: str, inputs: Properties, timeout_s: float, preview: bool) -> Created:
        """`timeout_s` 0: the provider's own choice. In a preview: no call that changes anything; unknown outputs are
        `UNKNOWN`.
        """
        raise NotImplementedError

    def read(self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties) -> Found:
        """The object now. Empty `inputs`: it is being imported. Only a plain "not found" of the API gives an empty
        `Found.id`.
        """
        raise NotImplementedError

    def update(
        self,
        token: str,
        *,
        urn: str,
        id: str,
        old_inputs: Properties,
        old_outputs: Properties,
        news: Properties,
        timeout_s: float,
        preview: bool,
        ignore_changes: Sequence[str],
    ) -> Properties:
        """Returns the outputs. Also called with equal inputs, when the last run ended in `CreatedNotReady`: waits
        again.
        """
        raise NotImplementedError

    def delete(
        self, token: str, *, urn: str, id: str, inputs: Properties, outputs: Properties, timeout_s: float
    ) -> None:
        raise NotImplementedError

    def invoke(self, token: str, *, args: Properties) -> Any:
        raise ProviderError("Unsupported", f"there is no function {token}")

    def cancel(self) -> None:
        """Ctrl-C: waits must end soon. Overriders call this too."""
        self.cancelled.set()

    def close(self) -> None:
        """The engine is gone, all calls are answered: close the connections."""
