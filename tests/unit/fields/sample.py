"""The sample files of this folder, and each of them with another value of one field. Used by the tests here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.errors import DiagnosticsError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from tests.unit.fields import effects, values, walk

Files = dict[str, Any]  # "mesh" and "environments" -> the content of the file
HERE = Path(__file__).parent
FILES: Files = {name: yaml.safe_load((HERE / f"{name}.yaml").read_text()) for name in ("mesh", "environments")}


@dataclass(frozen=True)
class Read:
    """Both files as meshctl has read them; `folder` holds them."""

    mesh: Mesh
    environments: Environments
    folder: Path

    def deployment(self, environment: str) -> Deployment | None:
        return effects.resolved(self.mesh, self.environments, environment).deployment


def read(files: Files, folder: Path, refused: list[str]) -> Read | None:
    """None for files that are refused, whose reasons go to `refused`."""
    try:
        return Read(*effects.loaded(files["mesh"], files["environments"], folder), folder)
    except DiagnosticsError as error:
        refused += [str(problem) for problem in error.diagnostics]
        return None


@cache
def unchanged(folder: Path) -> Read:
    """Read once for each folder: what environments.yaml names beside itself is read from there."""
    return Read(*effects.loaded(FILES["mesh"], FILES["environments"], folder), folder)


def changes(file: str, field: walk.Field) -> Iterator[tuple[Any, Files]]:
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
