"""A pool lends an idle node to a burst job, and gets it back: with the real Kueue, in a lab of its own that runs it."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.load import Load
from meshctl.lab.state import Lab
from meshctl.model.deployment import POOL_LABEL
from tests.faults.moved_mesh import ENVIRONMENTS
from tests.lab_fixture import RunningLab, command_line
from tests.preloaded import CommandLine
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

BURSTS = 20
# `pretrain` fills the pool of the trainers, so that `sweep` has no other place than the node that `serve` lends.
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: lent
pools:
  serve: {role: inference, nodes: 2, accelerator: {model: H100, count: 8}, lend: {upTo: 1}}
  train: {role: training, nodes: 1, accelerator: {model: H100, count: 8}}
storage:
  checkpoints: {kind: object, size: 1TiB}
  own: {kind: object, size: 1TiB}
workloads:
  chat:
    kind: inference
    pool: serve
    replicas: {min: 1, max: 2}
    image: vllm/vllm-openai:v0.11.0
    args: [--model, acme/tiny]  # the name of a hub's model: there is no bucket with weights to be filled first
    resources: {accelerators: 8}
    ports: {http: 8000}
    health: {path: /health, port: http}
  pretrain:
    kind: training
    pool: train
    nodes: 1
    image: ghcr.io/acme/train:1.4
    command: [python, train.py]
    resources: {accelerators: 8}
    mounts: {own: {path: /ckpt}}
    checkpoint: {storage: own, signal: SIGTERM, grace: 60s}
  sweep:
    kind: training
    pool: train
    nodes: 1
    burst: true
    image: ghcr.io/acme/train:1.4
    command: [python, train.py]
    resources: {accelerators: 8}
    mounts: {checkpoints: {path: /ckpt}}
    checkpoint: {storage: checkpoints, signal: SIGTERM, grace: 60s}
endpoints:
  chat: {host: chat.example.com, workload: chat, port: http, access: public}
"""
NAMESPACE = ("--namespace", "lent")

# Two queues of one cohort: serving owns one CPU and borrows two more, which the other queue owns and takes back.
TRIMMED = """\
apiVersion: v1
kind: Namespace
metadata: {name: trimmed}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: trimmed}
spec: {}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: trimmed-serve}
spec:
  cohortName: trimmed
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: trimmed}}
  resourceGroups:
  - coveredResources: [cpu]
    flavors: [{name: trimmed, resources: [{name: cpu, nominalQuota: "1", borrowingLimit: "2"}]}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: trimmed-own}
spec:
  cohortName: trimmed
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: trimmed}}
  preemption: {reclaimWithinCohort: Any}
  resourceGroups:
  - coveredResources: [cpu]
    flavors: [{name: trimmed, resources: [{name: cpu, nominalQuota: "2"}]}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: serve, namespace: trimmed}
spec: {clusterQueue: trimmed-serve}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: own, namespace: trimmed}
spec: {clusterQueue: trimmed-own}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: trimmed}
spec:
  replicas: 3
  selector: {matchLabels: {app: chat}}
  template:
    metadata:
      labels: {app: chat, kueue.x-k8s.io/queue-name: serve, kueue.x-k8s.io/managed: "true"}
      annotations: {kueue.x-k8s.io/pod-suspending-parent: deployment}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: acme/simulated:1, resources: {requests: {cpu: "1"}}}]
"""
OWNER = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: owner, namespace: trimmed}
spec:
  replicas: 2
  selector: {matchLabels: {app: owner}}
  template:
    metadata:
      labels: {app: owner, kueue.x-k8s.io/queue-name: own, kueue.x-k8s.io/managed: "true"}
      annotations: {kueue.x-k8s.io/pod-suspending-parent: deployment}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: acme/simulated:1, resources: {requests: {cpu: "1"}}}]
"""


@pytest.fixture(scope="module")
def lab_with_kueue(tmp_path_factory: pytest.TempPathFactory, command_lines: CommandLine) -> Iterator[RunningLab]:
    given, folder = os.environ.get("MESHCTL_LAB_ROOT"), tmp_path_factory.mktemp("mesh")
    if given:  # as for `lab`: one that is up with Kueue, and stays up
        yield RunningLab(Lab(Path(given).absolute()), folder, command_lines)
        return
    root = tmp_path_factory.mktemp("lab") / "root"
    command_line(root, "up", "--kueue", "dc1")
    try:
        yield RunningLab(Lab(root), folder, command_lines)
    finally:
        command_line(root, "down")


@pytest.fixture
def lending(lab_with_kueue: RunningLab) -> Iterator[RunningLab]:
    folder = lab_with_kueue.folder
    (folder / "mesh.yaml").write_text(MESH)
    (folder / "environments.yaml").write_text(ENVIRONMENTS)
    lab_with_kueue.meshctl("up", "dc1", "--yes")
    yield lab_with_kueue
    lab_with_kueue.meshctl("destroy", "dc1", "--allow-data-loss", "--confirm", "dc1", check=False)


def pods(lab: RunningLab, workload: str, namespace: str = "lent") -> list[dict[str, Any]]:
    """Those that are not ending."""
    listed = json.loads(lab.kubectl("dc1", "--namespace", namespace, "get", "pods", "-o", "json"))["items"]
    named = [each for each in listed if each["metadata"]["name"].startswith(f"{workload}-")]
    return [each for each in named if "deletionTimestamp" not in each["metadata"]]


def ready(lab: RunningLab, workload: str, namespace: str = "lent") -> int:
    statuses = [
        {each["type"]: each["status"] for each in pod["status"].get("conditions") or ()}
        for pod in pods(lab, workload, namespace)
    ]
    return sum(conditions.get("Ready") == "True" for conditions in statuses)


def pool_of(lab: RunningLab, workload: str) -> str:
    """Of the node that its one pod runs on; "" while it has none."""
    running = [each for each in pods(lab, workload) if each["status"].get("phase") == "Running"]
    if len(running) != 1:
        return ""
    node = json.loads(lab.kubectl("dc1", "get", "node", running[0]["spec"]["nodeName"], "-o", "json"))
    return str(node["metadata"]["labels"][POOL_LABEL])


def scale(lab: RunningLab, replicas: int) -> None:
    """As an autoscaler does."""
    lab.kubectl("dc1", *NAMESPACE, "scale", "deployment", "chat", f"--replicas={replicas}")


def loans(lab: RunningLab) -> dict[str, int]:
    (loan,) = lab.json("status", "dc1")["environments"]["dc1"]["loans"]
    assert (loan["pool"], loan["own"], loan["at_most"]) == ("serve", 16, 8)
    borrowers: dict[str, int] = loan["borrowers"]
    return borrowers


def is_suspended(lab: RunningLab, job: str) -> bool:
    suspended: bool = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "job", job, "-o", "json"))["spec"]["suspend"]
    return suspended


def test_a_deployment_is_trimmed_to_what_its_queue_owns_and_no_further(lab_with_kueue: RunningLab) -> None:
    """What the choice of quotas rests on, and what Kueue's documents promise of its rules alone (ADR 0054)."""
    lab = lab_with_kueue
    apply(lab, TRIMMED)
    wait_until(lambda: ready(lab, "chat", "trimmed") == 3)
    apply(lab, OWNER)
    wait_until(lambda: ready(lab, "owner", "trimmed") == 2)
    wait_until(lambda: (ready(lab, "chat", "trimmed"), len(pods(lab, "chat", "trimmed"))) == (1, 3))
    waiting = [pod for pod in pods(lab, "chat", "trimmed") if "nodeName" not in pod["spec"]]
    assert all({"name": "kueue.x-k8s.io/admission"} in pod["spec"]["schedulingGates"] for pod in waiting)
    lab.kubectl("dc1", "--namespace", "trimmed", "delete", "deployment", "owner")
    wait_until(lambda: ready(lab, "chat", "trimmed") == 3)
    lab.kubectl("dc1", "delete", "namespace", "trimmed", "--wait=false")


def apply(lab: RunningLab, text: str) -> None:
    file = lab.folder / "objects.yaml"
    file.write_text(text)
    lab.kubectl("dc1", "apply", "-f", str(file))


def test_a_burst_job_borrows_a_node_saves_and_gives_it_back(lending: RunningLab) -> None:
    wait_until(lambda: pool_of(lending, "sweep") == "serve")
    assert pool_of(lending, "pretrain") == "train"
    assert loans(lending) == {"sweep": 8}
    assert lending.json("plan", "dc1")["changes"] == []  # what Kueue adds is nothing to be set back
    (first,) = [pod["metadata"]["uid"] for pod in pods(lending, "chat")]

    scale(lending, 2)
    wait_until(lambda: ready(lending, "chat") == 2)
    assert first in [pod["metadata"]["uid"] for pod in pods(lending, "chat")]
    assert is_suspended(lending, "sweep")
    assert loans(lending) == {}
    status = lending.json("status", "dc1")["environments"]["dc1"]
    (sweep,) = [each for each in status["workloads"] if each["name"] == "sweep"]
    assert sweep["job"] == "waiting"
    assert "waits in the queue train of Kueue" in sweep["reason"]
    wait_until(lambda: not_ended(lending, "sweep") == 0)
    steps = saved(lending)  # it had its grace

    scale(lending, 1)
    wait_until(lambda: pool_of(lending, "sweep") == "serve")
    wait_until(lambda: saved(lending) > steps)  # it goes on from where it was stopped
    assert lending.json("plan", "dc1")["changes"] == []


def not_ended(lab: RunningLab, workload: str) -> int:
    """Its pods, those that are ending among them."""
    listed = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "pods", "-o", "json"))["items"]
    phases = [each["status"].get("phase") for each in listed if each["metadata"]["name"].startswith(f"{workload}-")]
    return sum(phase in ("Pending", "Running") for phase in phases)


def saved(lab: RunningLab) -> int:
    """The last step of the checkpoints; 0 before the first. It must be the hash chain's own: none skipped or twice."""
    s3 = lab.boto3("s3", "dc1")
    (bucket,) = [each["Name"] for each in s3.list_buckets()["Buckets"] if "lent-dc1-checkpoints" in each["Name"]]
    keys = {each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", ())}
    if "latest" not in keys:
        return 0
    step = int(json.loads(s3.get_object(Bucket=bucket, Key="latest")["Body"].read())["step"])
    weights = ""
    for number in range(1, step + 1):
        weights = hashlib.sha256(f"{weights}:{number}".encode()).hexdigest()
    checkpoint = json.loads(s3.get_object(Bucket=bucket, Key=f"step-{step:08d}.json")["Body"].read())
    assert checkpoint["weights"] == weights
    return step


def test_serving_never_falls_below_its_minimum_while_bursts_come_and_go(lending: RunningLab) -> None:
    job = waiting_sweep(lending)
    dns_server = lending.env["MESHCTL_DNS_SERVER"]
    requests = Load("http://chat.example.com:8000/v1/completions", rate=5, dns_server=dns_server).start()
    least: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            least.append(ready(lending, "chat"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for number in range(BURSTS):
            # every other burst is sent away by the owner of the node; the others end by themselves
            come_and_go(lending, named(job, f"burst-{number}"), f"burst-{number}", is_sent_away=bool(number % 2))
    finally:
        is_over.set()
        watcher.join()
        result = requests.stop()
    assert result.failed == 0, result.errors
    assert min(least) >= 1


def come_and_go(lab: RunningLab, job: str, name: str, *, is_sent_away: bool) -> None:
    apply(lab, job)
    wait_until(lambda: pool_of(lab, name) == "serve")
    if is_sent_away:
        scale(lab, 2)
        wait_until(lambda: ready(lab, "chat") == 2)
        wait_until(lambda: is_suspended(lab, name))
        scale(lab, 1)
    lab.kubectl("dc1", *NAMESPACE, "delete", "job", name)


def waiting_sweep(lab: RunningLab) -> dict[str, Any]:
    """The Job of the mesh that may borrow, as it is while it has no node, without what its cluster added; it is
    deleted."""
    scale(lab, 2)
    wait_until(lambda: is_suspended(lab, "sweep") and ready(lab, "chat") == 2)
    job = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "job", "sweep", "-o", "json"))
    lab.kubectl("dc1", *NAMESPACE, "delete", "job", "sweep")
    scale(lab, 1)
    template = {"metadata": {}, "spec": job["spec"]["template"]["spec"]}
    spec = {key: job["spec"][key] for key in ("completionMode", "completions", "parallelism", "backoffLimit")}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"namespace": "lent", "labels": job["metadata"]["labels"]},
        "spec": {**spec, "suspend": True, "template": template},
    }


def named(job: dict[str, Any], name: str) -> str:
    return json.dumps({**job, "metadata": {**job["metadata"], "name": name}})
