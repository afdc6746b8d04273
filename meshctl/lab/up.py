"""Starts and ends a lab. EDGE.

Called by `meshctl.cli.lab` and by the tests' fixture. `up` on a lab that is up does nothing; on one that crashed it
cleans first. `down` leaves no process and no file behind.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import psutil

from meshctl import tools
from meshctl.errors import LabError
from meshctl.lab import clusters, environment
from meshctl.lab.state import Lab
from meshctl.lab.stores import free_ports

Say = Callable[[str], None]
READY_TIMEOUT_S = 60
END_TIMEOUT_S = 10
# name -> the module that runs it, and the port that answers once it is ready ("" = it has none)
PARTS = {
    "aws": ("meshctl.lab.aws", "aws"),
    "stores": ("meshctl.lab.stores", "store_cw"),
    "controllers": ("meshctl.lab.controllers", "webhook"),
    "network": ("meshctl.lab.network", "dns"),
    "pods": ("meshctl.lab.pods", ""),
}


def up(lab: Lab, say: Say) -> dict[str, Any]:
    """Start the lab; returns lab.json. Raises: LabError, ToolError."""
    if is_up(lab):
        say(f"the lab is up already ({lab.root})")
        return lab.read()
    if lab.root.exists():
        say("cleaning up after a lab that did not end well")
        down(lab)
    for program in clusters.PROGRAMS:
        tools.find(program)  # says at once what is missing
    lab.logs.mkdir(parents=True)
    began = time.monotonic()
    names = [
        "aws",
        "dns",
        "webhook",
        "store_cw",
        "store_dc1",
        *(f"apiserver_{plane.name}" for plane in clusters.PLANES),
    ]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    try:
        _start(lab, ports, say)
    except BaseException:
        say("the lab did not start; ending what did")
        for process in list(lab.processes()):
            _end(process)
        raise
    say(f"the lab is up after {time.monotonic() - began:.1f} s")
    return lab.read()


def _start(lab: Lab, ports: dict[str, int], say: Say) -> None:
    environment.write_aws_files(lab, ports)
    lab.write({"ports": ports, "clusters": clusters.entries(lab)})
    with ThreadPoolExecutor(max_workers=len(clusters.PLANES)) as pool:
        say(f"control planes: {', '.join(plane.name for plane in clusters.PLANES)}")
        planes = [pool.submit(clusters.start, lab, plane, ports) for plane in clusters.PLANES]
        say("AWS API, object stores, controllers, load balancers, DNS, pods")
        processes = {name: start_part(lab, name) for name in PARTS}
        for plane in planes:
            plane.result()
    clusters.write_user_kubeconfig(lab)
    for name, process in processes.items():
        _wait(lab, name, process, ports)


def start_part(lab: Lab, name: str) -> subprocess.Popen[bytes]:
    """Start one part as a process of its own; its log is `<root>/logs/<name>.log`."""
    module, _ = PARTS[name]
    command = [sys.executable, "-m", module, "--lab", str(lab.root)]
    if name == "aws":
        command += ["--port", str(lab.read()["ports"]["aws"])]
    with (lab.logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=lab.root, start_new_session=True
        )


def _wait(lab: Lab, name: str, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
    _, port = PARTS[name]
    deadline = time.monotonic() + READY_TIMEOUT_S
    while port and not _answers(ports[port], http=name == "aws"):
        if process.poll() is not None or time.monotonic() > deadline:
            log = lab.logs / f"{name}.log"
            lines = log.read_text(errors="replace").strip().splitlines()
            raise LabError(
                f"the lab's part {name} did not start", why=lines[-1] if lines else "it said nothing", hint=f"see {log}"
            )
        time.sleep(0.05)


def _answers(port: int, *, http: bool) -> bool:
    if not http:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/moto-api/", timeout=5):
            return True
    except HTTPError:
        return True
    except (URLError, OSError):
        return False


def is_up(lab: Lab) -> bool:
    """Whether every part and every control plane has a process."""
    return lab.file.exists() and all(status(lab).values())


def status(lab: Lab) -> dict[str, bool]:
    """Part or control plane -> whether its process lives. Empty when there is no lab."""
    if not lab.file.exists():
        return {}
    lines = [" ".join(_command_line(process)) for process in lab.processes()]
    parts = {name: any(f"-m {module} " in line for line in lines) for name, (module, _) in PARTS.items()}
    home = str(lab.root / "kwok" / "clusters")
    planes = {
        plane.name: any("kube-apiserver" in line and f"{home}/{plane.name}/" in line for line in lines)
        for plane in clusters.PLANES
    }
    return parts | planes


def down(lab: Lab) -> None:
    """End every process of the lab and remove its folder."""
    processes = list(lab.processes())
    # first those that have children of their own to end
    for process in [p for p in processes if "meshctl.lab" in " ".join(_command_line(p))]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs([p for p in processes if "meshctl.lab" in " ".join(_command_line(p))], timeout=END_TIMEOUT_S)
    for process in list(lab.processes()):
        _end(process)
    psutil.wait_procs(processes, timeout=END_TIMEOUT_S)
    _remove(lab.root)


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def _end(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.kill()


def _remove(root: Path) -> None:
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():  # a process wrote a last line between
        shutil.rmtree(root)
