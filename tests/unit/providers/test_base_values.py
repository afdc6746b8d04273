"""Values on the wire: unknowns, secrets in and out, numbers."""

from __future__ import annotations

from typing import Any

from google.protobuf import struct_pb2

from meshwire.marks import SIGNATURE, UNKNOWN_STRING
from providers.plugin.values import OUTPUT, SECRET, UNKNOWN, Secret, Secrets, decode, encode


def wire(value: dict[str, Any]) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(value)
    return struct


def secret(value: object) -> dict[str, object]:
    return {SIGNATURE: SECRET, "value": value}


def test_numbers_without_fraction_are_int() -> None:
    assert decode(wire({"a": 3, "b": 1.5, "c": [2], "d": True})) == {"a": 3, "b": 1.5, "c": [2], "d": True}
    assert type(decode(wire({"a": 3}))["a"]) is int


def test_unknowns_both_ways() -> None:
    assert decode(wire({"a": {"b": [UNKNOWN_STRING]}})) == {"a": {"b": [UNKNOWN]}}
    assert encode({"a": UNKNOWN})["a"] == UNKNOWN_STRING
    assert decode(wire({"a": {SIGNATURE: OUTPUT}})) == {"a": UNKNOWN}


def test_a_secret_input_is_a_secret_output_at_its_path() -> None:
    secrets = Secrets()
    inputs = decode(wire({"data": {"token": secret("s3cr3t"), "user": "ann"}}), secrets)
    assert inputs == {"data": {"token": "s3cr3t", "user": "ann"}}
    assert dict(encode(inputs, secrets)["data"]) == {"token": wire(secret("s3cr3t")), "user": "ann"}


def test_a_secret_text_is_secret_wherever_it_turns_up() -> None:
    secrets = Secrets()
    decode(wire({"args": ["--key", secret("s3cr3t")]}), secrets)
    out = encode({"command": {"line": "s3cr3t"}, "args": ["x"], "plain": "x"}, secrets)
    assert out["command"]["line"] == wire(secret("s3cr3t"))
    assert out["args"][SIGNATURE] == SECRET  # a list with a secret is secret as a whole
    assert out["plain"] == "x"


def test_a_secret_output_value_and_a_provider_s_own_secret() -> None:
    secrets = Secrets()
    assert decode(wire({"a": {SIGNATURE: OUTPUT, "value": "v", "secret": True}}), secrets) == {"a": "v"}
    assert encode({"a": "w"}, secrets)["a"][SIGNATURE] == SECRET
    assert encode({"k": Secret({"x": 1})})["k"] == wire(secret({"x": 1}))
