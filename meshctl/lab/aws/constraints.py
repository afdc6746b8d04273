"""What a service's own model says of the values that it takes: lengths, ranges, patterns, enums. PURE.

Called by `server` for each call but those of S3. Botocore sends what breaks them (it checks types, required members and
minima alone), and AWS refuses it: "1 validation error detected: Value 'x' at 'roleName' failed to satisfy constraint".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import parsed

# Error codes of services that moto answers, in part at least; those of the lab's own have `Service.invalid`.
_CODES: Final = {
    "ec2": "InvalidParameterValue",
    "iam": "ValidationError",
    "logs": "InvalidParameterException",
    "route53": "InvalidInput",
    "sts": "ValidationError",
}
_OTHER_CODE: Final = "ValidationException"
# Enums that AWS extends at any time: a model that lacks the newest is no reason to refuse it.
_OPEN_ENUMS: Final = frozenset({"InstanceType"})
_SHOWN: Final = 100  # characters of a value

# Java's classes of characters, which `re` does not have: letters, digits and spaces of all alphabets.
_CLASSES: Final = {r"\p{L}": r"\w", r"\p{N}": r"\w", r"\p{Z}": r" \u00a0\u2000-\u200a\u2028\u2029\u202f\u3000"}

# All characters beyond 16 bits, as pairs of halves, which Python has not: in the model of Auto Scaling.
_SURROGATES: Final = r"\uD800\uDC00-\uDBFF\uDFFF"


def check(call: Call, code: str = "") -> None:
    """`code`: of the refusal, where the service is the lab's own. Raises: ApiError."""
    operation = call.routed[0]
    if operation is None or operation.input_shape is None:
        return
    broken = tuple(problems(operation.input_shape, parsed(call)))
    if broken:
        noun = "error" if len(broken) == 1 else "errors"
        message = f"{len(broken)} validation {noun} detected: {'; '.join(broken)}"
        raise ApiError(code or _CODES.get(call.service, _OTHER_CODE), message, rule=rules.MODEL)


def problems(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """One sentence for each constraint that a value breaks, as AWS words it. `shape`: botocore's of an input, or of a
    member of one; `value`: what is sent, of the right type (see `botocore.validate`)."""
    if shape is None or value is None:
        return
    shown = f"'{value}'"[:_SHOWN]
    yield from (f"Value {shown} at '{path}' failed to satisfy constraint: {text}" for text in _of_value(shape, value))
    for member, inner, inner_path in _inside(shape, value, path):
        yield from problems(member, inner, inner_path)


def _inside(shape: Any, value: Any, path: str) -> Iterator[tuple[Any, Any, str]]:
    match shape.type_name:
        case "structure" if isinstance(value, Mapping):
            start = f"{path}." if path else ""
            yield from ((shape.members[name], value[name], f"{start}{name}") for name in shape.members if name in value)
        case "list" if isinstance(value, list | tuple):
            yield from ((shape.member, each, f"{path}.{number}.member") for number, each in enumerate(value, start=1))
        case "map" if isinstance(value, Mapping):
            for key, each in value.items():
                yield shape.key, key, f"{path}.key"
                yield shape.value, each, f"{path}.{key}.value"
        case _:
            return


def _of_value(shape: Any, value: Any) -> Iterator[str]:
    metadata = shape.metadata
    least, most = metadata.get("min"), metadata.get("max")
    size, noun = _size(shape, value)
    if size is not None and least is not None and size < least:
        yield f"Member must have {noun} greater than or equal to {least}"
    if size is not None and most is not None and size > most:
        yield f"Member must have {noun} less than or equal to {most}"
    if not isinstance(value, str):
        return
    if "enum" in metadata and value not in metadata["enum"] and shape.name not in _OPEN_ENUMS:
        yield f"Member must satisfy enum value set: [{', '.join(metadata['enum'])}]"
    pattern = shape._shape_model.get("pattern", "")
    if pattern and not _compiled(pattern).fullmatch(value):
        yield f"Member must satisfy regular expression pattern: {pattern}"


def _size(shape: Any, value: Any) -> tuple[float | None, str]:
    if shape.type_name in ("integer", "long", "float", "double") and isinstance(value, int | float):
        return value, "value"
    if shape.type_name in ("string", "list", "map", "blob") and hasattr(value, "__len__"):
        return len(value), "length"
    return None, ""


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    pattern = pattern.replace("/^", "/")  # a slip in the model of EC2's placement groups: nothing would ever match
    pattern = pattern.replace(_SURROGATES, "\U00010000-\U0010ffff")
    for name, characters in _CLASSES.items():
        pattern = pattern.replace(name, characters)
    return re.compile(pattern)
