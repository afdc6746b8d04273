"""External programs: finds them on this machine, and downloads or builds missing ones. EDGE.

Called by `cli.setup`, `cli.doctor`, and by whatever starts a program (`engine`, `lab`, `migrate`): those call `find`
and start the path they get. `find` is quick and never builds; `ensure` gets what is missing, in this order: on PATH at
an acceptable version, in the cache, downloaded from the official release, built with Go from `tools/<module>/go.mod`.

Cache: `$MESHCTL_CACHE`, or `~/.cache/meshctl`:

    bin/<name>-<version>/<name>    a whole program, put there by one rename: what is there is complete; beside it the
                                   files of its module that it needs
    downloads/<name>-<version>/    what a cut download has brought so far; gone once the program is there
    locks/<name>-<version>.lock    held while one is fetched or built; a second `setup` waits for it
    probes.json                    what programs on PATH answered when asked for their version, by path, size and time
"""

from __future__ import annotations

import contextlib
import json
import os
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from meshctl.errors import ToolError
from meshctl.tools.build import Progress, fetch_or_build
from meshctl.tools.download import downloads
from meshctl.tools.table import (
    CORE,
    LAB,
    OPTIONAL,
    TOOLS,
    WHEELS,
    Tool,
    accepted,
    cache_dir,
    cached_path,
    is_program,
    probe,
)

__all__ = [
    "CORE",
    "LAB",
    "OPTIONAL",
    "TOOLS",
    "WHEELS",
    "Located",
    "Refused",
    "ensure",
    "file_beside",
    "find",
    "locate",
    "refusals",
]


@dataclass(frozen=True)
class Located:
    """Where a program was found: `source` is `PATH`, `cache` or `wheel`."""

    path: Path
    source: Literal["PATH", "cache", "wheel"]
    version: str


@dataclass(frozen=True)
class Refused:
    """A program with the right name on PATH that is not used, and the reason."""

    path: Path
    reason: str


def find(name: str) -> Path:
    """The program to start. Quick: no build, no download. Raises ToolError when it is not on this machine."""
    located = locate(name)
    if located is not None:
        return located.path
    if name in WHEELS:
        raise ToolError(
            f"the program {name} is missing",
            why=f"it comes with the Python package {WHEELS[name]}, which is not installed here",
            hint="reinstall meshctl with the `lab` extra" if name == "weed" else "reinstall meshctl",
        )
    refused = "; ".join(f"{item.path}: {item.reason}" for item in refusals(name))
    why = f"not in {cache_dir() / 'bin'}, and not on PATH at an acceptable version"
    raise ToolError(
        f"the program {name} {TOOLS[name].version} is missing",
        why=f"{why} ({refused})" if refused else why,
        hint=f"meshctl setup {name}" if name in OPTIONAL else "meshctl setup",
    )


def file_beside(name: str, file: str) -> Path:
    """A file of the program's module, which `setup` put beside it. Raises: ToolError where it is not there."""
    path = find(name).parent / file
    if not path.is_file():
        why = f"there is no {path}"
        raise ToolError(f"a file of {name} is missing", why=why, hint=f"take {name} off PATH; meshctl setup {name}")
    return path


def locate(name: str) -> Located | None:
    """Where the program is, or None. Raises KeyError for a name that is no tool of ours."""
    if name in WHEELS:
        return _in_scripts(name)
    tool = TOOLS[name]
    for candidate in _on_path(name):
        version = _version_of(tool, candidate)
        if tool.acceptable(version) and not _is_script(candidate):
            return Located(candidate, "PATH", version)
    cached = cached_path(tool)
    return Located(cached, "cache", tool.version) if is_program(cached) else None


def refusals(name: str) -> list[Refused]:
    """The programs with that name on PATH that `locate` rejects."""
    if name in WHEELS:
        return []
    tool = TOOLS[name]
    refused = []
    for candidate in _on_path(name):
        version = "" if _is_script(candidate) else _version_of(tool, candidate)
        if _is_script(candidate):
            refused.append(Refused(candidate, "a script, which may run another program tomorrow"))
        elif not version:
            refused.append(Refused(candidate, f"does not answer `{' '.join(tool.version_args)}`"))
        elif not tool.acceptable(version):
            refused.append(Refused(candidate, f"version {version}, not {accepted(tool)}"))
    return refused


def ensure(names: Iterable[str], progress: Progress | None = None, *, build: bool = False) -> dict[str, Path]:
    """Every named program's path, after downloading or building what is missing; with `build` nothing is downloaded.

    `progress` gets one line of text at a time: what is done now, how far it is, for how long. Raises: ToolError,
    UsageError for a MESHCTL_MIRROR that is no URL, or one without https on another machine.
    """
    tell = progress or (lambda _: None)
    by_download = None if build else downloads()
    paths = {}
    for name in names:
        located = locate(name)
        if located is None and name in TOOLS:
            fetch_or_build(TOOLS[name], tell, by_download)
        paths[name] = located.path if located else find(name)
    return paths


def _on_path(name: str) -> list[Path]:
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    candidates = [(folder / name).absolute() for folder in folders]
    return list(dict.fromkeys(path for path in candidates if is_program(path)))


def _in_scripts(name: str) -> Located | None:
    # beside this interpreter, not on PATH: an isolated install (pipx, uv tool) puts only `meshctl` itself on PATH
    path = Path(sysconfig.get_path("scripts")) / name
    return Located(path, "wheel", "") if is_program(path) else None


def _is_script(path: Path) -> bool:
    # version managers' shims are scripts that run another program depending on the working folder
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _version_of(tool: Tool, path: Path) -> str:
    """The version that the program prints, "" when it prints none; cached as long as the file is unchanged."""
    stat = path.stat()
    key = [stat.st_size, stat.st_mtime_ns]
    probes = _read_probes()
    cached = probes.get(str(path))
    if isinstance(cached, dict) and cached.get("file") == key:
        return str(cached.get("version", ""))
    version = probe(tool, path)
    _write_probes({**probes, str(path): {"file": key, "version": version}})
    return version


def _read_probes() -> dict[str, object]:
    try:
        probes = json.loads((cache_dir() / "probes.json").read_text())
    except (OSError, ValueError):
        return {}
    return probes if isinstance(probes, dict) else {}


def _write_probes(probes: dict[str, object]) -> None:
    # only a cache: if it can't be written, that costs time, not correctness
    target = cache_dir() / "probes.json"
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".probes.{os.getpid()}.partial")
        partial.write_text(json.dumps(probes, indent=1, sort_keys=True))
        partial.replace(target)
