"""A real Kubernetes API server on loopback, with its controllers and simulated nodes, for the tests in this folder's
parent.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import secrets
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from meshctl import tools
from meshctl.lab.network.ports import free_ports

START_S = 60.0


@dataclass
class ControlPlane:
    """`kubeconfig`: a file with an administrator's token; `root`: logs and data."""

    root: Path
    url: str
    token: str
    authority: Path

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    def config(self, *, token: str | None = None, user: dict[str, object] | None = None) -> dict[str, object]:
        ca = base64.b64encode(self.authority.read_bytes()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "c", "cluster": {"server": self.url, "certificate-authority-data": ca}}],
            "users": [{"name": "u", "user": user or {"token": token or self.token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }

    def call(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Any:
        request = urllib.request.Request(  # noqa: S310 (our own server)
            self.url + path,
            data=None if body is None else json.dumps(body).encode(),
            method=method,
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type},
        )
        context = ssl.create_default_context(cafile=str(self.authority))
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:  # noqa: S310
            return dict(json.loads(answer.read() or b"{}"))


@contextlib.contextmanager
def running(root: Path, *, node_names: tuple[str, ...] = ("gd-0",)) -> Iterator[ControlPlane]:
    """etcd, kube-apiserver, kube-controller-manager and kwok until the block ends."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        plane = _start_api(root, started)
        _wait(plane, started, lambda: plane.call("GET", "/api/v1/namespaces/default"))
        _start_controllers(plane, started)
        _wait(plane, started, lambda: plane.call("GET", "/api/v1/namespaces/default/serviceaccounts/default"))
        for name in node_names:
            plane.call("POST", "/api/v1/nodes", _node(name))
        yield plane
    finally:
        for process in reversed(started):  # nothing here is worth an orderly end, which takes ten seconds
            process.kill()
            process.wait(START_S)


def _node(name: str) -> dict[str, object]:
    meta = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"type": "kwok"}}
    size = {"cpu": "128", "memory": "2Ti", "pods": "110", "nvidia.com/gpu": "8"}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": {"allocatable": size, "capacity": size}}


def _run(root: Path, started: list[subprocess.Popen[bytes]], name: str, *arguments: str) -> None:
    with (root / f"{name}.log").open("wb") as log:
        command = [str(tools.find(name)), *arguments]
        started.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=root, start_new_session=True))


def _start_api(root: Path, started: list[subprocess.Popen[bytes]]) -> ControlPlane:
    root.mkdir(parents=True, exist_ok=True)
    client, peer, port = free_ports(3)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(root / "ca.crt"))
    authority.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(root / "server.pem")
    )
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (root / "sa.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    token = secrets.token_hex(16)
    (root / "tokens.csv").write_text(f"{token},admin,1,system:masters\n")
    plane = ControlPlane(root, f"https://127.0.0.1:{port}", token, root / "ca.crt")
    plane.kubeconfig.write_text(yaml.safe_dump(plane.config()))
    _run(
        root, started,
        "etcd", f"--data-dir={root / 'etcd'}", f"--listen-client-urls=http://127.0.0.1:{client}",
        f"--advertise-client-urls=http://127.0.0.1:{client}", f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}", f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--unsafe-no-fsync",
    )  # fmt: skip
    _run(
        root, started,
        "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{client}", "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1", f"--secure-port={port}", f"--tls-cert-file={root / 'server.pem'}",
        f"--tls-private-key-file={root / 'server.pem'}", f"--service-account-key-file={root / 'sa.key'}",
        f"--service-account-signing-key-file={root / 'sa.key'}", "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={root / 'tokens.csv'}", "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24", "--endpoint-reconciler-type=none",
        "--disable-admission-plugins=ServiceAccount",
    )  # fmt: skip
    return plane


def _start_controllers(plane: ControlPlane, started: list[subprocess.Popen[bytes]]) -> None:
    """Once the API answers: the controller manager waits 10 s for it, kwok a few tries."""
    _run(
        plane.root, started,
        "kube-controller-manager", f"--kubeconfig={plane.kubeconfig}", "--secure-port=0",
        "--leader-elect=false", "--use-service-account-credentials=false",
        "--controllers=*,-node-lifecycle-controller",  # a slow machine must not make nodes look dead
    )  # fmt: skip
    server = f"--server-address=127.0.0.1:{free_ports(1)[0]}"
    _run(plane.root, started, "kwok", f"--kubeconfig={plane.kubeconfig}", "--manage-all-nodes=true", server)


def _wait(plane: ControlPlane, started: list[subprocess.Popen[bytes]], answers: Callable[[], object]) -> None:
    """Until the call gets an answer. Raises: RuntimeError with the logs when a program ended, or after `START_S`."""
    deadline = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError, ValueError):
            answers()
            return
        ended = [process.args for process in started if process.poll() is not None]
        if ended or time.monotonic() > deadline:
            logs = "\n".join(path.read_text(errors="replace")[-600:] for path in sorted(plane.root.glob("*.log")))
            raise RuntimeError(f"the control plane did not start; ended: {ended}\n{logs}")
        time.sleep(0.1)


def pulumi_environment(home: Path) -> dict[str, str]:
    """What `pulumi` runs with: a state of its own, no network."""
    state = home / "state"
    state.mkdir(parents=True, exist_ok=True)
    return {
        **os.environ,
        "PULUMI_HOME": str(home / "home"),
        "PULUMI_BACKEND_URL": f"file://{state}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": "test",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
