"""What a blueprint is made into: sections of a mesh, with where in the user's file each value comes from. PURE.

The kinds (`serve`, `train`, `notebook`) write templates: mappings and lists with a `Given` wherever a value is the
user's. `expansion` takes them apart into plain values and their origins, by which a diagnostic about a workload names
the line of the blueprint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.model.files.file_problems import Path, Problem, mapping

Template = Any  # mappings and lists with `Given` in them; an entry that is None is left out
Made = dict[str, dict[str, Template]]  # section of the mesh -> name -> template


@dataclass(frozen=True)
class Given:
    """A value that comes from `path` inside of the blueprint, or a template because of what stands there.
    `is_verbatim`: it stands there as it is, so that a path inside of it is one of the user's file as well."""

    path: Path
    value: Template
    is_verbatim: bool = False


@dataclass(frozen=True)
class Source:
    """One blueprint as its user wrote it. `mesh`: the whole file, for the names in it."""

    name: str
    keys: Mapping[str, Any]
    mesh: Mapping[str, Any]

    def has(self, key: str) -> bool:
        return self.keys.get(key) is not None

    def given(self, key: str, value: object = None) -> Given | None:
        """The value of a key, or what was made of it; None where the user has not set it."""
        if not self.has(key):
            return None
        return Given((key,), self.keys[key]) if value is None else Given((key,), value)

    def verbatim(self, key: str) -> Given | None:
        return Given((key,), self.keys[key], is_verbatim=True) if self.has(key) else None

    @property
    def pool(self) -> dict[str, Any]:
        return mapping(mapping(self.mesh.get("pools")).get(str(self.keys.get("pool"))))


@dataclass(frozen=True)
class Pieces:
    """What one blueprint becomes. `problems`: paths inside of the blueprint; with one, nothing is made of it."""

    made: Made
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Stored:
    """A storage that a blueprint uses. `name` "": none. `made`: the section `storage`, where the blueprint makes it."""

    name: str
    made: dict[str, Template]
    problems: tuple[Problem, ...] = ()


def storage(source: Source, key: str, kinds: tuple[str, ...]) -> Stored:
    """What the key names: a storage of the mesh, of one of `kinds`, or the size of one of the first kind that is to be
    made. A size begins with a digit, and a name never does."""
    value = source.keys.get(key)
    if not isinstance(value, str):
        return Stored("", {})
    if value.strip()[:1].isdigit():
        name = f"{source.name}-{key}"
        return Stored(name, {name: {"kind": kinds[0], "size": Given((key,), value)}})
    kind = mapping(mapping(source.mesh.get("storage")).get(value)).get("kind")
    if isinstance(kind, str) and kind not in kinds:
        message = f'"{value}" is {kind} storage; this takes {" or ".join(kinds)} storage, or a size like 500GiB'
        return Stored(value, {}, (((key,), message),))
    return Stored(value, {})


def used_twice(first: Stored, second: Stored, key: str) -> tuple[Problem, ...]:
    """A workload mounts a storage at one path."""
    if not second.name or first.name != second.name:
        return ()
    message = f'storage "{second.name}" is mounted for another key already; name another one, or leave this out'
    return (((key,), message),)


def kind_of(source: Source, stored: Stored) -> str:
    """The kind of a storage, whether the mesh has it or the blueprint makes it; "" of none."""
    if stored.made:
        return str(stored.made[stored.name]["kind"])
    return str(mapping(mapping(source.mesh.get("storage")).get(stored.name)).get("kind", ""))


def accelerators(source: Source) -> dict[str, Template] | None:
    """The `resources` of each pod: what the user says, else all accelerators of a node where the pool has some."""
    number = source.given("accelerators")
    if number is None and source.pool.get("accelerator") is None:
        return None
    return {"accelerators": "all" if number is None else number}


def has_accelerators(source: Source) -> bool:
    resources = accelerators(source)
    number = resources["accelerators"] if resources else 0
    return bool(number.value if isinstance(number, Given) else number)


def endpoint(source: Source, port: str) -> dict[str, Template]:
    """The section `endpoints`: one of the blueprint's name, where it has any. The user writes its host alone, or keys
    of an endpoint."""
    wanted = source.keys.get("endpoint")
    if wanted is None:
        return {}
    keys: dict[str, Template] = {"host": source.given("endpoint")}
    if isinstance(wanted, dict):
        keys = {key: Given(("endpoint", key), value, is_verbatim=True) for key, value in wanted.items()}
    return {source.name: {**keys, "workload": source.name, "port": port}}


def plain(template: Template, at: Path, record: Callable[[Path, Given], None]) -> Any:
    """The values of a template. `record` hears of each `Given` and of its place in the mesh."""
    if isinstance(template, Given):
        record(at, template)
        return template.value if template.is_verbatim else plain(template.value, at, record)
    if isinstance(template, dict):
        return {key: plain(value, (*at, key), record) for key, value in _set(template)}
    if isinstance(template, list):
        return [plain(value, (*at, index), record) for index, value in enumerate(template)]
    return template


def _set(template: dict[str, Template]) -> Iterator[tuple[str, Template]]:
    return ((key, value) for key, value in template.items() if value is not None)
