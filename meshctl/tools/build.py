"""Gets a missing external program: downloads it, or builds it with Go from `tools/<module>/go.mod`. EDGE.

Called by `tools.ensure`. The program appears in the cache by one rename, after it has answered with the right version;
a second process that wants the same one waits for the first.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from meshctl.errors import ToolError
from meshctl.tools.download import Downloads
from meshctl.tools.http import NotDownloadedError
from meshctl.tools.table import Tool, accepted, cache_dir, cached_path, is_program, numbers, probe

Progress = Callable[[str], None]

GO_MINIMUM = (1, 26)
"""The version that the go.mod files in tools/ require."""

_PROGRESS_EVERY_S = 2.0


def fetch_or_build(tool: Tool, tell: Progress, downloads: Downloads | None) -> None:
    """Put the program into the cache. Without `downloads` it is built with Go. Raises: ToolError."""
    target = cached_path(tool)
    with _lock(tool, tell):
        if is_program(target):  # another setup has finished it while this one waited
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        for left_over in target.parent.glob(".*.partial"):
            left_over.unlink(missing_ok=True)
        partial = target.with_name(f".{tool.name}.{os.getpid()}.partial")
        try:
            not_downloaded = _download(tool, downloads, partial, tell) if downloads else "--build was given"
            if not_downloaded:
                _build(tool, partial, tell, not_downloaded)
            _copy_module_files(tool, target.parent)
            _put(tool, partial, target)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(tool: Tool, tell: Progress) -> Iterator[None]:
    import fcntl  # fcntl does not exist on every system on which the rest of meshctl runs

    path = cache_dir() / "locks" / f"{tool.folder}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"{tool.name} {tool.version}: waiting for another meshctl that is getting it ({path})")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _put(tool: Tool, partial: Path, target: Path) -> None:
    """Check the version of the new program, then move it into place with one rename."""
    partial.chmod(0o755)
    version = probe(tool, partial)
    if version != tool.version:
        why = f"it answers {version or 'nothing'} to `{' '.join(tool.version_args)}`"
        raise ToolError(
            f"the new {tool.name} is not version {tool.version}",
            why=why if tool.version_args else f"it is of {tool.module} {version or 'of an unknown version'}",
            hint=f"meshctl setup --build {tool.name}, or put {tool.name} {accepted(tool)} on PATH",
        )
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _download(tool: Tool, downloads: Downloads, partial: Path, tell: Progress) -> str:
    """Download the program; the reason if that failed, "" when the program is in place."""
    try:
        downloads.fetch(tool, partial, tell)
    except NotDownloadedError as error:
        tell(f"{tool.name} {tool.version}: not downloaded: {error}")
        return str(error)
    return ""


def _build(tool: Tool, partial: Path, tell: Progress, not_downloaded: str) -> None:
    try:
        go = go_program(tool)
    except ToolError as error:
        raise ToolError(error.what, why=f"{error.why}; not downloaded: {not_downloaded}", hint=error.hint) from error
    command = [go, "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", tool.ldflags]
    command += ["-o", str(partial), tool.package]
    # the user's own Go flags and workspace must not change the build; without cgo the program needs no C library
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    started = time.monotonic()
    tell(f"{tool.name} {tool.version}: building with Go from {module_folder(tool)}")
    with subprocess.Popen(
        command,
        cwd=module_folder(tool),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            lines = _follow(tool, process.stderr or (), tell, started)
            if process.wait() != 0:
                why = "\n".join(lines) or f"`go build` ended with {process.returncode}"
                raise ToolError(f"building {tool.name} {tool.version} failed", why=why, hint="meshctl setup")
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)  # go and the compilers it started
            process.wait()
            raise
    tell(f"{tool.name} {tool.version}: built in {time.monotonic() - started:.0f} s")


def _follow(tool: Tool, stderr: Iterable[str], tell: Progress, started: float) -> list[str]:
    """Report the progress of the build; return the last lines that are neither package names nor downloads."""
    modules = packages = 0
    reported_s = started
    lines: list[str] = []
    for line in stderr:
        text = line.rstrip()
        if text.startswith("go: downloading"):
            modules += 1
        elif re.fullmatch(r"[\w.~/+-]+", text):
            packages += 1
        else:
            lines = [*lines, text][-10:]
        if time.monotonic() - reported_s >= _PROGRESS_EVERY_S:
            reported_s = time.monotonic()
            fetched = f"{modules} modules fetched, " if modules else ""
            tell(f"{tool.name} {tool.version}: {fetched}{packages} packages compiled, {reported_s - started:.0f} s")
    return lines


def _copy_module_files(tool: Tool, folder: Path) -> None:
    """Beside the program: what its module has and the program needs. Before the program, which makes it complete."""
    if not tool.module_files:
        return
    command = [go_program(tool), "list", "-m", "-f", "{{.Dir}}", tool.module]
    environment = {**os.environ, "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
    answer = subprocess.run(
        command, cwd=module_folder(tool), env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    module = answer.stdout.strip()
    if answer.returncode or not module:
        raise ToolError(
            f"the files of {tool.module} are missing",
            why=answer.stderr.strip() or f"`{' '.join(command)}` names no folder",
            hint=f"meshctl setup --build {tool.name}",
        )
    for name in tool.module_files:
        content = (Path(module) / name).read_bytes()  # files of Go's module cache are read-only: not copied with modes
        (folder / Path(name).name).write_bytes(content)


def module_folder(tool: Tool) -> Path:
    """The folder with the tool's go.mod: `tools/` in a source tree, `meshctl/_tools/` in an installed wheel."""
    package = Path(__file__).parents[1]
    for base in (package.parent / "tools", package / "_tools"):
        if (base / tool.module_dir / "go.mod").is_file():
            return base / tool.module_dir
    raise ToolError(
        f"can't build {tool.name}",
        why=f"this installation has no tools/{tool.module_dir}/go.mod",
        hint="reinstall meshctl",
    )


def go_program(tool: Tool) -> str:
    """A Go command that can build the tool. Raises: ToolError when there is none, or it is too old to switch to a newer
    one."""
    newest = f"Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer"
    what = f"can't build {tool.name} {tool.version}"
    hint = f"install {newest} (https://go.dev/dl), or put {tool.name} {accepted(tool)} on PATH; then `meshctl setup`"
    go = shutil.which("go")
    if go is None:
        raise ToolError(what, why="there is no `go` command on PATH", hint=hint)
    # run outside the module: inside it `go` might switch to another toolchain before it answers
    answer = subprocess.run(
        [go, "env", "GOVERSION", "GOTOOLCHAIN"], cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    version, _, toolchain = answer.stdout.strip().partition("\n")
    version_numbers = numbers(version.removeprefix("go"))[:2]
    if answer.returncode or not version_numbers:
        raise ToolError(what, why=f"`{go} env` failed: {answer.stderr.strip() or answer.stdout.strip()}", hint=hint)
    switches = version_numbers >= (1, 21) and not toolchain.startswith("local")
    if version_numbers < GO_MINIMUM and not switches:
        why = f"{go} is {version} with GOTOOLCHAIN={toolchain or 'unknown'}; {newest} is needed"
        raise ToolError(what, why=why, hint=f"{hint}; or let Go fetch it: GOTOOLCHAIN=auto meshctl setup")
    return go
