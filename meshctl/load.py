"""Reads mesh.yaml and environments.yaml: the only reader of user files. EDGE.

Called by `meshctl.cli.context`; hands on `Mesh` and `Environments` for `meshctl.resolve`. A file is composed by libyaml
into nodes that keep line and column, resolved by the YAML 1.2 core schema (`on`, `no` and `12:30` are plain text), then
validated. Everything that is wrong comes out as one `DiagnosticsError`, in file order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from meshctl import environment_paths, text_files
from meshctl.blueprints.expansion import Expansion, expand
from meshctl.errors import Diagnostic, DiagnosticsError
from meshctl.model.environment import Environments, has_unusable_platform
from meshctl.model.files import environment_references, references, secret_places
from meshctl.model.files.messages import message_of, unusable_platform
from meshctl.model.mesh import Mesh
from meshctl.model.pods import pod_files, texts

_Model = TypeVar("_Model", bound=BaseModel)

_MAX_DEPTH: Final = 100
_MAX_NODES: Final = 2_000_000  # aliases expand: a few lines can otherwise become billions of values


class _Loader(yaml.CSafeLoader):
    """libyaml's composer with the implicit types of the YAML 1.2 core schema."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own class attribute)


_INT = re.compile(r"^[-+]?[0-9]{1,18}$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


@dataclass
class _Document:
    """One file: its data as plain values, the nodes that know their places, and what is wrong so far."""

    file: str
    data: object = None
    root: yaml.Node | None = None
    problems: list[Diagnostic] = field(default_factory=list)
    unread: set[tuple[str | int, ...]] = field(default_factory=set)  # paths of values that could not be read
    expansion: Expansion | None = None  # of a mesh; `data` is then the expanded mesh, and `root` the file

    def report_at(self, text_before: str, message: str) -> None:
        """About the character after `text_before`, which is all of the file up to it."""
        line, column = text_before.count("\n") + 1, len(text_before) - text_before.rfind("\n")
        self.problems.append(Diagnostic(self.file, line, column, "", message))

    def report(self, path: tuple[str | int, ...], message: str, *, at_key: bool = False) -> None:
        self.problems.append(self.diagnostic(path, message, at_key=at_key))

    def diagnostic(self, path: tuple[str | int, ...], message: str, *, at_key: bool = False) -> Diagnostic:
        """A problem at `path`, which is not reported yet."""
        place = self.origin(path)
        line, column = _position(self.root, place, at_key=at_key)
        return Diagnostic(self.file, line, column, _dotted(place), message)

    def origin(self, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
        """The place in the file that the value at `path` of the data comes from."""
        return self.expansion.origin(path) if self.expansion is not None else path


def load(mesh_path: Path, environments_path: Path) -> tuple[Mesh, Environments]:
    """Read and check both files. Diagnostics name the files as the paths given here do. An environment on a platform
    that can't be used here is no error yet (see `UnusableEnvironment`), nor is what `Mesh.mistakes` holds.

    Raises: DiagnosticsError with everything that is wrong in either file.
    """
    mesh_document, environments_document = _read_mesh(mesh_path), _read(environments_path)
    mesh = _validated(mesh_document, Mesh)
    environments = _validated(environments_document, Environments)
    if environments is not None:
        folder = environments_path.absolute().parent
        environments = environment_paths.absolute(environments, folder, environments_document.report)
    mistakes = _unusable_platforms(environments_document)
    _check_references(mesh_document, environments_document)
    file_texts, of_mesh = _beside(mesh_document, mesh_path.absolute().parent)
    problems = _unique([*mesh_document.problems, *environments_document.problems])
    if problems or mesh is None or environments is None:
        raise DiagnosticsError(_unique([*problems, *of_mesh, *mistakes.values()]))
    made = mesh_document.expansion.made if mesh_document.expansion is not None else {}
    return mesh.with_findings(of_mesh, file_texts, made), _with_mistakes(environments, mistakes)


def load_mesh(path: Path) -> Mesh:
    """Read and check mesh.yaml alone. Raises: DiagnosticsError."""
    return _checked_mesh(_read_mesh(path))


def load_expansion(path: Path) -> Expansion:
    """mesh.yaml as data, with its blueprints expanded; checked as `load_mesh` does. Raises: DiagnosticsError."""
    document = _read_mesh(path)
    _checked_mesh(document)
    return document.expansion or expand(document.data)


def _checked_mesh(document: _Document) -> Mesh:
    mesh = _validated(document, Mesh)
    for where, message in [*references.check_mesh(document.data), *texts.check_mesh(document.data)]:
        document.report(where, message)
    if document.problems or mesh is None:
        raise DiagnosticsError(_unique(document.problems))
    return mesh


def secret_variables(environments_path: Path) -> tuple[str, ...]:
    """The variables that `secrets` of environments.yaml names; also of a file with mistakes, none of one that isn't
    there."""
    data = _read(environments_path).data
    sources = data.get("secrets") if isinstance(data, dict) else None
    entries = sources.values() if isinstance(sources, dict) else ()
    return tuple(source["env"] for source in entries if isinstance(source, dict) and isinstance(source.get("env"), str))


def _check_references(mesh: _Document, environments: _Document) -> None:
    hosts = environment_references.check_hosts(mesh.data, environments.data)
    for where, message in [*references.check_mesh(mesh.data), *hosts, *texts.check_mesh(mesh.data)]:
        mesh.report(where, message)
    pools = mesh.data.get("pools") if isinstance(mesh.data, dict) else None
    pool_names = [name for name in pools if isinstance(name, str)] if isinstance(pools, dict) else None
    problems = [
        *environment_references.check_environments(environments.data, pool_names),
        *environment_references.check_overrides(mesh.data, environments.data),
        *environment_references.check_existing_storage(mesh.data, environments.data),
        *texts.check_environments(mesh.data, environments.data),
    ]
    for where, message in problems:
        environments.report(where, message)


def _beside(mesh: _Document, folder: Path) -> tuple[dict[str, str], tuple[Diagnostic, ...]]:
    """The texts of the files that workloads name, and what forbids to bring the mesh up (see `Mesh.mistakes`)."""
    file_texts, unusable = text_files.collect(folder, references.files(mesh.data), pod_files.MOST_BYTES)
    problems = [*references.check_jobs(mesh.data), *unusable]
    return file_texts, tuple(mesh.diagnostic(where, message) for where, message in problems)


def _unusable_platforms(document: _Document) -> dict[str, Diagnostic]:
    """By the name of the environment: what is wrong where its platform can't be used here."""
    sections = document.data.get("environments") if isinstance(document.data, dict) else None
    mistakes = {}
    for name, section in sections.items() if isinstance(sections, dict) else ():
        if has_unusable_platform(section):
            path = ("environments", name, "provider")
            line, column = _position(document.root, path, at_key=False)
            message = unusable_platform(section["provider"])
            mistakes[name] = Diagnostic(document.file, line, column, _dotted(path), message)
    return mistakes


def _with_mistakes(environments: Environments, mistakes: dict[str, Diagnostic]) -> Environments:
    entries = {
        name: entry.model_copy(update={"mistake": mistakes[name]}) if name in mistakes else entry
        for name, entry in environments.environments.items()
    }
    return environments.model_copy(update={"environments": entries})


def _unique(problems: list[Diagnostic]) -> list[Diagnostic]:
    return list(dict.fromkeys(problems))


def _read_mesh(path: Path) -> _Document:
    """mesh.yaml with its blueprints expanded."""
    document = _read(path)
    expansion = document.expansion = expand(document.data)
    document.data = expansion.referable
    for where, message in expansion.problems:
        document.report(where, message)
    return document


def _read(path: Path) -> _Document:
    document = _Document(str(path))
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        document.report((), "no such file; -C says in which folder to look")
        return document
    except OSError as error:
        document.report((), f"can't be read: {error.strerror}")
        return document
    try:
        _parse(document, content.decode())
    except UnicodeDecodeError as error:
        document.report_at(content[: error.start].decode(), "is not UTF-8 text")
    return document


def _parse(document: _Document, text: str) -> None:
    try:
        too_deep = _too_deep(text)
        if too_deep is not None:
            message = f"nested deeper than {_MAX_DEPTH} levels"
            document.problems.append(Diagnostic(document.file, *too_deep, "", message))
            return
        document.root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        is_second = isinstance(error, yaml.composer.ComposerError) and error.problem == "but found another document"
        message = (
            "a second document begins here; the file must be one" if is_second else f"not valid YAML: {error.problem}"
        )
        document.problems.append(Diagnostic(document.file, line, column, "", message))
        return
    except yaml.reader.ReaderError as error:
        _report_character(document, text, error)
        return
    except yaml.YAMLError as error:
        document.report((), f"not valid YAML: {' '.join(str(error).split())}")
        return
    if document.root is None:
        document.report((), "is empty")
        return
    document.data = _Values(document).value(document.root, ())
    if not isinstance(document.data, dict) and not document.problems:
        document.report((), f"must be a mapping, not {_kind(document.data)}")


def _report_character(document: _Document, text: str, error: yaml.reader.ReaderError) -> None:
    """libyaml gives the position of a forbidden character in bytes, and not always, so it is searched for here."""
    match = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if match is None:
        document.report((), f"not valid YAML: {error.reason}")
        return
    message = f"not valid YAML: the character U+{ord(match[0]):04X} is not allowed; in double quotes it can be escaped"
    document.report_at(text[: match.start()], message)


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


def _too_deep(text: str) -> tuple[int, int] | None:
    """Line and column where the nesting goes too deep.

    Looked for event by event: composing recurses, and would end the process.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH and event.start_mark is not None:
            return event.start_mark.line + 1, event.start_mark.column + 1
    return None


@dataclass
class _Values:
    """Turns nodes into plain values; reports duplicate keys, keys that are not text, foreign tags, endless aliases."""

    document: _Document
    count: int = 0
    open_nodes: set[int] = field(default_factory=set)

    def value(self, node: yaml.Node, path: tuple[str | int, ...]) -> object:
        self.count += 1
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        if id(node) in self.open_nodes or self.count > _MAX_NODES:
            if self.count <= _MAX_NODES or not self.document.problems:
                self._report(node, path, "an alias that contains itself, or expands without end")
                self.document.unread.add(path)
            return None
        self.open_nodes.add(id(node))
        made = self._mapping(node, path) if isinstance(node, yaml.MappingNode) else self._sequence(node, path)
        self.open_nodes.discard(id(node))
        return made

    def _sequence(self, node: yaml.Node, path: tuple[str | int, ...]) -> list[object]:
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, path: tuple[str | int, ...]) -> dict[str, object]:
        made: dict[str, object] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_node, path, "a key must be text")
                continue
            key = str(key_node.value)
            if key == "<<":
                self._report(key_node, (*path, key), "YAML 1.2 has no merge keys; write the keys out")
                self.document.unread.add(path)  # what it was to bring is not missing
                continue
            if key in made:
                shown_key = f' "{key}"' if secret_places.is_shown((*path, key)) else ""
                self._report(key_node, (*path, key), f"duplicate key{shown_key}")
                continue
            made[key] = self.value(value_node, (*path, key))
        return made

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> object:
        text = str(node.value)
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return text
            case "null":
                return None
            case "bool" if _BOOL.match(text):
                return text.lower() == "true"
            case "int" if _INT.match(text):
                return int(text)
            case "float" if _FLOAT.match(text):
                return float(text)
        tag = f'the tag "{node.tag}"' if secret_places.is_shown(path) else "a tag"
        self._report(node, path, f"{tag} is not used here")
        self.document.unread.add(path)
        return None

    def _report(self, node: yaml.Node, path: tuple[str | int, ...], message: str) -> None:
        mark = node.start_mark
        self.document.problems.append(
            Diagnostic(self.document.file, mark.line + 1, mark.column + 1, _dotted(path), message)
        )


def _dotted(path: tuple[str | int, ...]) -> str:
    """The path as diagnostics show it, without parts that may be a secret's value."""
    return ".".join(str(part) for part in secret_places.shown_path(path))


def _validated(document: _Document, model: type[_Model]) -> _Model | None:
    data = document.expansion.data if document.expansion is not None else document.data
    if not isinstance(data, dict):
        return None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        for detail in error.errors(include_url=False):
            path, message, at_key = message_of(detail, model)
            if document.origin(path) not in document.unread:
                document.report(_as_written(document.data, path), message, at_key=at_key)
        return None


def _as_written(data: object, path: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """`path` without what only validation knows: one name, or one section, is a list of one to it."""
    written: list[str | int] = []
    for part in path:
        if isinstance(data, dict) and isinstance(part, int):
            continue
        if not isinstance(data, dict | list):
            break
        keys = data if isinstance(data, dict) else range(len(data))
        data = data[part] if part in keys else None  # type: ignore[index]
        written.append(part)
    return tuple(written)


def _position(root: yaml.Node | None, path: tuple[str | int, ...], *, at_key: bool) -> tuple[int, int]:
    """Line and column (from 1) of the value at `path`, or of its key; of the nearest part that exists."""
    node, mark = root, root.start_mark if root is not None else None
    for depth, part in enumerate(path):
        last = depth == len(path) - 1
        entry = _child(node, part)
        if entry is None:
            break
        key_node, node = entry
        mark = key_node.start_mark if (last and at_key) or not isinstance(node, yaml.ScalarNode) else node.start_mark
    return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        return next(((key, value) for key, value in node.value if key.value == part), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


def _kind(value: object) -> str:
    return {list: "a list", str: "text", type(None): "nothing"}.get(type(value), "a single value")
