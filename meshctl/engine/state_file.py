"""Reads the state of a stack from its file, where the state is in a folder of this machine. EDGE.

Called by `workspace` instead of `pulumi stack export`, which prints the same. Starting that program takes longer than
all the rest of reading a state, and most commands read several states. Where anything is not as the engine writes it
today, `exported` gives None, and the program is asked: it knows older layouts, compressed files and newer versions, and
says what is wrong with a file.

Source: pulumi 3.259.0, pkg/backend/diy: `ExportDeployment` (backend.go) prints `latest` of the checkpoint as it is,
secrets encrypted; where a stack's file is: `stackPath` (state.go), meta.go and store.go. The engine replaces the file
atomically, and exports without a lock.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from meshctl.engine import state_folder

_LAYOUT = "version: 1"  # of a folder in which each project has a folder of stacks
_CHECKPOINT_VERSION = 3  # 4 has a list of features, which the program checks
_COMPRESSED = (".gz", ".zst")


def exported(url: str, base: Path, project: str, stack: str) -> dict[str, Any] | None:
    """What `pulumi stack export` prints: `version` and `deployment`, which is None where there is no such stack.

    `url`, relative to `base`, is the backend's. None: the program has to be asked.
    """
    if not state_folder.is_folder(url) or "prefix" in dict(parse_qsl(url.partition("?")[2])):
        return None
    top = state_folder.path_of(url, base) / ".pulumi"
    file = top / "stacks" / project / f"{stack}.json"
    if any(file.with_name(file.name + suffix).exists() for suffix in _COMPRESSED):
        return None
    try:
        if (top / "meta.yaml").read_text().strip() != _LAYOUT:
            return None
        content = json.loads(file.read_bytes())
    except FileNotFoundError:
        has_layout = (top / "meta.yaml").exists()
        return {"version": _CHECKPOINT_VERSION, "deployment": None} if has_layout else None
    except (OSError, ValueError):
        return None
    return _deployment(content)


def _deployment(content: object) -> dict[str, Any] | None:
    if not isinstance(content, dict) or content.get("version") != _CHECKPOINT_VERSION or content.get("features"):
        return None
    checkpoint = content.get("checkpoint")
    if not isinstance(checkpoint, dict):
        return None
    return {"version": _CHECKPOINT_VERSION, "deployment": checkpoint.get("latest")}
