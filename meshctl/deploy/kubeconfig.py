"""`.meshctl/kubeconfig`: one context for each environment whose cluster meshctl made. EDGE.

Written by `session` after an `up`, shortened by `destroy`. Holds no secret: its tokens come from `meshctl eks-token`.
Clusters that were there before have kubeconfigs of their own, and stay out of it.
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
    """Add or renew the environment's context. `kubeconfig` is the stack's output, in JSON."""
    made = json.loads(kubeconfig)
    for user in made["users"]:
        # kubectl is run from anywhere: the program by its full path, unlike in the shared state
        user["user"]["exec"]["command"] = _own_program()
    merged = _without(_read(folder), environment)
    for kind in ("clusters", "users", "contexts"):
        merged[kind] = [*merged[kind], *made[kind]]
    merged["current-context"] = merged.get("current-context") or environment
    _write(folder, merged)


def remove_context(folder: Path, environment: str) -> None:
    if not path(folder).exists():
        return
    left = _without(_read(folder), environment)
    if left["contexts"]:
        _write(folder, left)
    else:
        path(folder).unlink()


def _own_program() -> str:
    beside = Path(sys.executable).with_name("meshctl")
    return str(beside) if beside.exists() else (shutil.which("meshctl") or "meshctl")


def _read(folder: Path) -> dict[str, Any]:
    empty: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    if not path(folder).exists():
        return empty
    try:
        given = yaml.safe_load(path(folder).read_text()) or {}
        for kind in ("clusters", "users", "contexts"):
            empty[kind] = [{**entry, "name": entry["name"]} for entry in given.get(kind) or ()]
    except (yaml.YAMLError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise FileError(
            f"{path(folder)} is no kubeconfig any more",
            why=" ".join(str(error).split()),
            hint="remove it: the next `meshctl up` of each environment writes its context anew",
        ) from error
    return {**given, **empty}


def _without(config: dict[str, Any], environment: str) -> dict[str, Any]:
    left = {**config}
    for kind in ("clusters", "users", "contexts"):
        left[kind] = [entry for entry in config[kind] if entry["name"] != environment]
    if left.get("current-context") == environment:
        left["current-context"] = left["contexts"][0]["name"] if left["contexts"] else ""
    return left


def _write(folder: Path, config: dict[str, Any]) -> None:
    atomic_write.write(path(folder), yaml.safe_dump(config, sort_keys=False), mode=0o600)
