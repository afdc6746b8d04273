"""The lab's folder: where things lie in it, what is written down, which processes are its own. EDGE.

Used by every part of the lab. `lab.json` says which ports and clusters there are; it is written whole or not at all.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from meshctl import atomic_write, own_folder
from meshctl.errors import LabError

# In the environment of every process of a lab, with the lab's root: children have it too, whoever started them, and
# what a user points at the lab (a shell with `meshctl lab env`, an editor on one of its files) has not.
MARK = "MESHCTL_LAB_PROCESS"
ACCOUNT = "account.json"  # which account of AWS the lab is: may be there before the lab
READY_FOLDER = "ready"  # a file for each cluster whose platform stands, written by the controllers


def ready_files(cluster: str) -> tuple[str, str, str, str]:
    """In that folder: says that the cluster's platform stands, and that its controller of groups, Kueue and KAI
    Scheduler do, if it has them."""
    return cluster, f"{cluster}-groups", f"{cluster}-kueue", f"{cluster}-kai"


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
            document: dict[str, Any] = json.loads(self.file.read_text())
        except (OSError, ValueError) as error:
            raise LabError("the lab is not up", why=f"no {self.file}", hint="`meshctl lab up` starts it") from error
        return document

    def write(self, document: dict[str, Any]) -> None:
        write_atomically(self.file, json.dumps(document, indent=2))

    def environment(self) -> dict[str, str]:
        """The variables for a process of this lab."""
        return {**os.environ, MARK: str(self.root)}

    def processes(self) -> Iterator[psutil.Process]:
        """Every process of this lab that lives; the caller itself is not one."""
        own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        for process in psutil.process_iter():
            # another user's, or one that has just ended
            with contextlib.suppress(psutil.AccessDenied, psutil.NoSuchProcess, OSError):
                if process.pid not in own and process.environ().get(MARK) == str(self.root):
                    yield process

    @contextlib.contextmanager
    def exclusively(self) -> Iterator[None]:
        """One command at a time starts or ends a lab. Raises: LabError when another one is at it."""
        own_folder.make(self.root)
        folder = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(folder)
            raise LabError(
                "the lab is being started or ended", why=f"another command holds {self.root}", hint="wait for it to end"
            ) from error
        try:
            yield
        finally:
            os.close(folder)


def wait_ended(processes: Iterable[psutil.Process], timeout_s: float) -> None:
    """Return once all have ended, whether or not their parent has taken note of it, or after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while any(lives(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def lives(process: psutil.Process) -> bool:
    """Whether any of it still runs; its parent need not have taken note of its end."""
    try:
        # killed with many threads, it is called a zombie while the last of them still hold its ports
        return process.is_running() and (process.status() != psutil.STATUS_ZOMBIE or process.num_threads() > 1)
    except psutil.NoSuchProcess:
        return False


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace a file, whose folder is made, so that no reader ever sees half of it. Raises: OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write(path, text, mode)


def read_json(path: Path) -> dict[str, Any]:
    """The file's object; empty while there is none."""
    try:
        document: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return document


def read_list(path: Path) -> list[dict[str, Any]]:
    """The file's list of objects; empty while there is none."""
    try:
        items: list[dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return items
