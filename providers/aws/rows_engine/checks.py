"""Inputs against botocore's service models, before any call: unknown names, missing and mistyped values. Called by
`crud`. PURE.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from typing import Any

from botocore.validate import ParamValidator, ValidationErrors

from providers.aws.rows_engine.calls import evaluate, render, search
from providers.aws.rows_engine.row import Call, Row
from providers.plugin.provider import CheckFailure
from providers.plugin.values import UNKNOWN, Properties

ALWAYS_HIDDEN = {
    "DryRun",
    "TagSpecifications",
    "Tags",
    "tags",
    "ClientToken",
    "clientRequestToken",
    "ClientRequestToken",
}


class TolerantValidator(ParamValidator):
    """Botocore's validator that takes an unknown value for a right one."""

    def _validate(self, params: Any, shape: Any, errors: Any, name: str) -> None:
        if params is not UNKNOWN:
            super()._validate(params, shape, errors, name)  # type: ignore[misc]

    def _validate_list(self, param: Any, shape: Any, errors: Any, name: str) -> None:
        # botocore looks at scalar members itself, without `_validate`
        known_items = [item for item in param if item is not UNKNOWN] if isinstance(param, list) else param
        super()._validate_list(known_items, shape, errors, name)  # type: ignore[misc]


def create_members(row: Row, model: Any) -> tuple[str, ...]:
    if not row.create.forward:
        return ()
    members = model.operation_model(row.create.operation).input_shape.members
    return tuple(name for name in members if name not in ALWAYS_HIDDEN and name not in row.hidden)


def input_names(row: Row, model: Any) -> frozenset[str]:
    """Every input that a row takes."""
    changeable = row.changeable if row.tags else row.changeable - {"Tags"}
    return frozenset({*create_members(row, model), *row.extra_inputs, *changeable})


def check_inputs(row: Row, model: Any, inputs: Properties) -> list[CheckFailure]:
    """All that is wrong with the inputs, in the order of the API's shape."""
    names = input_names(row, model)
    failures = [CheckFailure(key, _unknown(key, names)) for key in sorted(inputs) if key not in names]
    failures += [CheckFailure(key, "is required") for key in row.required if inputs.get(key) is None]
    if failures:
        return failures
    context = check_context(row, inputs)
    call_failures = _check_call(row.create, model, context)
    for setting in row.settings:
        # the others are inputs of the create call, whose shape may have more members than that of their update
        if setting.on_create and any(inputs.get(name) is not None for name in setting.inputs):
            for call in setting.puts[: 1 if setting.wait else None]:
                call_failures += _check_call(call, model, context)
    call_failures = [replace(failure, path=_as_input(failure.path, names)) for failure in call_failures]
    unique = {(failure.path, failure.reason): failure for failure in call_failures}
    return list(unique.values())


def _as_input(path: str, names: frozenset[str]) -> str:
    """The path from the input on: `ChangeBatch.Changes[0].ResourceRecordSet.TTL` is the input `TTL`."""
    steps = path.split(".")
    starts = [index for index, step in enumerate(steps) if step.split("[")[0] in names]
    return ".".join(steps[starts[0] :]) if starts else path


def check_context(row: Row, inputs: Properties) -> dict[str, Any]:
    """A context in which all that only a call would tell is unknown."""
    tags = inputs.get("Tags") or {}
    context: dict[str, Any] = {
        "id": UNKNOWN,
        "parts": [UNKNOWN, UNKNOWN, UNKNOWN],
        "inputs": inputs,
        "old_inputs": inputs,
        "outputs": UNKNOWN,
        "answer": UNKNOWN,
        "owner": "",
        "region": "",
        "tags": tags,
        "tag_list": [{"Key": key, "Value": value} for key, value in tags.items()]
        if isinstance(tags, dict)
        else UNKNOWN,
    }
    for name, param in row.derived.items():
        context[name] = evaluate(param, context)
    return context


def _check_call(call: Call, model: Any, context: dict[str, Any]) -> list[CheckFailure]:
    shape = model.operation_model(call.operation).input_shape
    if shape is None:
        return []
    params = render(call, shape, context)
    for name, param in call.params.items():
        if name not in params and isinstance(param, str) and _may_be_known_later(param):
            params[name] = UNKNOWN
    report = TolerantValidator().validate(params, shape)
    return [_failure(report, error) for error in report._errors]


def _may_be_known_later(param: str) -> bool:
    return bool(re.match(r"\[?(id|parts|outputs|answer)\b", param)) and search(param, {}) in (None, [None])


def _failure(report: ValidationErrors, error: tuple[str, str, dict[str, Any]]) -> CheckFailure:
    reason, name, details = error
    path = name.lstrip(".")
    if reason == "missing required field":
        required = details["required_name"]
        return CheckFailure(f"{path}.{required}" if path else required, "is required")
    if reason == "unknown field":
        unknown = details["unknown_param"]
        return CheckFailure(
            f"{path}.{unknown}" if path else unknown, _unknown(unknown, frozenset(details["valid_names"]))
        )
    return CheckFailure(path, report._format_error(error))  # type: ignore[attr-defined]


def _unknown(name: str, names: frozenset[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f'no such property; did you mean "{close[0]}"?' if close else "no such property"
