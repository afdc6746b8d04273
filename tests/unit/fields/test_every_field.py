"""No key of mesh.yaml or environments.yaml does nothing: each is set to another valid value, which must be seen.

Seen means: other Kubernetes objects or other resources of the stack, other gaps or other prices, on at least one
platform. What a key acts on instead is in `elsewhere`. How to add a field: docs/contributing/workload-field.md.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from meshctl import load
from meshctl.model.deployment import Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.platforms import registry
from tests.unit.fields import effects, sample, values, walk
from tests.unit.fields.elsewhere import ELSEWHERE
from tests.unit.fields.sample import FILES, Read

registry.platforms()  # loads the modules with the sections of environments.yaml: `walk` finds classes by their base
FIELDS = [("mesh", field) for field in walk.fields(Mesh)]
FIELDS += [("environments", field) for field in walk.fields(Environments)]
SET = [(file, field) for file, field in FIELDS if len(walk.choices(field.annotation)) != 1]
FIXED = [(file, field) for file, field in FIELDS if len(walk.choices(field.annotation)) == 1]


@pytest.mark.parametrize(("file", "field"), SET, ids=str)
def test_a_change_of_the_field_is_seen(file: str, field: walk.Field, folder: Path) -> None:
    refused: list[str] = []
    tried = False
    for value, files in sample.changes(file, field):
        changed = sample.read(files, folder, refused)
        if changed is None and value is values.REMOVED:
            return
        if changed is not None and is_seen(field, changed):
            return
        tried = tried or changed is not None
    pytest.fail(_does_nothing(file, field) if tried else _never_set(file, field, refused))


@pytest.mark.parametrize(("file", "field"), FIXED, ids=str)
def test_a_field_with_one_value_has_no_other(file: str, field: walk.Field, tmp_path: Path) -> None:
    refused: list[str] = []
    (place, *_) = walk.places(field, FILES[file])
    changed = {**FILES, file: walk.with_value(FILES[file], place, "another")}
    assert sample.read(changed, tmp_path, refused) is None
    assert any(str(place[-1]) in message for message in refused)


def test_the_tables_name_fields_that_there_are() -> None:
    names = {str(field) for _, field in FIELDS} | {values.without_sections(field) for _, field in FIELDS}
    assert {*values.OTHER_VALUES, *values.COMPANIONS, *ELSEWHERE} - names == set()


class MeshWithDeadField(Mesh):
    """As if somebody had added a key to the model, and to nothing else."""

    unused: bool = False


def test_a_field_that_is_only_in_the_model_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "Mesh", MeshWithDeadField)
    (dead,) = (field for field in walk.fields(MeshWithDeadField) if str(field) == "unused")
    with pytest.raises(pytest.fail.Exception, match=r"the key unused of mesh\.yaml does nothing"):
        test_a_change_of_the_field_is_seen("mesh", dead, tmp_path)


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


def is_seen(field: walk.Field, changed: Read) -> bool:
    unchanged = sample.unchanged(changed.folder)
    acts_on = ELSEWHERE.get(str(field))
    if acts_on is not None:
        return acts_on(unchanged) != acts_on(changed)
    return any(_is_seen_in(environment, changed) for environment in _concerned(unchanged, changed))


def _concerned(unchanged: Read, changed: Read) -> list[str]:
    """The environments that the change can reach: where it is in the section of one, that one alone."""
    before, after = unchanged.environments, changed.environments
    of_others: dict[str, object] = {"environments": {}}
    is_in_sections = before.model_copy(update=of_others) == after.model_copy(update=of_others)
    in_one = unchanged.mesh == changed.mesh and is_in_sections
    names = before.environments
    return [name for name in names if not in_one or names[name] != after.environments[name]]


def _is_seen_in(environment: str, changed: Read) -> bool:
    """The cheap comparisons first: declaring the resources takes a tenth of a second."""
    before, after = _unchanged(environment), effects.resolved(changed.mesh, changed.environments, environment)
    if effects.decided(before) != effects.decided(after):
        return True
    if before.deployment == after.deployment:  # whatever comes after it sees no more than it
        return False
    if effects.rendered(before.deployment) != effects.rendered(after.deployment):
        return True
    return _declared_unchanged(environment) != effects.declared(after.deployment)


@cache
def _unchanged(environment: str) -> Resolution:
    with TemporaryDirectory() as folder:
        read = sample.unchanged(Path(folder))
    return effects.resolved(read.mesh, read.environments, environment)


@cache
def _declared_unchanged(environment: str) -> object:
    return effects.declared(_unchanged(environment).deployment)
