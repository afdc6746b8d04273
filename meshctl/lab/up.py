"""Starts and ends a lab. EDGE.

Called by `meshctl.cli.lab`. `up` on a lab that is up does nothing; where parts of it ended it starts those again; one
that crashed, or lost its AWS API and with it all that was made there, is cleaned and started anew on the same ports.
`down` leaves no process and no file behind.
"""

from __future__ import annotations

import contextlib
import functools
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError, URLError

import psutil

from meshctl import tools
from meshctl.errors import LabError
from meshctl.lab import clusters, environment, stores
from meshctl.lab.network.ports import free_ports
from meshctl.lab.parts import PARTS, PartState, command_line, states
from meshctl.lab.restarts import last_words
from meshctl.lab.state import ACCOUNT, READY_FOLDER, Lab, lives, read_json, ready_files, wait_ended, write_atomically
from meshctl.lab.webhooks import group_controller, kueue_controller
from meshctl.lab.webhooks.real_controllers import Controller

Say = Callable[[str], None]
READY_TIMEOUT_S = 180  # a part takes some seconds; on a machine with much else to do it took more than 60
END_TIMEOUT_S = 10
STARTED = "started"  # a file that says that this lab was up once
PORTS = ("aws", "dns", "webhook", "store_cw", "store_dc1", *(f"apiserver_{plane.name}" for plane in clusters.PLANES))


@dataclass(frozen=True)
class Extra:
    """What some clusters of the lab run beside the usual parts. `key`: of their entries in lab.json. `controller`: None
    where the lab plays it, as one of its own controllers."""

    key: str
    controller: Controller | None
    option: str
    words: str


EXTRAS: Final = (
    Extra("group_controller", group_controller.CONTROLLER, "--group-controller", "a controller of groups"),
    Extra("kueue", kueue_controller.CONTROLLER, "--kueue", "Kueue"),
    Extra("kai", None, "--kai", "KAI Scheduler"),
)
Wanted = dict[str, Sequence[str]]  # the key of an extra -> clusters


def up(
    lab: Lab,
    say: Say,
    group_controllers: Sequence[str] = (),
    kueue: Sequence[str] = (),
    kai: Sequence[str] = (),
) -> dict[str, Any]:
    """Start the lab; returns lab.json. `group_controllers`: the clusters that get the controller of LeaderWorkerSets,
    `kueue`: those that get Kueue, `kai`: those where KAI Scheduler is played.

    Raises: LabError, ToolError.
    """
    wanted: Wanted = {"group_controller": group_controllers, "kueue": kueue, "kai": kai}
    with lab.exclusively():
        _refuse_other_controllers(lab, wanted)
        if is_up(lab):
            say(f"the lab is up already ({lab.root})")
            return lab.read()
        for program in (*clusters.PROGRAMS, *_programs(wanted)):
            tools.find(program)  # says at once what is missing
        dead = [state for state in states(lab) if not state.up]
        if _can_be_mended(lab, dead):
            _mend(lab, dead, say)
            return lab.read()
        before: dict[str, int] = read_json(lab.file).get("ports", {})
        if _has_other_files(lab, ACCOUNT):
            say("cleaning up after a lab that did not end well")
            _clean(lab, staying=(ACCOUNT,))
        began = time.monotonic()
        try:
            _start(lab, _ports(before, wanted), say, wanted)
        except BaseException:
            say("the lab did not start; ending what did")
            _end(lab)
            raise
        say(f"the lab is up after {time.monotonic() - began:.1f} s")
        return lab.read()


def _programs(wanted: Wanted) -> list[str]:
    """Those of the extras."""
    return [extra.controller.program for extra in EXTRAS if extra.controller is not None and wanted[extra.key]]


def down(lab: Lab) -> None:
    """End every process of the lab and remove its folder. Raises: LabError for a folder that isn't a lab's."""
    if not lab.root.exists():
        _end(lab)  # whoever removed the folder left them
        return
    with lab.exclusively():
        _clean(lab)
        with contextlib.suppress(FileNotFoundError):
            lab.root.rmdir()


def is_up(lab: Lab) -> bool:
    """Whether every part and every control plane has its processes."""
    parts = states(lab)
    return bool(parts) and all(state.up for state in parts)


def _refuse_other_controllers(lab: Lab, wanted: Wanted) -> None:
    """What a lab has beyond the usual parts is decided when it starts."""
    entries = read_json(lab.file).get("clusters", {})
    arguments = " ".join(f"{extra.option} {name}" for extra in EXTRAS for name in wanted[extra.key])
    for extra in EXTRAS:
        missing = [name for name in wanted[extra.key] if name in entries and not entries[name].get(extra.key)]
        if missing and (lab.root / STARTED).exists():
            raise LabError(
                f"the lab was started without {extra.words} on {', '.join(missing)}",
                why="that is decided when a lab starts",
                hint=f"meshctl lab down && meshctl lab up {arguments}",
            )


def _can_be_mended(lab: Lab, dead: list[PartState]) -> bool:
    """Whether what still runs is worth keeping: not where the AWS API ended, which keeps everything in memory."""
    return (lab.root / STARTED).exists() and "aws" not in {state.name for state in dead}


def _mend(lab: Lab, dead: list[PartState], say: Say) -> None:
    """Start again what ended, and no more. Raises: LabError."""
    ports = lab.read()["ports"]
    for state in dead:
        say(f"starting {state.name} again: {'; '.join(map(str, state.dead))}")
        if state.name in PARTS:
            _wait_answers(lab, state.name, start_part(lab, state.name), ports)
        else:
            clusters.revive(lab, state.name)
    say("the lab is up again")


def _ports(before: dict[str, int], wanted: Wanted) -> dict[str, int]:
    """Those of the lab that was here, as far as nobody took them."""
    real = [(extra.controller, wanted.get(extra.key, ())) for extra in EXTRAS if extra.controller is not None]
    of_extras = [controller.port_name(name) for controller, names in real for name in names]
    names = (*PORTS, *of_extras)
    ports = {name: port for name, port in before.items() if name in names and _can_listen(port)}
    missing = [name for name in names if name not in ports]
    return ports | dict(zip(missing, free_ports(len(missing)), strict=True))


def _can_listen(port: int) -> bool:
    """As servers see it: connections that have ended a moment ago are no obstacle."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _start(lab: Lab, ports: dict[str, int], say: Say, wanted: Wanted) -> None:
    entries = {
        plane.name: clusters.entry(lab, plane, [extra.key for extra in EXTRAS if plane.name in wanted[extra.key]])
        for plane in clusters.PLANES
    }
    lab.write({"ports": ports, "clusters": entries})
    lab.logs.mkdir(parents=True)
    environment.write_aws_files(lab, ports)
    with ThreadPoolExecutor(max_workers=len(clusters.PLANES)) as pool:
        say(f"control planes: {', '.join(plane.name for plane in clusters.PLANES)}")
        planes = [pool.submit(clusters.start, lab, plane, ports) for plane in clusters.PLANES]
        say("AWS API, object stores, controllers, load balancers, DNS, pods")
        processes = {name: start_part(lab, name) for name in PARTS}
        for plane in planes:
            plane.result()
    clusters.write_user_kubeconfig(lab)
    for name in PARTS:
        _wait_answers(lab, name, processes[name], ports)
    say("platforms: nodes, storage classes, custom resources")
    for name in entries:
        platform, *of_extras = ready_files(name)
        files = [file for extra, file in zip(EXTRAS, of_extras, strict=True) if name in wanted[extra.key]]
        for file in (platform, *files):
            _wait(lab, "controllers", processes["controllers"], (lab.root / READY_FOLDER / file).exists)
    write_atomically(lab.root / STARTED, "")


def start_part(lab: Lab, name: str) -> subprocess.Popen[bytes]:
    """Start one part as a process of its own; its log is `<root>/logs/<name>.log`."""
    module, _ = PARTS[name]
    command = [sys.executable, "-m", module, "--lab", str(lab.root)]
    if name == "aws":
        command += ["--port", str(lab.read()["ports"]["aws"])]
    with (lab.logs / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=lab.root,
            env=lab.environment(),
            start_new_session=True,
        )


def _wait_answers(lab: Lab, name: str, process: subprocess.Popen[bytes], ports: dict[str, int]) -> None:
    _, port = PARTS[name]
    if port:
        _wait(lab, name, process, functools.partial(_answers, ports[port], http=name == "aws"))


def _wait(lab: Lab, name: str, process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > deadline:
            log = lab.logs / f"{name}.log"
            raise LabError(
                f"the lab's part {name} {'ended' if ended else f'was not ready within {READY_TIMEOUT_S} s'}",
                why=last_words(log.read_text(errors="replace")) or "it said nothing",
                hint=f"see {log}",
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
    except HTTPError as error:
        error.close()
        return True
    except (URLError, OSError):
        return False


def _has_other_files(lab: Lab, *names: str) -> bool:
    return any(entry.name not in names for entry in lab.root.iterdir())


def _clean(lab: Lab, *, staying: Sequence[str] = ()) -> None:
    """End what runs, remove what lies in the folder but for `staying`; `lab.json`, which says that this is a lab, at
    last."""
    if _has_other_files(lab, ACCOUNT) and not lab.file.exists():
        raise LabError(
            "this folder is not a lab's", why=f"{lab.root} has files but no lab.json", hint="set MESHCTL_LAB_ROOT"
        )
    # first those that have children of their own to end, or would start again what ends
    parts = {"meshctl.lab.supervisor", *(module for module, _ in PARTS.values())}
    ending = [process for process in lab.processes() if parts & set(command_line(process))]
    for process in ending:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    wait_ended(ending, END_TIMEOUT_S)
    _end(lab)
    stores.remove_sockets(lab.root)
    for entry in list(lab.root.iterdir()):
        if entry != lab.file and entry.name not in staying:
            _remove(entry)
    lab.file.unlink(missing_ok=True)


def _end(lab: Lab) -> None:
    """Kill until there is nothing to kill: what was just starting may have started something else meanwhile."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while (killed := [process for process in lab.processes() if lives(process)]) and time.monotonic() < deadline:
        for process in killed:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_ended(killed, max(0.0, deadline - time.monotonic()))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
