"""What is known of the model of a workload: from `--model`, or from the arguments of its server. PURE.

The mesh has no field for it: a server's arguments name the model already, and a second place could say another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshctl.catalog import models
from meshctl.catalog.models import Model
from meshctl.errors import UsageError
from meshctl.model.deployment import Workload
from meshctl.model.files.file_problems import suggestion

# a name that clients use comes before a folder in the pod
_OPTIONS: Final = ("--served-model-name", "--model", "--model-path", "--model-id", "--hf-repo")
_VARIABLES: Final = ("MODEL", "MODEL_NAME", "MODEL_ID", "NIM_MODEL_NAME", "HF_MODEL_ID")
_PRECISIONS: Final = {2.0: "bf16", 1.0: "fp8", 0.5: "fp4"}
_SPELLED: Final = (
    (re.compile(r"nvfp4|fp4|int4|awq|gptq|w4a16"), 0.5),
    (re.compile(r"fp8|int8|w8a8"), 1.0),
)
_NUMBERS: Final = ("params", "active", "bytes", "kvBytes", "kvValues", "layers", "kvHeads", "headDim", "tokensPerStep")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """`said_by`: where the model's name or numbers are from, in words. `step_tokens`: of one training step, 0 = not
    said."""

    model: Model
    precision: str
    weight_bytes: float
    kv_bytes: float
    step_tokens: float
    said_by: str


@dataclass(frozen=True, slots=True)
class Given:
    """One `--model`: a name, numbers, or both; the numbers win."""

    name: str
    numbers: dict[str, float]


def parse(text: str) -> tuple[str, Given]:
    """`chat=llama-3.3-70b,bytes=1` -> the workload, and what is said of its model. Raises: UsageError."""
    workload, _, rest = text.partition("=")
    if not workload or not rest:
        raise UsageError(
            f'"{text}" names no model', hint="write --model WORKLOAD=NAME, or --model WORKLOAD=params=70e9,bytes=1"
        )
    name, numbers = "", {}
    for part in rest.split(","):
        key, separator, value = part.partition("=")
        if separator:
            numbers[_key(key)] = _positive(key, value)
        else:
            name = part
    return workload, Given(name, numbers)


def _key(key: str) -> str:
    if key not in _NUMBERS:
        raise UsageError(f'--model has no "{key}"{suggestion(key, _NUMBERS)}', hint=f"a name, or {', '.join(_NUMBERS)}")
    return key


def _positive(key: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e18:
        raise UsageError(f"{key}={value} is no number above 0", hint="numbers are written like 70e9, 0.5 or 8")
    return number


def of_workload(workload: Workload, given: Given | None) -> ModelFacts | str:
    """What is known; or why nothing is, in words. Raises: UsageError for a name or numbers that don't describe one."""
    name, said_by = _name(workload, given)
    model = models.by_name(name) if name else None
    if given is not None:
        model = _with_numbers(model, name, given)
        said_by = "--model"
    if model is None:
        return _unknown(workload, name)
    weight_bytes = _weight_bytes(workload, name, model, given)
    return ModelFacts(
        model=model,
        precision=_PRECISIONS.get(weight_bytes, "fp4" if weight_bytes < 1 else "fp8" if weight_bytes < 2 else "bf16"),
        weight_bytes=weight_bytes,
        kv_bytes=_kv_bytes(workload, given),
        step_tokens=given.numbers.get("tokensPerStep", 0) if given else 0,
        said_by=said_by,
    )


def _name(workload: Workload, given: Given | None) -> tuple[str, str]:
    """The name of the model, and where it stands: of several the first one that is known."""
    if given is not None and given.name:
        return given.name, "--model"
    candidates = list(names(workload))
    recognized = (each for each in candidates if models.by_name(each[0]) is not None)
    return next(recognized, candidates[0] if candidates else ("", ""))


def names(workload: Workload) -> Iterator[tuple[str, str]]:
    """Those that its server has for the model, each with where it stands."""
    words = [*workload.command, *workload.args]
    for option in _OPTIONS:
        value = _option(words, option)
        if value:
            yield value, f"its {option}"
    for variable in _VARIABLES:
        if workload.env.get(variable):
            yield workload.env[variable], f"its {variable}"
    yield from ((word, "its arguments") for word in words if "/" in word and models.by_name(word) is not None)


def _option(words: list[str], option: str) -> str:
    """`--model NAME` or `--model=NAME`; "" without it."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""


def _with_numbers(model: Model | None, name: str, given: Given) -> Model | None:
    """Raises: UsageError where the numbers leave out what a prediction needs."""
    numbers = given.numbers
    if given.name and model is None and "params" not in numbers:
        raise UsageError(
            f'nothing is known of a model "{given.name}"{suggestion(given.name, models.names())}',
            hint="give its numbers: params=70e9,layers=80,kvHeads=8,headDim=128",
        )
    params = numbers.get("params", model.params if model else 0)
    if not params:
        return None
    heads = 2 * numbers.get("layers", 0) * numbers.get("kvHeads", 0) * numbers.get("headDim", 0)
    source = "--model" if model is None or "params" in numbers else model.source
    return Model(
        name=name or "the model",
        params=params,
        active=numbers.get("active", model.active if model and "params" not in numbers else params),
        kv_values=numbers.get("kvValues", heads or (model.kv_values if model else 0)),
        weight_bytes=model.weight_bytes if model else 2,
        source=source,
    )


def _unknown(workload: Workload, name: str) -> str:
    reason = f'nothing is known of its model "{name}"' if name else "its arguments name no model"
    return f"{reason}; say --model {workload.name}=NAME or params=…"


def _weight_bytes(workload: Workload, name: str, model: Model, given: Given | None) -> float:
    """Said, or in the model's published form, or by words like FP8 in its name or in `--quantization`."""
    if given is not None and "bytes" in given.numbers:
        return given.numbers["bytes"]
    spelled = f"{name} {_option([*workload.command, *workload.args], '--quantization')}".lower()
    return next((size for pattern, size in _SPELLED if pattern.search(spelled)), model.weight_bytes)


def _kv_bytes(workload: Workload, given: Given | None) -> float:
    if given is not None and "kvBytes" in given.numbers:
        return given.numbers["kvBytes"]
    return 1 if "fp8" in _option([*workload.command, *workload.args], "--kv-cache-dtype") else 2
