"""Facts of common models: `models.yaml` as values. Called by `meshctl.advise` and `cli.advise`.

The EDGE is the reading of the package's file; the values are plain and frozen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from meshctl.catalog import data_files

_SIZE: Final = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")  # the billions of `qwen3-8b`; not of `8x7b`


@dataclass(frozen=True, slots=True)
class Model:
    """`active`: parameters that one token uses, all of them unless it is a mixture of experts. `kv_values`: numbers
    that one token keeps in the key-value cache. `weight_bytes`: per parameter, 2 where they are not quantized."""

    name: str
    params: float
    active: float
    kv_values: float
    weight_bytes: float
    source: str

    @property
    def is_mixture(self) -> bool:
        return self.active < self.params


@cache
def _rows() -> tuple[tuple[tuple[str, ...], Model], ...]:
    document = data_files.read_own("models.yaml")
    source = f"{document['source']}, {document['date']}"
    return tuple(
        (
            tuple(row["names"]),
            Model(
                name=row["names"][0],
                params=row["params"],
                active=row.get("active", row["params"]),
                kv_values=row["kv_values"],
                weight_bytes=row.get("weight_bytes", 2),
                source=source,
            ),
        )
        for row in document["models"]
    )


def names() -> tuple[str, ...]:
    """The first name of each."""
    return tuple(model.name for _, model in _rows())


def by_name(name: str) -> Model | None:
    """Of `meta-llama/Llama-3.3-70B-Instruct-FP8` and the like; None where nothing is known of it. The longest match.

    `DeepSeek-R1-Distill-Llama-8B` is no DeepSeek R1: a model that learned from another one is of its own size.
    """
    spelled = name.lower().replace("_", "-").replace(" ", "-")
    matches = [(each, model) for spellings, model in _rows() for each in spellings if each in spelled]
    if not matches or "distill" in spelled:
        return None
    spelling, model = max(matches, key=lambda match: len(match[0]))
    own_sizes = {*_SIZE.findall(spelling), f"{model.params / 1e9:g}"}
    return model if set(_SIZE.findall(spelled)) <= own_sizes else None
