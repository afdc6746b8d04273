"""No key of mesh.yaml or environments.yaml does nothing: each is set to another valid value, which must be seen.

Seen means: other Kubernetes objects or other resources of the stack, other gaps or other prices, on at least one
platform. What a key acts on instead is in `elsewhere`. How to add a field: docs/contributing/workload-field.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.errors import DiagnosticsError
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from tests.unit.fields import effects, values, walk
from tests.unit.fields.elsewhere import ELSEWHERE, Read

HERE = Path(__file__).parent
FILES = {name: yaml.safe_load((HERE / f"{name}.yaml").read_text()) for name in ("mesh", "environments")}
FIELDS = [("mesh", field) for field in walk.fields(Mesh)]
FIELDS += [("environments", field) for field in walk.fields(Environments)]
SET = [(file, field) for file, field in FIELDS if len(values.choices(field.annotation)) != 1]
FIXED = [(file, field) for file, field in FIELDS if len(values.choices(field.annotation)) == 1]


@pytest.mark.parametrize(("file", "field"), SET, ids=str)
def test_a_change_of_the_field_is_seen(file: str, field: walk.Field, tmp_path: Path) -> None:
    refused: list[str] = []
    tried = False
    for value, files in changes(file, field):
        read = read_files(files, tmp_path, refused)
        if read is None and value is values.REMOVED:
            return
        if read is not None and is_seen(field, read):
            return
        tried = tried or read is not None
    pytest.fail(_does_nothing(file, field) if tried else _never_set(file, field, refused))


@pytest.mark.parametrize(("file", "field"), FIXED, ids=str)
def test_a_field_with_one_value_has_no_other(file: str, field: walk.Field, tmp_path: Path) -> None:
    refused: list[str] = []
    (place, *_) = walk.places(field, FILES[file])
    changed = {**FILES, file: walk.with_value(FILES[file], place, "another")}
    assert read_files(changed, tmp_path, refused) is None
    assert any(str(place[-1]) in message for message in refused)


def test_the_tables_name_fields_that_there_are() -> None:
    names = {str(field) for _, field in FIELDS} | {values.without_models(field) for _, field in FIELDS}
    assert {*values.OTHER_VALUES, *values.COMPANIONS, *ELSEWHERE} - names == set()


def _does_nothing(file: str, field: walk.Field) -> str:
    return (
        f"the key {field} of {file}.yaml does nothing: with another value all objects, resources, gaps and prices are"
        f" the same on every platform. Make `{field.path[-1]}` reach one of them (docs/contributing/workload-field.md);"
        " if it acts on something else, add a function that reads it to tests/unit/fields/elsewhere.py"
    )


def _never_set(file: str, field: walk.Field, refused: list[str]) -> str:
    why = "; ".join(refused) or "no entry of the sample has a place for it"
    return (
        f"the key {field} of {file}.yaml was never set to another value: {why}. Add an entry with its section to"
        f" tests/unit/fields/{file}.yaml, or a value that is valid there to OTHER_VALUES in tests/unit/fields/values.py"
    )


def changes(file: str, field: walk.Field) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Each other value of the field, with both files that have it, once for each place of the field."""
    for place in walk.places(field, FILES[file]):
        for value in _others(field, walk.value_at(FILES[file], place)):
            if value is values.REMOVED:
                yield value, {**FILES, file: walk.without(FILES[file], place)}
                continue
            document = walk.with_value(FILES[file], place, value)
            for key, beside in values.COMPANIONS.get(str(field), {}).items():
                document = walk.with_value(document, (*place[:-1], key), beside)
            yield value, {**FILES, file: document}


def _others(field: walk.Field, current: Any) -> list[Any]:
    try:
        return values.others(field, current)
    except LookupError as error:
        message = str(error)
    pytest.fail(message)


def read_files(files: dict[str, Any], folder: Path, refused: list[str]) -> Read | None:
    """None for files that are refused, whose reasons go to `refused`."""
    try:
        return Read(*effects.loaded(files["mesh"], files["environments"], folder), folder)
    except DiagnosticsError as error:
        refused += [str(problem) for problem in error.diagnostics]
        return None


def is_seen(field: walk.Field, read: Read) -> bool:
    acts_on = ELSEWHERE.get(str(field))
    unchanged = read_files(FILES, read.folder, [])
    assert unchanged is not None
    if acts_on is not None:
        return acts_on(unchanged) != acts_on(read)
    return any(_is_seen_in(environment, unchanged, read) for environment in FILES["environments"]["environments"])


def _is_seen_in(environment: str, unchanged: Read, read: Read) -> bool:
    """The cheap comparisons first: declaring the resources takes a tenth of a second."""
    before = effects.resolved(unchanged.mesh, unchanged.environments, environment)
    after = effects.resolved(read.mesh, read.environments, environment)
    if effects.decided(before) != effects.decided(after):
        return True
    if before.deployment == after.deployment:  # nothing behind it knows more
        return False
    if effects.rendered(before.deployment) != effects.rendered(after.deployment):
        return True
    return _declared_unchanged(environment) != effects.declared(after.deployment)


@cache
def _declared_unchanged(environment: str) -> object:
    mesh, environments = (Mesh.model_validate(FILES["mesh"]), Environments.model_validate(FILES["environments"]))
    return effects.declared(effects.resolved(mesh, environments, environment).deployment)
