"""Quantities as people write them (`80GB`, `400Gbps`, `21.50 USD/h`), read into plain numbers. PURE.

Used by `meshctl.model.mesh` and `meshctl.model.environment` as pydantic field types; each carries its JSON Schema.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

GIB = 2**30
_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_QUANTITY = re.compile(rf"^\s*({_NUMBER})\s*([A-Za-z/]*)\s*$")

_BYTES = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "PiB": 2**50,
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50,
}  # fmt: skip
_GBPS = {"Mbps": 1e-3, "Gbps": 1.0, "Tbps": 1e3, "Mbit/s": 1e-3, "Gbit/s": 1.0, "Tbit/s": 1e3}
_MBPS = {"MB/s": 1.0, "GB/s": 1e3, "TB/s": 1e6, "MiB/s": 1.048576, "GiB/s": 1073.741824}
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_USD = {"USD": 1.0}
_USD_PER_HOUR = {"USD/h": 1.0}
# far beyond anything real; what is computed from them is finite, and fits where Kubernetes and the APIs count
_MOST_BYTES = "1024PiB"
_MOST_USD = 10**9
_MOST_CORES = 10**6


def parse(text: object, factors: dict[str, float] | dict[str, int], examples: str) -> float:
    """Read `text` with the unit table `factors` (unit -> factor to the base unit); more digits than a float has: inf.

    Raises: ValueError, which names the units that may be used, with `examples`.
    """
    if not isinstance(text, str):
        shown = (
            f"{text!r} has no unit"
            if isinstance(text, int | float) and not isinstance(text, bool)
            else "not a quantity"
        )
        raise ValueError(f"{shown}; write it like {examples}")
    match = _QUANTITY.match(text)
    if match is None:
        raise ValueError(f"can't read the quantity {_quoted(text)}; write it like {examples}")
    amount, unit = match.groups()
    factor = factors.get(unit)
    if factor is None:
        what = f'unknown unit "{unit}" in {_quoted(text)}' if unit else f"{_quoted(text)} has no unit"
        raise ValueError(f"{what}; write it like {examples}")
    return float(amount) * factor


def gib(text: object) -> float:
    """`80GB` -> 74.5 GiB, `1TiB` -> 1024.0."""
    return _within(text, _BYTES, "80GB or 1TiB", _MOST_BYTES) / GIB


def gigabytes(text: object) -> float:
    """`10TB` -> 10000.0 (decimal GB, as disks are sold)."""
    return _within(text, _BYTES, "10TB or 500GiB", _MOST_BYTES) / 1e9


def gbps(text: object) -> float:
    """`400Gbps` -> 400.0 Gbit/s."""
    return _within(text, _GBPS, "400Gbps", "1000Tbps")


def mbps(text: object) -> float:
    """`1.2GB/s` -> 1200.0 MB/s."""
    return _within(text, _MBPS, "1.2GB/s or 500MB/s", "1000TB/s")


def seconds(text: object) -> int:
    """`120s` -> 120, `0.5m` -> 30. A whole number of seconds."""
    value = round(_within(text, _SECONDS, "120s or 5m", "8760h"), 6)  # 1.1 h are 3960.0000000000005 s
    if not value.is_integer():
        raise ValueError(f"{_quoted(text)} is not in whole seconds")
    return int(value)


def usd(text: object) -> float:
    """`1500 USD` -> 1500.0."""
    return _within(text, _USD, "1500 USD", f"{_MOST_USD} USD")


def usd_per_hour(text: object) -> float:
    """`21.50 USD/h` -> 21.5. A price is never zero: leave it out when it isn't known."""
    return _within(text, _USD_PER_HOUR, "21.50 USD/h", f"{_MOST_USD} USD/h")


def cores(value: object) -> float:
    """Kubernetes CPU: a number of cores, or millicores as `500m`."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+m", value):
        return _bounded(float(value[:-1]) / 1000, value, _MOST_CORES, str(_MOST_CORES))
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f'can\'t read "{value}" as CPU cores; write it like 64 or 500m')
    if 0 < value < 0.001:
        raise ValueError(f'"{value}" is less than a thousandth of a core, the least that Kubernetes counts')
    return _bounded(float(value), value, _MOST_CORES, str(_MOST_CORES))


def _within(text: object, factors: dict[str, float] | dict[str, int], examples: str, most: str) -> float:
    """As `parse`, more than zero and no more than the quantity `most`."""
    return _bounded(parse(text, factors, examples), text, parse(most, factors, examples), most)


def _bounded(value: float, text: object, most: float, most_shown: str) -> float:
    if value <= 0:
        raise ValueError(f"{_quoted(text)} must be more than zero")
    if value > most:
        raise ValueError(f"{_quoted(text)} is more than it can be: at most {most_shown}")
    return value


def _quoted(text: object) -> str:
    return f'"{text}"' if len(str(text)) <= 40 else f'"{str(text)[:40]}…"'


def gib_of_gb(gigabytes_: float) -> float:
    return gigabytes_ * 1e9 / GIB


def format_gib(value: float) -> str:
    """GiB for people: `1.5 TiB`, `74.5 GiB`."""
    return f"{value / 1024:g} TiB" if value >= 1024 and value % 128 == 0 else f"{round(value, 1):g} GiB"


def format_in_gib(value: float) -> str:
    """GiB for people who compare sizes: all numbers of a sentence have one unit, and it is Kubernetes's own."""
    return f"{round(value, 1):g} GiB" if value < 10**5 else f"{value:,.0f} GiB"


def size_text(size: float) -> str:
    """Bytes for people: `512 B`, `1.5 TiB`."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if size < 1024 or unit == "TiB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError(size)


def seconds_text(seconds_: int) -> str:
    """Seconds as a mesh has them: `90s`, `30m`, `2h`."""
    unit, length_s = next(
        (unit, length_s) for unit, length_s in (("h", 3600), ("m", 60), ("s", 1)) if not seconds_ % length_s
    )
    return f"{seconds_ // length_s}{unit}"


def _schema(read: Callable[[object], Any], pattern: str, example: str) -> tuple[BeforeValidator, WithJsonSchema]:
    return BeforeValidator(read), WithJsonSchema({"type": "string", "pattern": pattern, "examples": [example]})


def duration(read: Callable[[object], int], example: str) -> tuple[BeforeValidator, WithJsonSchema]:
    """What makes an int a key that takes `120s`: `Annotated[int, *units.duration(units.seconds, "120s")]`."""
    return _schema(read, _SECONDS_PATTERN, example)


def seconds_up_to(most_s: int) -> Callable[[object], int]:
    """Reads as `seconds` does, and refuses more than `most_s`."""

    def read(text: object) -> int:
        number = seconds(text)
        if number > most_s:
            raise ValueError(f"must be at most {seconds_text(most_s)}, got {seconds_text(number)}")
        return number

    return read


def _pattern(factors: dict[str, float] | dict[str, int]) -> str:
    return rf"^\s*{_NUMBER}\s*({'|'.join(factors)})\s*$"


_SECONDS_PATTERN = _pattern(_SECONDS)

Gib = Annotated[float, *_schema(gib, _pattern(_BYTES), "80GB")]
Gigabytes = Annotated[float, *_schema(gigabytes, _pattern(_BYTES), "10TB")]
Gbps = Annotated[float, *_schema(gbps, _pattern(_GBPS), "400Gbps")]
Mbps = Annotated[float, *_schema(mbps, _pattern(_MBPS), "1.2GB/s")]
Seconds = Annotated[int, *duration(seconds, "120s")]
Usd = Annotated[float, *_schema(usd, _pattern(_USD), "1500 USD")]
UsdPerHour = Annotated[float, *_schema(usd_per_hour, _pattern(_USD_PER_HOUR), "21.50 USD/h")]
Cores = Annotated[
    float,
    BeforeValidator(cores),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": r"^[0-9]+m$"}]}),
]
