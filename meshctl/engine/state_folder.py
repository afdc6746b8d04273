"""A state in a folder of this machine: its Pulumi URL, and cleaning up files that a killed engine half wrote. EDGE.

Called by `workspace` before a stack is opened; then the engine reads the folder. Pulumi's file backend replaces each
file atomically, but by default it first writes a sidecar `FILE.attrs`, and that not atomically: a `kill -9` in between
leaves a state that can't be read ("failed to load checkpoint: EOF"). Pulumi does not use these sidecars, so they are
not written (gocloud.dev/blob/fileblob, `metadata=skip`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from meshctl import user_paths

_SCHEME = "file://"
_WRITING_S = (
    10  # writing a lock of a hundred bytes takes far less, so nobody is writing an older incomplete one any more
)


def is_folder(url: str) -> bool:
    return url.startswith(_SCHEME)


def path_of(url: str, base: Path) -> Path:
    """The folder of a `file://` URL, relative to `base`. Raises: UsageError when `~USER` names an unknown user."""
    path = user_paths.expanded(url.removeprefix(_SCHEME).partition("?")[0])
    return path if path.is_absolute() else (base / path).resolve()


def has_stack(url: str, base: Path, project: str, stack: str) -> bool:
    """Whether the state is in a folder of this machine that has this stack."""
    return is_folder(url) and (path_of(url, base) / ".pulumi" / "stacks" / project / f"{stack}.json").is_file()


def has_journals(url: str, base: Path, mesh: str) -> bool:
    """Whether the state is in a folder of this machine that has journals of the mesh, of shifts or of migrations."""
    return is_folder(url) and any((path_of(url, base) / kind / mesh).is_dir() for kind in ("shifts", "migrations"))


def engine_url(url: str, base: Path) -> str:
    """The URL for the engine: absolute, without sidecars, with the user's own options."""
    options = dict(parse_qsl(url.partition("?")[2]))
    return f"{_SCHEME}{path_of(url, base)}?{urlencode({'metadata': 'skip'} | options)}"


def remove_incomplete_files(folder: Path, project: str, stack: str) -> None:
    """Remove half-written sidecars and lock files of one stack, on which the engine would fail."""
    top = folder / ".pulumi"
    sidecars = [top / "meta.yaml.attrs", *(top / "stacks" / project).glob(f"{stack}.json*.attrs")]
    locks = (top / "locks/organization" / project / stack).glob("*.tmp")
    abandoned = [lock for lock in locks if _age_s(lock) > _WRITING_S]
    for file in [*sidecars, *abandoned]:
        if file.is_file() and not _is_json(file):
            file.unlink(missing_ok=True)


def _age_s(file: Path) -> float:
    try:
        return time.time() - file.stat().st_mtime
    except FileNotFoundError:  # the engine has just renamed it
        return 0


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except ValueError:
        return False
    except FileNotFoundError:
        return True
    return True
