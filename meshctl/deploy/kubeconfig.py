"""`.meshctl/kubeconfig`: one context for each environment whose cluster meshctl made. EDGE.

Written by `runs` after an `up`; `destroy` removes the environment's context. It holds no secret, as tokens come from
`meshctl eks-token`. Existing clusters have kubeconfigs of their own and are not listed in it.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from meshctl import atomic_write
from meshctl.errors import FileError


def path(folder: Path) -> Path:
    return folder / ".meshctl" / "kubeconfig"


def write_context(folder: Path, environment: str, kubeconfig: str) -> None:
    """Add or replace the environment's context. `kubeconfig` is the stack's output, in JSON."""
    new = json.loads(kubeconfig)
    for user in new["users"]:
        # kubectl may be run with any PATH, so this file names meshctl by its full path; the state, which several people
        # share, does not
        user["user"]["exec"]["command"] = _own_program()
    merged = _without_environment(_read(folder), environment)
    for kind in ("clusters", "users", "contexts"):
        merged[kind] = [*merged[kind], *new[kind]]
    merged["current-context"] = merged.get("current-context") or environment
    _write(folder, merged)


def remove_context(folder: Path, environment: str) -> None:
    if not path(folder).exists():
        return
    remaining = _without_environment(_read(folder), environment)
    if remaining["contexts"]:
        _write(folder, remaining)
    else:
        path(folder).unlink()


def _own_program() -> str:
    in_same_folder = Path(sys.executable).with_name("meshctl")
    return str(in_same_folder) if in_same_folder.exists() else (shutil.which("meshctl") or "meshctl")


def _read(folder: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    if not path(folder).exists():
        return empty
    try:
        content = yaml.safe_load(path(folder).read_text()) or {}
        for kind in ("clusters", "users", "contexts"):
            empty[kind] = [{**entry, "name": entry["name"]} for entry in content.get(kind) or ()]
    except (yaml.YAMLError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise FileError(
            f"{path(folder)} is not a valid kubeconfig",
            why=" ".join(str(error).split()),
            hint="remove the file: the next `meshctl up` of each environment writes its context again",
        ) from error
    return {**content, **empty}


def _without_environment(config: dict[str, Any], environment: str) -> dict[str, Any]:
    remaining = {**config}
    for kind in ("clusters", "users", "contexts"):
        remaining[kind] = [entry for entry in config[kind] if entry["name"] != environment]
    if remaining.get("current-context") == environment:
        contexts = remaining["contexts"]
        remaining["current-context"] = contexts[0]["name"] if contexts else ""
    return remaining


def _write(folder: Path, config: dict[str, Any]) -> None:
    atomic_write.write(path(folder), yaml.safe_dump(config, sort_keys=False), mode=0o600)
