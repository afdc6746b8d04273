"""The lab's folder: where things lie in it, what is written down, which processes are its own. EDGE.

Used by every part of the lab. `lab.json` says which ports and clusters there are; it is written whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from meshctl.errors import LabError


def default_root() -> Path:
    """`$MESHCTL_LAB_ROOT`, or `.meshctl/lab` in the working folder."""
    return Path(os.environ.get("MESHCTL_LAB_ROOT") or Path.cwd() / ".meshctl" / "lab").absolute()


@dataclass(frozen=True)
class Lab:
    """One lab. Two labs with different roots run side by side."""

    root: Path

    @property
    def file(self) -> Path:
        return self.root / "lab.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def kubeconfig(self) -> Path:
        """Contexts of the clusters that meshctl does not make itself."""
        return self.root / "kubeconfig"

    def read(self) -> dict[str, Any]:
        """`{"ports": {…}, "clusters": {…}}`. Raises: LabError when the lab isn't up."""
        try:
            found: dict[str, Any] = json.loads(self.file.read_text())
        except (OSError, ValueError) as error:
            raise LabError("the lab is not up", why=f"no {self.file}", hint="`meshctl lab up` starts it") from error
        return found

    def write(self, document: dict[str, Any]) -> None:
        write_whole(self.file, json.dumps(document, indent=2))

    def processes(self) -> Iterator[psutil.Process]:
        """Every process that was started with a path of this lab on its command line; the caller itself is not one."""
        own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        inside = f"{self.root}{os.sep}"
        for process in psutil.process_iter(["pid", "cmdline"]):
            words = process.info["cmdline"] or []
            if process.info["pid"] not in own and any(word == str(self.root) or inside in word for word in words):
                yield process


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file so that no reader ever sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as stream:
        stream.write(text)
    partial.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """The file's object; empty while there is none."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found
