"""The lab's Kubernetes control planes: one for each environment, real, started by kwokctl with its binary runtime.
EDGE.

Called by `up`, and by the lab's AWS API for EKS clusters. Control planes of EKS accept `k8s-aws-v1.` tokens through the
lab's webhook (`token_webhook`). One stands ready for the first EKS cluster that is created, later ones are started with
their clusters; `cw` and `dc1` are there from the start, as such clusters are.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Container
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import psutil
import yaml

from meshctl import tools
from meshctl.errors import LabError
from meshctl.lab import images
from meshctl.lab.state import Lab, wait_ended, write_whole
from meshctl.lab.stores import free_ports

START_TIMEOUT_S = 120
END_TIMEOUT_S = 10
# A laptop that sleeps, or a disk that is busy for some seconds, must not cost a component its lease: it would exit, and
# nothing starts it again. Election stays on: without it a controller manager gives an API server only 10 s to start.
_PATIENT = {"leader-elect-lease-duration": "120s", "leader-elect-renew-deadline": "100s"}
_EXTRA_ARGUMENTS = {
    "etcd": {"unsafe-no-fsync": "true"},  # data that is worth a lab's life
    "kube-controller-manager": {"node-monitor-grace-period": "24h", **_PATIENT},
    "kube-scheduler": _PATIENT,
}
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
    return lab.root / "clusters" / plane.name / "kubeconfig"


def start(lab: Lab, plane: Plane, ports: dict[str, int]) -> None:
    """Start one control plane and wait until its API server answers. Raises: LabError, ToolError."""
    folder = lab.root / "clusters" / plane.name
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "kwokctl.yaml"
    config.write_text(_configuration(lab, plane, ports))
    command = [str(tools.find("kwokctl")), "create", "cluster", "--name", plane.name, "--config", str(config)]
    command += ["--kubeconfig", str(kubeconfig_of(lab, plane)), "--wait", f"{START_TIMEOUT_S}s"]
    # started from its own folder: components that get no absolute path would write into the user's
    environment = {
        **lab.environment(),
        "KWOK_WORKDIR": str(lab.root / "kwok"),
        "KUBECONFIG": str(kubeconfig_of(lab, plane)),
    }
    log = lab.logs / f"kwokctl-{plane.name}.log"
    with log.open("w") as stream:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL, check=False
        )
    # kwokctl ends with 0 too when what it waited for did not come
    if done.returncode != 0 or not alive(lab, plane.name, {process.pid for process in lab.processes()}):
        lines = log.read_text().strip().splitlines()
        raise LabError(
            f"the control plane {plane.name} did not start",
            why=lines[-1] if lines else f"exit code {done.returncode}",
            hint=f"see {log}; `meshctl doctor` checks the programs",
        )


def alive(lab: Lab, name: str, living: Container[int]) -> bool:
    """Whether each of the control plane's programs is among the lab's living process ids."""
    pids = _pids(lab, name)
    return bool(pids) and all(pid in living for pid in pids)


def end(lab: Lab, name: str) -> None:
    """End a control plane; nothing of it is left."""
    pids = _pids(lab, name)
    processes = [process for process in lab.processes() if process.pid in pids]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_ended(processes, END_TIMEOUT_S)
    shutil.rmtree(home(lab, name), ignore_errors=True)
    shutil.rmtree(lab.root / "clusters" / name, ignore_errors=True)


def _pids(lab: Lab, name: str) -> set[int]:
    return {int(file.read_text()) for file in (home(lab, name) / "pids").glob("*.pid")}


def _configuration(lab: Lab, plane: Plane, ports: dict[str, int]) -> str:
    found = {name: str(tools.find(name)) for name in PROGRAMS}
    options: dict[str, Any] = {
        "runtime": "binary",
        "kubeApiserverPort": ports[f"apiserver_{plane.name}"],
        # kwokctl looks for free ports by itself, but two that start at once may find the same: planes with one etcd
        **dict(zip(_PORT_OPTIONS, free_ports(len(_PORT_OPTIONS)), strict=True)),
        "etcdBinary": found["etcd"],
        "kubeApiserverBinary": found["kube-apiserver"],
        "kubeControllerManagerBinary": found["kube-controller-manager"],
        "kubeSchedulerBinary": found["kube-scheduler"],
        "kwokControllerBinary": found["kwok"],
        "kubectlBinary": found["kubectl"],
        "kubeAuthorization": True,
        "kubeAdmission": True,
        "disableQPSLimits": True,
    }
    arguments = dict(_EXTRA_ARGUMENTS)
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
    return f"{yaml.safe_dump(document)}---\n{_with_images(stages)}"


def _with_images(stages: str) -> str:
    documents = list(yaml.safe_load_all(stages))
    for document in documents:
        for expression in document["spec"]["selector"]["matchExpressions"]:
            if expression["key"] == "IMAGES_OF_THE_LAB":
                expression["key"] = images.JQ_ALL_KNOWN
    return yaml.safe_dump_all(documents)


def _webhook_configuration(lab: Lab, plane: Plane, port: int) -> Path:
    path = lab.root / "clusters" / plane.name / "token-webhook.yaml"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "lab", "cluster": {"server": f"http://127.0.0.1:{port}/token/{plane.name}"}}],
        "users": [{"name": "apiserver", "user": {}}],
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "apiserver"}}],
        "current-context": "lab",
    }
    write_whole(path, yaml.safe_dump(document))
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
    write_whole(lab.kubeconfig, yaml.safe_dump(merged, sort_keys=False), 0o600)


def entry(lab: Lab, plane: Plane) -> dict[str, str]:
    """What lab.json says of a cluster."""
    kubeconfig = str(kubeconfig_of(lab, plane))
    return {"provider": plane.provider, "region": plane.region, "kubeconfig": kubeconfig, "context": ""}
