"""A changed shape needs one upgrade in one reader, wherever documents of that kind are persisted."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import meshctl
from meshctl.errors import NewerVersionError, UnreadableError
from meshctl.migrate.journal.history import MIGRATION_PLAN
from meshctl.migrate.planning.inputs import Options, StoreFacts
from meshctl.migrate.planning.plan import plan_migration
from meshctl.model import persisted
from meshctl.model.persisted import Format, Stamp
from meshctl.model.stack_state import DEPLOYMENT, STACK_TYPE, StackState
from tests.unit.migrate.fake_gateway import deployment

EAST, WEST = deployment("east"), deployment("west")
UNKNOWN = Stamp()


def written_before(document: dict[str, Any]) -> dict[str, Any]:
    """As a version wrote it whose workloads had a `picture` instead of an `image`."""
    older = copy.deepcopy(document)
    for workload in older["workloads"]:
        workload["picture"] = workload.pop("image")
    return older


def with_image(document: dict[str, Any]) -> dict[str, Any]:
    workloads = []
    for workload in document["workloads"]:
        others = {key: value for key, value in workload.items() if key != "picture"}
        workloads.append({**others, "image": workload["picture"]})
    return {**document, "workloads": workloads}


@pytest.fixture
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Schema version 1 has renamed a field of workloads."""
    monkeypatch.setitem(DEPLOYMENT.upgrades, 0, with_image)


@pytest.mark.usefixtures("renamed")
def test_a_deployment_of_another_shape_is_upgraded_in_a_state() -> None:
    older = written_before(EAST.model_dump(mode="json"))
    stack = {"urn": "s", "type": STACK_TYPE, "outputs": {"deployment": older, "endpoints": {"chat": "10.0.0.1"}}}
    state = StackState.read({"resources": [stack]}, "the state of east")
    assert state.deployment == EAST
    assert state.written() == {"resources": [stack]}  # nothing is rewritten by reading
    again = state.with_deployment(EAST.finished({"pretrain": "west"})).written()
    assert again["resources"][0]["outputs"]["meshctl"] == persisted.OWN.document()
    assert StackState.read(again, "the state of east").outputs.addresses == {"chat": "10.0.0.1"}
    assert StackState.read(again, "the state of east").deployment == EAST.finished({"pretrain": "west"})


@pytest.mark.usefixtures("renamed")
def test_outputs_that_are_written_again_have_the_current_schema_version() -> None:
    older = written_before(EAST.model_dump(mode="json"))
    stack = {"urn": "s", "type": STACK_TYPE, "outputs": {"deployment": older}}
    written = StackState.read({"resources": [stack]}, "the state of east").outputs.written()
    assert StackState.read({"resources": [{**stack, "outputs": written}]}, "the state").deployment == EAST


@pytest.mark.usefixtures("renamed")
def test_both_deployments_of_a_journal_are_upgraded() -> None:
    facts = tuple(StoreFacts(store=name, objects=1, total_bytes=1) for name in ("weights", "checkpoints"))
    plan = plan_migration(EAST, WEST, facts, Options())
    document = plan.model_dump(mode="json")
    older = {**document, "source": written_before(document["source"]), "target": written_before(document["target"])}
    assert MIGRATION_PLAN.read(older, UNKNOWN, "the plan") == plan
    assert MIGRATION_PLAN.read(document, persisted.OWN, "the plan") == plan


def test_upgrades_are_made_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(persisted, "SCHEMA", 3)
    steps: Format[dict[str, Any]] = Format(
        dict, {0: lambda old: {**old, "one": True}, 2: lambda old: {**old, "three": old["one"]}}
    )
    assert steps.read({}, Stamp(0), "it") == {"one": True, "three": True}
    assert steps.read({"one": False}, Stamp(1), "it") == {"one": False, "three": False}
    assert steps.read({}, Stamp(3), "it") == {}
    with pytest.raises(NewerVersionError):
        steps.read({}, Stamp(4), "it")


def test_an_upgrade_that_meets_something_else_names_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEPLOYMENT.upgrades, 0, with_image)
    with pytest.raises(UnreadableError, match="the state of east"):
        DEPLOYMENT.read({"mesh": "demo"}, UNKNOWN, "the state of east")


# For each persisted class the only module that may build it from a document: the one with its `Format`.
READERS = {
    "Deployment": "model/stack_state.py",
    "MigrationPlan": "migrate/journal/history.py",
    "SavedPlan": "deploy/plan_file.py",
    "Record": "migrate/journal/journal.py",
    "Owner": "migrate/journal/lock.py",
    "DnsRecord": "dns/records.py",
}
PRODUCT = Path(meshctl.__file__).parent


def built_from_documents() -> Iterator[tuple[str, str]]:
    """Class and module wherever the product validates a document, or unpacks one into the arguments of a class."""
    for path in PRODUCT.rglob("*.py"):
        module = path.relative_to(PRODUCT).as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr.startswith("model_validate"):
                yield ast.unparse(node.value), module
            elif isinstance(node, ast.Call) and any(keyword.arg is None for keyword in node.keywords):
                yield ast.unparse(node.func), module


def test_each_kind_of_document_has_one_reader() -> None:
    found = {(name, module) for name, module in built_from_documents() if name in READERS}
    assert {name for name, _ in found} >= {"Deployment", "MigrationPlan", "SavedPlan"}
    assert [(name, module) for name, module in sorted(found) if READERS[name] != module] == []


def test_one_module_reads_the_json_of_a_state() -> None:
    keys = ("pending_operations", "initErrors", "pendingReplacement", "retainOnDelete")
    read = re.compile(rf"(\.get\(|\[)['\"]({'|'.join(keys)}|resources)['\"](\)|\])(?!\[['\"](requests|limits))")
    modules = {
        path.relative_to(PRODUCT).as_posix()
        for path in PRODUCT.rglob("*.py")
        if "lab" not in path.parts and read.search(path.read_text())
    }
    assert modules == {"model/stack_state.py"}
