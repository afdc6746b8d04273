"""Texts that a container gets: that they refer to variables which it has, and that Linux can start it with them. PURE.

Called by `meshctl.load` on the parsed files, as `references` is: it reads plain mappings and passes over anything of
the wrong shape, which validation reports.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final

from meshctl.model.files.file_problems import Path, Problem, mapping, suggestion
from meshctl.model.pods import pod_groups, pod_variables
from meshwire.marks import UNKNOWN_STRING

# One argument, or one variable as `NAME=value`, without the NUL at its end. Source: linux/include/uapi/linux/binfmts.h,
# MAX_ARG_STRLEN = 32 pages, of 4 KiB on the machines of the catalog.
LONGEST_STRING: Final = 32 * 4096 - 1
# Of all texts of a workload. Linux allows about 2 MiB, a quarter of the stack (execve(2)); but they stand in one object
# of Kubernetes, whose store etcd takes requests of 1.5 MiB (etcd.io, "System limits"), other fields among them.
LONGEST_TOGETHER: Final = 1024 * 1024

_ELSEWHERE: Final = "put it into a file: one of `files`, of the image or of a storage that the workload mounts"


def check_mesh(data: object) -> Iterator[Problem]:
    """Of the `env`, `command` and `args` of each workload. Returns: (path, message) pairs, as `references` does."""
    mesh = mapping(data)
    stores = _stores(mesh)
    for name, workload in mapping(mesh.get("workloads")).items():
        if isinstance(workload, Mapping):
            yield from _workload(workload, ("workloads", name), stores)


def check_environments(mesh_data: object, data: object) -> Iterator[Problem]:
    """Of the `fabric.env` of each environment, and of the `env` that it adds to workloads of the mesh."""
    mesh = mapping(mesh_data)
    workloads = mapping(mesh.get("workloads"))
    for name, environment in mapping(mapping(data).get("environments")).items():
        at: Path = ("environments", name)
        fabric = mapping(mapping(environment).get("fabric"))
        yield from _each(_texts(fabric.get("env"), (*at, "fabric", "env")), pod_variables.OF_EVERY_POD, "every pod")
        for workload, override in mapping(mapping(environment).get("workloads")).items():
            texts = _texts(mapping(override).get("env"), (*at, "workloads", workload, "env"))
            if isinstance(workloads.get(workload), Mapping):
                yield from _each(texts, *_variables(workloads[workload], _stores(mesh)))
            else:  # of all workloads, or of one that is reported as missing
                yield from _each(texts, pod_variables.OF_EVERY_POD, "every pod")


def _stores(mesh: Mapping[str, Any]) -> set[str]:
    storage = mapping(mesh.get("storage"))
    return {name for name, each in storage.items() if mapping(each).get("kind") == "object"}


def _variables(workload: Mapping[str, Any], stores: Collection[str]) -> tuple[frozenset[str], str]:
    """Those that the workload's pods have, and what these pods are called."""
    kind, mounts = workload.get("kind"), mapping(workload.get("mounts"))
    is_grouped = pod_groups.is_grouped(workload)
    names = pod_variables.names(str(kind), (name for name in mounts if name in stores), is_grouped=is_grouped)
    return names, f"the pods of this {kind} workload"


def _workload(workload: Mapping[str, Any], at: Path, stores: Collection[str]) -> Iterator[Problem]:
    steps = workload.get("before")
    sections = [(workload, at)]
    sections += [(mapping(step), (*at, "before", index)) for index, step in enumerate(_list(steps))]
    texts = [
        entry
        for section, place in sections
        for key in ("env", "command", "args")
        for entry in _texts(section.get(key), (*place, key))
    ]
    yield from _each(texts, *_variables(workload, stores))
    together = sum(_size(path, text) for path, text in texts)
    if together > LONGEST_TOGETHER:
        message = (
            f"env, command and args have {together:,} bytes together; at most {LONGEST_TOGETHER:,} fit into an object"
            f" of Kubernetes: {_ELSEWHERE}"
        )
        yield at, message


def _texts(values: object, at: Path) -> Iterator[tuple[Path, str]]:
    entries = values.items() if isinstance(values, Mapping) else enumerate(values) if isinstance(values, list) else ()
    return (((*at, key), text) for key, text in entries if isinstance(text, str))


def _each(texts: Iterable[tuple[Path, str]], variables: Collection[str], whose: str) -> Iterator[Problem]:
    for path, text in texts:
        yield from _references(path, text, variables, whose)
        yield from _too_long(path, text)
        yield from _of_the_engine(path, text)


def _references(path: Path, text: str, variables: Collection[str], whose: str) -> Iterator[Problem]:
    for name in dict.fromkeys(pod_variables.references(text)):
        if name not in variables:
            guess = suggestion(name, sorted(variables)) or f"; there are {', '.join(sorted(variables))}"
            yield path, f'no variable "{name}" in {whose}{guess} ($$({name}) is the text itself)'


def _too_long(path: Path, text: str) -> Iterator[Problem]:
    size = _size(path, text)
    if size > LONGEST_STRING:
        is_variable = isinstance(path[-1], str)
        what = 'a variable, with its name and "="' if is_variable else "one argument"
        message = f"has {size:,} bytes; Linux starts no program with more than {LONGEST_STRING:,} in {what}"
        yield path, f"{message}: {_ELSEWHERE}"


def _of_the_engine(path: Path, text: str) -> Iterator[Problem]:
    if text == UNKNOWN_STRING:
        yield path, "Pulumi takes this very text for a value that it does not know yet; write it in another way"


def _size(path: Path, text: str) -> int:
    """In bytes, for the last part of `path` as the name of a variable or the place of an argument."""
    name = path[-1]
    return len(text.encode(errors="surrogatepass")) + (
        len(name.encode(errors="surrogatepass")) + 1 if isinstance(name, str) else 0
    )


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
