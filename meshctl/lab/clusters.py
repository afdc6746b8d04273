"""The lab's Kubernetes control planes: one for each environment, real, made by kwokctl with its binary runtime. EDGE.

A supervisor of its own (`supervisor`) starts a program of a control plane again when it ends. Called by `up`, and by
the lab's AWS API for EKS clusters. Control planes of EKS accept `k8s-aws-v1.` tokens through the lab's webhook
(`token_webhook`). One stands ready for the first EKS cluster that is created, later ones are started with their
clusters; `cw` and `dc1` are there from the start, as such clusters are.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import yaml

from meshctl import tools
from meshctl.errors import LabError
from meshctl.lab import supervisor
from meshctl.lab.images import foreign_registries
from meshctl.lab.pods.kubelet import Kubelet
from meshctl.lab.restarts import Ending, ending_from
from meshctl.lab.state import Lab, read_list, wait_ended, write_atomically
from meshctl.lab.stores import free_ports

START_TIMEOUT_S = 120
END_TIMEOUT_S = 10
# There is one of each, so nobody to elect, and a machine that is busy or asleep for some time must not cost it its
# lease: it would exit. Without election a controller manager gives an API server only 10 s to start; the supervisor
# starts it again once the API server is ready.
_NO_ELECTION = {"leader-elect": "false"}
_EXTRA_ARGUMENTS = {
    "etcd": {"unsafe-no-fsync": "true"},  # data that is worth a lab's life
    "kube-controller-manager": {"node-monitor-grace-period": "24h", **_NO_ELECTION},
    "kube-scheduler": _NO_ELECTION,
}
_KUBELET_OPTION = "node-port"  # of kwok, which has each node name it as that of its kubelet
_PORT_OPTIONS = ("etcdPort", "etcdPeerPort", "kubeControllerManagerPort", "kubeSchedulerPort", "kwokControllerPort")
PROGRAMS = ("kwokctl", "kwok", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")


@dataclass(frozen=True)
class Plane:
    """One control plane. `provider` is the platform that the lab's controllers play in it."""

    name: str
    provider: str
    region: str


PLANES = (
    Plane("aws-east", "eks", "us-east-1"),
    Plane("cw", "coreweave", "US-EAST-04A"),
    Plane("dc1", "onprem", "dc1"),
)


def home(lab: Lab, name: str) -> Path:
    """Where kwokctl keeps a control plane: programs, data, logs, process ids."""
    return lab.root / "kwok" / "clusters" / name


def kubeconfig_of(lab: Lab, plane: Plane) -> Path:
    """The administrator's kubeconfig: for the lab's own parts."""
    return folder_of(lab, plane.name) / "kubeconfig"


def start(lab: Lab, plane: Plane, ports: dict[str, int]) -> subprocess.Popen[bytes]:
    """Start one control plane and wait until its API server answers. Returns its supervisor.

    Raises: LabError, ToolError.
    """
    folder = folder_of(lab, plane.name)
    folder.mkdir(parents=True, exist_ok=True)
    keys = home(lab, plane.name) / "pki"  # kwokctl makes them before anything runs
    asked_for_logs = Kubelet(free_ports(1)[0], str(keys / "admin.crt"), str(keys / "admin.key"))
    asked_for_logs.write(folder)
    config = folder / "kwokctl.yaml"
    config.write_text(_configuration(lab, plane, ports, asked_for_logs))
    command = [str(tools.find("kwokctl")), "create", "cluster", "--name", plane.name, "--config", str(config)]
    command += ["--kubeconfig", str(kubeconfig_of(lab, plane)), "--wait", f"{START_TIMEOUT_S}s"]
    process = _supervise(lab, plane.name, command)
    _wait_ready(lab, plane.name, process)
    return process


def revive(lab: Lab, name: str) -> None:
    """Start the programs of a control plane that was there; its data is kept. Raises: LabError."""
    if _is_at_it(lab, name):
        _wait_ready(lab, name)
        return
    _end_processes(lab, name)
    (folder_of(lab, name) / supervisor.ENDED).unlink(missing_ok=True)  # another try has all its starts again
    _wait_ready(lab, name, _supervise(lab, name, ()))


def _is_at_it(lab: Lab, name: str) -> bool:
    """Whether the supervisor is about to start what ended."""
    given_up = any(not each.restarted for each in endings(lab, name))
    return not given_up and "supervisor" not in dead(lab, name, {process.pid for process in lab.processes()})


def _supervise(lab: Lab, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
    folder = folder_of(lab, name)
    arguments = ["--home", str(home(lab, name)), "--folder", str(folder), "--", *command]
    environment = {
        **lab.environment(),
        "KWOK_WORKDIR": str(lab.root / "kwok"),
        "KUBECONFIG": str(folder / "kubeconfig"),
    }
    with _log(lab, name).open("ab") as log:
        # run in its own folder: programs that get no absolute path would write into the user's
        process = subprocess.Popen(
            [sys.executable, "-m", "meshctl.lab.supervisor", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    write_atomically(folder / "supervisor.pid", str(process.pid))
    return process


def _wait_ready(lab: Lab, name: str, process: subprocess.Popen[bytes] | None = None) -> None:
    """Until kwokctl is done, every program lives and the API server is ready. `process`: the supervisor.

    Raises: LabError.
    """
    deadline = time.monotonic() + 2 * START_TIMEOUT_S
    while not _is_ready(lab, name):
        given_up = [each for each in endings(lab, name) if not each.restarted]
        ended = process is not None and process.poll() is not None
        if given_up or ended or time.monotonic() > deadline:
            raise _not_started(lab, name, given_up)
        time.sleep(0.2)


def _not_started(lab: Lab, name: str, given_up: Sequence[Ending]) -> LabError:
    log, why = _log(lab, name), f"not ready within {2 * START_TIMEOUT_S} s"
    if lines := log.read_text().strip().splitlines():
        why = lines[-1]
    for each in given_up[-1:]:
        log, why = Path(each.log), f"{each.program}, {each.how}: {each.last_words}"
    hint = f"see {log}; `meshctl doctor` checks the programs"
    return LabError(f"the control plane {name} did not start", why=why, hint=hint)


def _is_ready(lab: Lab, name: str) -> bool:
    if not (folder_of(lab, name) / supervisor.CREATED).exists():
        return False
    if not alive(lab, name, {process.pid for process in lab.processes()}):
        return False
    return supervisor.answers(supervisor.programs_of(home(lab, name))["kube-apiserver"])


def alive(lab: Lab, name: str, living: Container[int]) -> bool:
    """Whether the control plane's programs and their supervisor are among the lab's living process ids."""
    return not dead(lab, name, living)


def dead(lab: Lab, name: str, living: Container[int]) -> list[str]:
    """The programs of a control plane that do not live; "supervisor" is one."""
    pids = _pids(lab, name)
    if set(pids) <= {"supervisor"}:
        return ["kwokctl"]  # it did not come so far as to start any
    return sorted(program for program, pid in pids.items() if pid not in living)


def endings(lab: Lab, name: str) -> list[Ending]:
    """Each end of one of its programs, the last one last."""
    return [ending_from(each) for each in read_list(folder_of(lab, name) / supervisor.ENDED)]


def end(lab: Lab, name: str) -> None:
    """End a control plane; nothing of it is left."""
    _end_processes(lab, name)
    shutil.rmtree(home(lab, name), ignore_errors=True)
    shutil.rmtree(folder_of(lab, name), ignore_errors=True)


def _end_processes(lab: Lab, name: str) -> None:
    """The supervisor first: it would start again what ends."""
    pids = _pids(lab, name)
    own = {process.pid: process for process in lab.processes()}
    for programs in (["supervisor"], [program for program in pids if program != "supervisor"]):
        ending = [own[pids[program]] for program in programs if pids.get(program) in own]
        for process in ending:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_ended(ending, END_TIMEOUT_S)
        pids = _pids(lab, name)
        own = {process.pid: process for process in lab.processes()}


def folder_of(lab: Lab, name: str) -> Path:
    """What the lab itself writes about a control plane."""
    return lab.root / "clusters" / name


def log_of(lab: Lab, name: str, program: str) -> Path:
    """The log of one program, all its lives in it."""
    if program in {"kwokctl", "supervisor"}:
        return _log(lab, name)
    return home(lab, name) / "logs" / f"{program}.log"


def _log(lab: Lab, name: str) -> Path:
    return lab.logs / f"kwokctl-{name}.log"


def _pids(lab: Lab, name: str) -> dict[str, int]:
    """Program -> its process id; without those whose file is just being written."""
    files = [*(home(lab, name) / "pids").glob("*.pid"), folder_of(lab, name) / "supervisor.pid"]
    texts = {file.stem: file.read_text().strip() for file in files if file.exists()}
    return {program: int(text) for program, text in texts.items() if text.isdigit()}


def _configuration(lab: Lab, plane: Plane, ports: dict[str, int], kubelet: Kubelet) -> str:
    programs = {name: str(tools.find(name)) for name in PROGRAMS}
    options: dict[str, Any] = {
        "runtime": "binary",
        "kubeApiserverPort": ports[f"apiserver_{plane.name}"],
        # kwokctl looks for free ports by itself, but two that start at once may find the same: planes with one etcd
        **dict(zip(_PORT_OPTIONS, free_ports(len(_PORT_OPTIONS)), strict=True)),
        "etcdBinary": programs["etcd"],
        "kubeApiserverBinary": programs["kube-apiserver"],
        "kubeControllerManagerBinary": programs["kube-controller-manager"],
        "kubeSchedulerBinary": programs["kube-scheduler"],
        "kwokControllerBinary": programs["kwok"],
        "kubectlBinary": programs["kubectl"],
        "kubeAuthorization": True,
        "kubeAdmission": True,
        "disableQPSLimits": True,
    }
    arguments = {**_EXTRA_ARGUMENTS, "kwok-controller": {_KUBELET_OPTION: str(kubelet.port)}}
    if plane.provider == "eks":
        webhook = _webhook_configuration(lab, plane, ports["webhook"])
        arguments["kube-apiserver"] = {
            "authentication-token-webhook-config-file": str(webhook),
            "authentication-token-webhook-version": "v1",
            "authentication-token-webhook-cache-ttl": "2s",
        }
    document = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": options,
        "componentsPatches": [
            {"name": name, "extraArgs": [{"key": key, "value": value} for key, value in extra.items()]}
            for name, extra in arguments.items()
        ],
    }
    stages = resources.files(__package__).joinpath("stages.yaml").read_text()
    return f"{yaml.safe_dump(document)}---\n{_with_images(stages, plane.region)}"


def _with_images(stages: str, region: str) -> str:
    documents = list(yaml.safe_load_all(stages))
    for document in documents:
        for expression in document["spec"]["selector"]["matchExpressions"]:
            if expression["key"] == "IMAGES_OF_THE_LAB":
                expression["key"] = foreign_registries.jq_of_the_lab(region)
    return yaml.safe_dump_all(documents)


def _webhook_configuration(lab: Lab, plane: Plane, port: int) -> Path:
    path = folder_of(lab, plane.name) / "token-webhook.yaml"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{port}/token/{plane.name}"}}],
        "users": [{"name": "apiserver", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "apiserver"}}],
        "current-context": "lab",
    }
    write_atomically(path, yaml.safe_dump(document))
    return path


def write_user_kubeconfig(lab: Lab) -> None:
    """`<root>/kubeconfig`: the contexts `cw` and `dc1`, as a user has them for clusters that were there before."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "clusters": [], "users": [], "contexts": []}
    for plane in PLANES:
        if plane.provider == "eks":
            continue
        config = yaml.safe_load(kubeconfig_of(lab, plane).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        merged["clusters"].append({"name": plane.name, "cluster": cluster})
        merged["users"].append({"name": plane.name, "user": user})
        merged["contexts"].append({"name": plane.name, "context": {"cluster": plane.name, "user": plane.name}})
    merged["current-context"] = "cw"
    write_atomically(lab.kubeconfig, yaml.safe_dump(merged, sort_keys=False), 0o600)


def entry(lab: Lab, plane: Plane, extras: Iterable[str] = ()) -> dict[str, str]:
    """What lab.json says of a cluster. `extras`: what it runs beside the usual parts, `kueue` for instance."""
    kubeconfig = str(kubeconfig_of(lab, plane))
    values = {"provider": plane.provider, "region": plane.region, "kubeconfig": kubeconfig, "context": ""}
    return {**values, **dict.fromkeys(extras, "yes")}
