"""Start one container process with namespaces of its own; run as a script with the path of a JSON spec. EDGE.

Started by `meshctl.lab.pods.container`. Standard library only (it runs with `-I -S`, so that it is up in 15 ms).
The spec: `argv`, `env`, `cwd` (a folder inside, made if there is none), `parent` (process id of the runner),
`hostname`, `root` (an empty folder), `mounts` ([[source, path, read_only], …]: folder or file of the machine, absolute
path inside), `empty` (folders inside that are empty at every start), `scratch` (folders that show what the machine has,
and what is written there is gone at the end); or, to run one more command in a container that is up, `enter` (process
id of its launcher).

The program is process 1 of a PID namespace, as in a container: signals that it doesn't handle do nothing, and what it
started ends with it. This process stays beside it, passes SIGTERM on and takes over its exit code (128 + signal).
The file system is a tmpfs root onto which the machine's folders are bound, so that mount points can be made anywhere
without leaving a trace on the machine. As root the namespaces need nothing else; others get a user namespace.
"""

# pathlib would double the start-up time
# ruff: noqa: PTH102, PTH103, PTH108, PTH112, PTH115, PTH118, PTH123, PTH211
from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
from typing import Any

MS_RDONLY, MS_NOSUID, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18  # mount(2)
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x04000000, 0x10000000, 0x20000000  # unshare(2)
MNT_DETACH = 2  # umount2(2)
PR_SET_PDEATHSIG = 1  # prctl(2)
LIBC = ctypes.CDLL(None, use_errno=True)


def call(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    done = LIBC.mount(
        source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None
    )
    call(done, f"mount {source} at {target}")


def die_with(parent: int) -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("the pod runner is gone")


def unshare() -> None:
    """New namespaces; for an ordinary user inside a user namespace that maps only this user."""
    user, group = os.geteuid(), os.getegid()
    namespaces = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS
    call(LIBC.unshare(namespaces if user == 0 else namespaces | CLONE_NEWUSER), "unshare")
    if user != 0:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def enter(launcher: int) -> None:
    """Join the namespaces of the container that this launcher started; the next child is inside."""
    with open(f"/proc/{launcher}/task/{launcher}/children") as file:
        inside = int(file.read().split()[0])
    kinds = ("mnt", "pid", "uts") if os.geteuid() == 0 else ("user", "mnt", "pid", "uts")
    root = os.open(f"/proc/{inside}/root", os.O_RDONLY)
    for opened in [os.open(f"/proc/{inside}/ns/{kind}", os.O_RDONLY) for kind in kinds]:
        call(LIBC.setns(opened, 0), "setns")
    os.fchdir(root)
    os.chroot(".")


class View:
    """The new root being put together at `root`. `made`: the paths inside that are folders of the tmpfs itself."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.made: set[str] = set()
        self.placed: set[str] = set()  # the paths of the container's mounts

    def inside(self, path: str) -> str:
        return self.root + path

    def open_up(self, path: str) -> None:
        """Make the folder `path` a folder of the tmpfs that shows what the machine has in it, so that other paths can
        be mounted in it."""
        os.makedirs(self.inside(path), exist_ok=True)
        if path != "/":
            mount("tmpfs", self.inside(path), "tmpfs", MS_NOSUID, "mode=755")
        self.made.add(path)
        if path == "/":
            os.mkdir(self.inside("/proc"))  # for the proc file system of the new PID namespace
        for entry in os.scandir(path) if os.path.isdir(path) else ():
            if entry.path != "/proc":
                self.show(os.path.join(path, entry.name), entry)

    def show(self, path: str, entry: os.DirEntry[str]) -> None:
        target = self.inside(path)
        if entry.is_symlink():
            os.symlink(os.readlink(path), target)
            return
        if entry.is_dir():
            os.mkdir(target)
        elif entry.is_file():
            open(target, "w").close()
        else:
            return
        mount(path, target, flags=MS_BIND | MS_REC)

    def place(self, source: str, path: str, read_only: bool) -> None:  # noqa: FBT001 (a field of the spec)
        """Bind `source` at `path`, which is made where the machine has no such path."""
        path = os.path.realpath(path)
        self.make(path, is_folder=os.path.isdir(source))
        self.made.discard(path)
        self.placed.add(path)
        mount(source, self.inside(path), flags=MS_BIND | MS_REC)
        if read_only:
            mount("none", self.inside(path), flags=MS_REMOUNT | MS_BIND | MS_RDONLY)

    def empty(self, path: str) -> None:
        """Make `path` a folder that is new at each start, unless something is mounted there."""
        path = os.path.realpath(path)
        if path not in self.placed:
            self.make(path, is_folder=True)
            mount("tmpfs", self.inside(path), "tmpfs", MS_NOSUID, "mode=777")

    def start_in(self, path: str) -> None:
        """Make the folder where the program starts, if it is missing: in the mount that it lies in, else for this start
        alone."""
        path = os.path.realpath(path)
        if any(path.startswith(f"{mounted}/") for mounted in self.placed):
            os.makedirs(self.inside(path), exist_ok=True)
        else:
            self.make(path, is_folder=True)

    def make(self, path: str, *, is_folder: bool) -> None:
        """Make an empty folder or file at `path`, with the folders above it, if nothing is there yet."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            step, parent = "/" + "/".join(parts[:depth]), "/" + "/".join(parts[: depth - 1])
            if os.path.lexists(self.inside(step)):
                continue
            if parent not in self.made:
                self.open_up(parent)
            if depth < len(parts) or is_folder:
                os.mkdir(self.inside(step))
                self.made.add(step)
            else:
                open(self.inside(step), "w").close()


def build(root: str, spec: dict[str, Any]) -> None:
    os.makedirs(root, exist_ok=True)
    mount("tmpfs", root, "tmpfs", MS_NOSUID, "mode=755")
    view = View(root)
    view.open_up("/")
    for path in spec.get("scratch", []):
        view.open_up(path)
    mounts = [(str(source), str(path), bool(only)) for source, path, only in spec["mounts"]]
    folders = {path: os.path.isdir(source) for source, path, _ in mounts} | dict.fromkeys(spec.get("empty", []), True)
    # before the first mount: a folder that is opened up hides what is mounted in it
    for path, is_folder in {**folders, spec["cwd"]: True}.items():
        if not any(path.startswith(f"{other}/") for _, other, _ in mounts):
            view.make(os.path.realpath(path), is_folder=is_folder)
    for source, path, read_only in sorted(mounts, key=lambda each: each[1].count("/")):
        view.place(source, path, read_only)
    for path in spec.get("empty", []):
        view.empty(path)
    view.start_in(spec["cwd"])


def change_root(root: str) -> None:
    """As container runtimes do: the machine's root is gone, and programs may make user namespaces, which a process in a
    `chroot` may not. Where `/` is the kernel's first file system it can't be moved."""
    os.chdir(root)
    if LIBC.pivot_root(b".", b".") == 0:
        call(LIBC.umount2(b".", MNT_DETACH), "umount")
    else:
        os.chroot(".")
    os.chdir("/")


def execute(spec: dict[str, Any]) -> None:
    """In the child: become the program. Never returns."""
    LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if "enter" not in spec:
        socket.sethostname(spec["hostname"][:63])
        build(spec["root"], spec)
        mount("proc", spec["root"] + "/proc", "proc")
        change_root(spec["root"])
    os.chdir(spec["cwd"])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        os.execvpe(spec["argv"][0], spec["argv"], spec["env"])  # noqa: S606 (that is its purpose)
    except OSError as error:
        sys.stderr.write(f'exec "{spec["argv"][0]}": {error.strerror}\n')
        os._exit(127 if isinstance(error, FileNotFoundError) else 126)


def main() -> int:
    with open(sys.argv[1]) as file:
        spec = json.load(file)
    os.unlink(sys.argv[1])  # it may hold secret values
    die_with(spec["parent"])
    if "enter" in spec:
        enter(spec["enter"])
    else:
        unshare()
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        try:
            execute(spec)
        except OSError as error:
            sys.stderr.write(f"can't start the container: {error}\n")
            os._exit(128)
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGTERM))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
