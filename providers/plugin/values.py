"""Property values between the Pulumi wire (protobuf Struct) and plain Python. Called by `serve`. PURE.

Providers see plain values: dict, list, str, bool, int, float, None, and `UNKNOWN` where a preview can't know yet.
Secrets are unwrapped on the way in and marked again on the way out (`Secrets`), so that no provider can forget it; a
provider that makes a secret of its own wraps it in `Secret`. Numbers without a fraction arrive as int: the wire has
doubles only.
Source of the signatures: pulumi/sdk/go/common/resource/plugin/rpc.go, 3.259.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf import struct_pb2

from meshwire.marks import SIGNATURE, UNKNOWN_STRING

SECRET: Final = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 (a type mark)
OUTPUT: Final = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
RESOURCE: Final = "5cf8f73096256a8f31e491e813e4eb8e"
UNKNOWNS: Final = frozenset(
    {
        UNKNOWN_STRING,
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)

Path = tuple[str | int, ...]
Properties = dict[str, Any]


class Unknown:
    """The type of `UNKNOWN`: a value that only an apply will know."""

    _only: Unknown | None = None

    def __new__(cls) -> Unknown:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "UNKNOWN"

    def __deepcopy__(self, memo: object) -> Unknown:
        return self


UNKNOWN: Final = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that a provider wants kept secret in the state."""

    value: Any

    def __repr__(self) -> str:
        return "Secret(…)"


@dataclass
class Secrets:
    """What was secret in a request: where (`paths`) and which strings (`texts`), so that outputs are marked again."""

    paths: set[Path] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def add(self, path: Path, value: Any) -> None:
        self.paths.add(_up_to_list(path))
        self.texts.update(text for text in _texts(value) if text)

    def covers(self, path: Path, value: Any) -> bool:
        return path in self.paths or (isinstance(value, str) and value in self.texts)


def _up_to_list(path: Path) -> Path:
    """A secret in a list makes the whole list secret, because services may reorder it (the engine's own rule)."""
    for index, key in enumerate(path):
        if isinstance(key, int):
            return path[:index]
    return path


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def decode(struct: struct_pb2.Struct, secrets: Secrets | None = None) -> Properties:
    """Plain values of a Struct; what was secret is added to `secrets`."""
    secret_values = Secrets() if secrets is None else secrets
    return {key: _decode(value, (key,), secret_values) for key, value in struct.fields.items()}


def _decode(value: struct_pb2.Value, path: Path, secrets: Secrets) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return UNKNOWN if value.string_value in UNKNOWNS else value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() else number
        case "bool_value":
            return value.bool_value
        case "list_value":
            return [_decode(item, (*path, index), secrets) for index, item in enumerate(value.list_value.values)]
        case "struct_value":
            return _decode_struct(value.struct_value, path, secrets)
        case _:
            return None


def _decode_struct(struct: struct_pb2.Struct, path: Path, secrets: Secrets) -> Any:
    fields = struct.fields
    signature = fields[SIGNATURE].string_value if SIGNATURE in fields else ""
    if signature == SECRET:
        plain = _decode(fields["value"], path, secrets)
        secrets.add(path, plain)
        return plain
    if signature == OUTPUT:
        if "value" not in fields:
            return UNKNOWN
        plain = _decode(fields["value"], path, secrets)
        if "secret" in fields and fields["secret"].bool_value:
            secrets.add(path, plain)
        return plain
    if signature == RESOURCE:
        return _decode(fields["id"], path, secrets) if "id" in fields else fields["urn"].string_value
    return {key: _decode(item, (*path, key), secrets) for key, item in fields.items()}


def encode(properties: Mapping[str, Any], secrets: Secrets | None = None) -> struct_pb2.Struct:
    """A Struct of plain values; whatever `secrets` covers, and each `Secret`, is marked secret.

    Raises:
        TypeError: a value of a type that has no form on the wire.
    """
    struct = struct_pb2.Struct()
    secret_values = Secrets() if secrets is None else secrets
    for key, value in properties.items():
        struct.fields[key].CopyFrom(_encode(value, (key,), secret_values))
    return struct


def _encode(value: Any, path: Path, secrets: Secrets) -> struct_pb2.Value:
    if isinstance(value, Secret):
        return _secret(_encode(value.value, path, Secrets()))
    if value is not None and value is not UNKNOWN and secrets.covers(path, value):
        return _secret(_encode(value, path, Secrets()))
    match value:
        case None:
            return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
        case Unknown():
            return struct_pb2.Value(string_value=UNKNOWN_STRING)
        case bool():
            return struct_pb2.Value(bool_value=value)
        case int() | float():
            return struct_pb2.Value(number_value=float(value))
        case str():
            return struct_pb2.Value(string_value=value)
        case list() | tuple():
            items = [_encode(item, (*path, index), secrets) for index, item in enumerate(value)]
            return struct_pb2.Value(list_value=struct_pb2.ListValue(values=items))
        case Mapping():
            fields = {str(key): _encode(item, (*path, str(key)), secrets) for key, item in value.items()}
            return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))
    raise TypeError(f"{'.'.join(map(str, path))}: a {type(value).__name__} can't be a property value")


def _secret(value: struct_pb2.Value) -> struct_pb2.Value:
    fields = {SIGNATURE: struct_pb2.Value(string_value=SECRET), "value": value}
    return struct_pb2.Value(struct_value=struct_pb2.Struct(fields=fields))


def contains_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(contains_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(contains_unknown(item) for item in value)
    return value is UNKNOWN


def path_text(path: Path) -> str:
    """A path as Pulumi writes it: `Tags[0].Key`, `labels["meshctl.dev/pool"]`."""
    text = ""
    for key in path:
        if isinstance(key, int):
            text += f"[{key}]"
        elif key and all(char.isalnum() or char in "_-$" for char in key):
            text += f".{key}" if text else key
        else:
            text += f'["{key}"]'
    return text
