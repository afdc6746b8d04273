"""One control plane, object stores, a plain AWS API, pods and network: what the tests of real-process pods need."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import boto3
import psutil
import pytest
import yaml

from meshctl import tools
from meshctl.lab import clusters, stores
from meshctl.lab.pods import addresses
from meshctl.lab.state import Lab
from tests.waiting import COMMAND_S, end, wait_until

Result = TypeVar("Result")
PLANE = clusters.Plane("cw", "coreweave", "US-EAST-04A")
BUCKET = "mesh-data"
STORE_ENV = [
    {"name": "AWS_ACCESS_KEY_ID", "valueFrom": {"secretKeyRef": {"name": "store", "key": "id"}}},
    {"name": "AWS_SECRET_ACCESS_KEY", "valueFrom": {"secretKeyRef": {"name": "store", "key": "secret"}}},
]


@dataclass
class Twin:
    """A small lab. `wait` polls until the function returns something true."""

    lab: Lab
    ports: dict[str, int]
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.lab.root

    @property
    def store_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['store_cw']}"

    def start(self, name: str, *command: str) -> None:
        with (self.root / "logs" / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )

    def start_part(self, name: str) -> None:
        self.start(name, f"meshctl.lab.{name}", "--lab", str(self.root))

    def kubectl(self, *arguments: str, text: str | None = None, check: bool = True) -> str:
        command = [str(tools.find("kubectl")), "--kubeconfig", str(clusters.kubeconfig_of(self.lab, PLANE)), *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=COMMAND_S)
        if check and done.returncode:
            raise AssertionError(done.stderr)
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def get(self, *arguments: str) -> dict[str, Any]:
        found = self.kubectl("get", *arguments, "-o", "json", check=False)
        return dict(json.loads(found)) if found else {}

    def pods(self, selector: str) -> list[dict[str, Any]]:
        return list(self.get("pods", "-l", selector).get("items", []))

    def ready(self, selector: str, count: int) -> list[dict[str, Any]]:
        """Exactly `count` pods, all Ready and none on its way out."""

        def look() -> list[dict[str, Any]]:
            found = self.pods(selector)
            return found if len(found) == count and all(is_ready(pod) for pod in found) else []

        return wait_until(look)

    def log(self, pod: dict[str, Any], container: str = "main") -> str:
        path = self.root / "pods" / pod["metadata"]["uid"] / f"{container}.log"
        return path.read_text() if path.exists() else ""

    def s3(self) -> Any:
        keys = stores.keys(self.root, "cw")
        session = boto3.Session(keys.access_key, keys.secret_key, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.store_url)

    def http(self, pod: dict[str, Any], path: str) -> dict[str, Any]:
        address = addresses.read(self.root)[pod["status"]["podIP"]]
        with urllib.request.urlopen(f"http://{address}:8000{path}", timeout=5) as response:
            return dict(json.load(response))


def is_ready(pod: dict[str, Any]) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp")


def container(image: str, **fields: Any) -> dict[str, Any]:
    return {"name": "main", "image": image, **fields}


def pod(name: str, *containers: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": list(containers), **spec}}


def shell(script: str, **fields: Any) -> dict[str, Any]:
    """A container of a known image that runs a shell."""
    return container("rclone/rclone:1.75", command=["sh", "-c", script], **fields)


def chat(name: str, replicas: int) -> list[dict[str, Any]]:
    """An inference Deployment whose weights are staged from the store, and its load balancer."""
    rclone = {"RCLONE_S3_PROVIDER": "Other", "RCLONE_S3_ENV_AUTH": "true", "RCLONE_S3_ENDPOINT": "$(ENDPOINT)"}
    models = {"name": "models", "mountPath": "/models-of-the-pod"}
    probe = {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1}
    stage = {
        "name": "stage",
        "image": "rclone/rclone:1.75",
        "args": ["copy", f":s3:{BUCKET}/weights", models["mountPath"]],
        "env": [*STORE_ENV, ENDPOINT, *({"name": key, "value": value} for key, value in rclone.items())],
        "volumeMounts": [models],
    }
    serve = container(
        "vllm/vllm-openai:v0.11.0",
        args=["--model", f"{models['mountPath']}/llama"],
        ports=[{"name": "http", "containerPort": 8000}],
        env=[{"name": "MESH_ENVIRONMENT", "value": "cw"}, {"name": "MESH_POOL", "value": "serve"}],
        startupProbe={**probe, "failureThreshold": 60},
        readinessProbe=probe,
        volumeMounts=[{**models, "readOnly": True}],
        lifecycle={"preStop": {"sleep": {"seconds": 10}}},  # as meshctl's own: endpoints take a while to change
    )
    spec = {"initContainers": [stage], "containers": [serve], "volumes": [{"name": "models", "emptyDir": {}}]}
    selector = {"matchLabels": {"app": name}}
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    return [
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name},
            "spec": {"replicas": replicas, "selector": selector, "template": template},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name},
            "spec": {"type": "LoadBalancer", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": "http"}]},
        },
    ]


ENDPOINT = {"name": "ENDPOINT", "valueFrom": {"configMapKeyRef": {"name": "store", "key": "endpoint"}}}


def node(name: str) -> dict[str, Any]:
    metadata = {"name": name, "annotations": {"kwok.x-k8s.io/node": "fake"}, "labels": {"kubernetes.io/hostname": name}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {}}


def up(twin: Twin) -> None:
    """Start every part, and return when all of them answer."""
    lab, root, ports = twin.lab, twin.root, twin.ports
    (root / "logs").mkdir(parents=True)
    entry = {
        "provider": PLANE.provider,
        "region": PLANE.region,
        "context": "",
        "kubeconfig": str(clusters.kubeconfig_of(lab, PLANE)),
    }
    lab.write({"ports": ports, "clusters": {PLANE.name: entry}})
    for part in ("stores", "pods", "network"):
        twin.start_part(part)
    twin.start("aws", "moto.server", "-H", "127.0.0.1", "-p", str(ports["aws"]))
    twin.processes["supervisor"] = clusters.start(lab, PLANE, ports)
    wait_until(lambda: stores.healthy(ports["store_cw"]))
    wait_until(lambda: all(listens(ports[name]) for name in ("aws", "dns")))
    prepare(twin)


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def prepare(twin: Twin) -> None:
    """A node, the store's keys in the cluster, weights in the store."""
    keys = stores.keys(twin.root, "cw")
    meta = {"name": "store"}
    secret = {"id": keys.access_key, "secret": keys.secret_key}
    twin.apply(
        node("n1"),
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": secret},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"endpoint": twin.store_url}},
    )
    capacity = {"cpu": "64", "memory": "512Gi", "pods": "110"}
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    status = {"status": {"allocatable": capacity, "capacity": capacity, "conditions": [ready]}}
    twin.kubectl("patch", "node", "n1", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    twin.s3().create_bucket(Bucket=BUCKET)
    for number in range(3):
        twin.s3().put_object(Bucket=BUCKET, Key=f"weights/llama/part-{number}", Body=bytes([number]) * 100_000)


def down(twin: Twin) -> None:
    for process in twin.processes.values():
        process.terminate()  # all at once
    for process in twin.processes.values():
        end(process)
    for left in list(twin.lab.processes()):
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    names = ["aws", "dns", "webhook", "store_cw", "store_dc1", f"apiserver_{PLANE.name}"]
    ports = dict(zip(names, stores.free_ports(len(names)), strict=True))
    made = Twin(Lab(tmp_path_factory.mktemp("lab")), ports)
    try:
        up(made)
        yield made
    finally:
        down(made)
