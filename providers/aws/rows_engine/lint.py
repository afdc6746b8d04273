"""Every row against botocore's own service models: a wrong operation, member, path, state or code is found at test
time. PURE.

Called by the unit tests. What can't be checked here: EC2 declares no error shapes, so its codes are proven by the
contract tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import jmespath  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError
from botocore.model import OperationNotFoundError

from providers.aws.rows_engine.checks import create_members, input_names
from providers.aws.rows_engine.row import Call, Poll, Row
from providers.aws.rows_engine.shapes import PathError, described, shape_at

CONTEXT = {
    "id", "parts", "inputs", "old_inputs", "outputs", "answer", "owner", "region", "tags", "tag_list",
    "put_tags", "put_tag_list", "gone_tag_keys",
}  # fmt: skip
UNDECLARED = {"ec2"}  # services without error shapes
# Codes that services answer with although their models don't declare them (S3 has few error shapes, HEAD has no body).
EXTRA_CODES = {
    "404", "403", "NotFound", "Forbidden", "NoSuchTagSet", "NoSuchTagSetError", "AccessDeniedException",
    "ServerSideEncryptionConfigurationNotFoundError", "NoSuchPublicAccessBlockConfiguration",
    "OwnershipControlsNotFoundError", "BucketAlreadyOwnedByYou", "BucketAlreadyExists", "NoSuchBucket",
}  # fmt: skip


def lint(row: Row, model: Any) -> list[str]:
    """What is wrong with a row, one line each; empty if nothing is."""
    try:
        names = input_names(row, model)
        shape = described(model, row.read.operation, row.read.path)
    except (OperationNotFoundError, BotoCoreError, PathError) as error:
        return [f"{row.token}: {error}"]
    problems = [*_calls(row, model, names), *_polls(row, model, shape), *_paths(row, model, names, shape)]
    return [f"{row.token}: {problem}" for problem in problems]


def calls_of(row: Row) -> Iterator[Call]:
    yield from (row.create, row.read, row.delete)
    for setting in row.settings:
        yield from setting.puts
        yield from (call for call in (setting.clear, setting.get) if call is not None)
        if setting.wait is not None and setting.wait.call is not None:
            yield setting.wait.call
    for poll in (row.created, row.ready, row.gone):
        if poll is not None and poll.call is not None:
            yield poll.call
    if row.tags is not None:
        yield from (call for call in (row.tags.get, row.tags.put, row.tags.remove) if call is not None)
    yield from (step for step in row.before_delete if isinstance(step, Call))
    if row.adopt.find is not None:
        yield row.adopt.find


def _calls(row: Row, model: Any, names: frozenset[str]) -> Iterator[str]:
    for call in calls_of(row):
        try:
            operation = model.operation_model(call.operation)
        except OperationNotFoundError:
            yield f"{row.service} has no operation {call.operation}"
            continue
        yield from _params(row, call, operation, names)
        yield from _codes(row, call, operation)
        if call.path and operation.output_shape is not None:
            try:
                shape_at(operation.output_shape, call.path)
            except PathError as error:
                yield f"{call.operation}: path {call.path}: {error}"


def _params(row: Row, call: Call, operation: Any, names: frozenset[str]) -> Iterator[str]:
    shape = operation.input_shape
    members = shape.members if shape is not None else {}
    given = set(call.params)
    if call is row.create and row.tags is not None:
        given |= set(row.tags.create)
    for name in sorted(given - set(members)):
        yield f"{call.operation} has no member {name}"
    forwarded = names & set(members) if call.forward else set()
    required = set(shape.required_members) if shape is not None else set()
    for name in sorted(required - given - forwarded):
        yield f"{call.operation}: required member {name} isn't given"
    expressions = [param for param in call.params.values() if isinstance(param, str)]
    for expression in [
        *expressions,
        *re.findall(r"\$\{(.+?)\}", call.path),
        *([call.when] if isinstance(call.when, str) and call.when else []),
    ]:
        yield from _expression(row, call.operation, expression, names)


def _expression(row: Row, operation: str, expression: str, names: frozenset[str]) -> Iterator[str]:
    try:
        tree = jmespath.compile(expression).parsed
    except jmespath.exceptions.JMESPathError as error:
        yield f"{operation}: {expression}: {error}"
        return
    allowed = CONTEXT | set(row.derived)
    for root, member in _roots(tree):
        if root not in allowed:
            yield f"{operation}: {expression}: the context has no {root}"
        if root in ("inputs", "old_inputs") and member and member not in names:
            yield f"{operation}: {expression}: the row has no input {member}"


def _roots(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The first field of each path in an expression, and the one after it."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield node["value"], ""
    elif kind == "subexpression" and children[0]["type"] == "field":
        yield children[0]["value"], children[1].get("value", "") if children[1]["type"] == "field" else ""
    elif kind in ("projection", "filter_projection", "pipe", "index_expression", "subexpression", "flatten"):
        yield from _roots(children[0])
    elif kind != "literal":
        for child in children:
            if isinstance(child, dict):
                yield from _roots(child)


def _codes(row: Row, call: Call, operation: Any) -> Iterator[str]:
    if row.service in UNDECLARED:
        return
    declared = {shape.name for shape in operation.error_shapes} | EXTRA_CODES
    declared |= {shape.metadata.get("error", {}).get("code", "") for shape in operation.error_shapes}
    codes = [*call.tolerate, *call.transient]
    if call is row.read:
        codes += [code for code in row.not_found if not declared & set(row.not_found)]
    if call is row.create:
        codes += [code for code in row.adopt.exists if not declared & {item.split(":")[0] for item in row.adopt.exists}]
    for code in codes:
        name = code.split(":")[0].replace("*", "")
        if not any(error_code == name or ("*" in code and error_code.startswith(name)) for error_code in declared):
            if any(error_code.removesuffix("Exception") == name.removesuffix("Exception") for error_code in declared):
                continue
            if "*" not in code or call is not row.create:
                yield f"{call.operation} declares no error {code}"


def _polls(row: Row, model: Any, shape: Any) -> Iterator[str]:
    waits = [row.created, row.ready, row.gone, *(setting.wait for setting in row.settings)]
    for poll in [wait for wait in waits if wait is not None]:
        if poll.call is None:
            yield from _poll(poll, shape)
        else:
            output = model.operation_model(poll.call.operation).output_shape
            yield from _poll(poll, shape_at(output, poll.call.path))
    if row.ready is not None:
        yield from _states(row.ready.state, row.broken, shape)


def _poll(poll: Poll, shape: Any) -> Iterator[str]:
    counted = () if poll.count is None else (poll.count.needed, poll.count.overrules)
    for path in (poll.state, poll.code, poll.reason, poll.enough, *poll.has, *counted):
        try:
            shape_at(shape, path) if path else None
        except PathError as error:
            yield f"wait: {path}: {error}"
    try:
        yield from _states(poll.state, (*poll.ok, *poll.fail, *poll.lacking), shape)
    except PathError as error:
        yield f"wait: {error}"


def _states(path: str, states: tuple[str, ...], shape: Any) -> Iterator[str]:
    allowed = {value.lower() for value in getattr(shape_at(shape, path), "enum", None) or []}
    for state in states:
        if allowed and state.lower() not in allowed:
            yield f"wait: {path} is never {state}"


def _paths(row: Row, model: Any, names: frozenset[str], shape: Any) -> Iterator[str]:
    yield from _id(row, model, names)
    for name, path in row.observe.items():
        if name not in names:
            yield f"observe: the row has no input {name}"
        try:
            shape_at(shape, path)
        except PathError as error:
            yield f"observe: {path}: {error}"
    members = set(shape.members) if getattr(shape, "type_name", "") == "structure" else set(row.computed)
    for name in sorted({*row.noise, *row.volatile} - members):
        yield f"the description has no {name}"
    for name in sorted({*row.required, *row.opaque} - names):
        yield f"the row has no input {name}"
    yield from _moved_by_others(row, model)
    yield from _tags(row, shape, members)
    settable = {*create_members(row, model), *row.extra_inputs}
    for setting in row.settings:
        for name in setting.inputs:
            if not setting.on_create and name not in settable:
                yield f"{name} is set neither by the create call nor after it"


def _moved_by_others(row: Row, model: Any) -> Iterator[str]:
    shape = model.operation_model(row.create.operation).input_shape
    bounds = [f"{b.input}.{member}" for b in row.bounded for member in (b.number, b.low, b.high)]
    paths = [*(("bounded", path) for path in bounds), *(("one way", rule.path) for rule in row.one_way)]
    for rule, path in paths:
        try:
            shape_at(shape, path)
        except PathError as error:
            yield f"{rule}: {error}"


def _tags(row: Row, shape: Any, members: set[str]) -> Iterator[str]:
    tags = row.tags
    if tags is not None and tags.get is None and shape is not None and tags.path not in (*members, "Tags"):
        yield f"the description has no tags at {tags.path}"
    if row.adopt.by in ("tag", "name") and tags is None:
        yield f'adopt by "{row.adopt.by}" needs tags'


def _id(row: Row, model: Any, names: frozenset[str]) -> Iterator[str]:
    yield from _expression(row, "id", row.id, names)
    output = model.operation_model(row.create.operation).output_shape
    for path in re.findall(r"answer\.([\w.]+)", row.id):
        try:
            shape_at(output, path)
        except PathError as error:
            yield f"id: {row.id}: {error}"
