"""A state that is a folder of this machine: its Pulumi URL, and what a killed engine may have left torn in it. EDGE.

Called by `workspace` before a stack is opened; next comes the engine, which reads the folder. Pulumi's file backend
replaces each file whole, but by default it writes a sidecar `FILE.attrs` before it, and not whole: a `kill -9` in
between leaves a state that can't be read ("failed to load checkpoint: EOF"). Pulumi uses nothing of these sidecars, so
they are not written (gocloud.dev/blob/fileblob, `metadata=skip`).
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

from meshctl import user_paths

_SCHEME = "file://"
_WRITING_S = 10  # a lock of a hundred bytes is written in far less, so an older half one has nobody who writes it


def is_folder(url: str) -> bool:
    return url.startswith(_SCHEME)


def path_of(url: str, base: Path) -> Path:
    """The folder of a `file://` URL; a relative one counts from `base`. Raises: UsageError for `~` of nobody."""
    path = user_paths.expanded(url.removeprefix(_SCHEME).partition("?")[0])
    return path if path.is_absolute() else (base / path).resolve()


def engine_url(url: str, base: Path) -> str:
    """The URL as the engine gets it: absolute, without sidecars; the user's own options stay."""
    options = dict(parse_qsl(url.partition("?")[2]))
    return f"{_SCHEME}{path_of(url, base)}?{urlencode({'metadata': 'skip'} | options)}"


def remove_torn(folder: Path, project: str, stack: str) -> None:
    """Remove half-written sidecars and lock files of one stack, which the engine would stumble over."""
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
    except FileNotFoundError:  # its writer has just renamed it
        return 0


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except ValueError:
        return False
    except FileNotFoundError:
        return True
    return True
