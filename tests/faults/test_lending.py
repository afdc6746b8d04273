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
from tests.faults.cluster_clock import seconds_between
from tests.faults.moved_mesh import ENVIRONMENTS
from tests.faults.trimmed_servers import FLAVOR, QUEUE, SERVERS
from tests.lab_fixture import RunningLab, command_line, raise_quotas
from tests.preloaded import CommandLine
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

BURSTS, AT_ONCE = 20, 4
GRACE_S = 5  # of a burst that is sent away, whatever it is at
# From the end of a loan's last pod until the owner's has its node: Kueue admits it, and the scheduler tries it again up
# to 10 s after it found no room (podMaxBackoffSeconds).
PLACED_S = 15
# `pretrain` fills the pool of the trainers, so that `sweep` has no other place than the node that `serve` lends. The
# trainers' pool lends as well, to nobody: so it is counted from the first `up` on, in which there is no `sweep` yet.
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: lent
pools:
  serve: {role: inference, nodes: 2, accelerator: {model: H100, count: 8}, lend: {upTo: 1}}
  train: {role: training, nodes: 1, accelerator: {model: H100, count: 8}, lend: {upTo: 1}}
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
MESH_WITHOUT_BURST = MESH[: MESH.index("  sweep:")] + MESH[MESH.index("endpoints:") :]
NAMESPACE = ("--namespace", "lent")
AWS_EAST = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}
"""


@pytest.fixture(scope="module")
def lab_with_kueue(tmp_path_factory: pytest.TempPathFactory, command_lines: CommandLine) -> Iterator[RunningLab]:
    given, folder = os.environ.get("MESHCTL_LAB_ROOT"), tmp_path_factory.mktemp("mesh")
    if given:  # as for `lab`: one that is up with Kueue, and stays up
        yield RunningLab(Lab(Path(given).absolute()), folder, command_lines)
        return
    root = tmp_path_factory.mktemp("lab") / "root"
    command_line(root, "up", "--kueue", "dc1", "--kueue", "aws-east")
    raise_quotas(root)
    try:
        yield RunningLab(Lab(root), folder, command_lines)
    finally:
        command_line(root, "down")


@pytest.fixture
def lending(lab_with_kueue: RunningLab) -> Iterator[RunningLab]:
    """`pretrain` has the trainers' node, and `sweep` comes after it: Kueue gives the pool's own node to whoever asks
    first."""
    (lab_with_kueue.folder / "environments.yaml").write_text(ENVIRONMENTS)
    write_mesh(lab_with_kueue, MESH_WITHOUT_BURST)
    lab_with_kueue.meshctl("up", "dc1", "--yes")
    wait_until(lambda: pool_of(lab_with_kueue, "pretrain") == "train")
    write_mesh(lab_with_kueue, MESH)
    lab_with_kueue.meshctl("up", "dc1", "--yes")
    yield lab_with_kueue
    lab_with_kueue.meshctl("destroy", "dc1", "--allow-data-loss", "--confirm", "dc1")


def pods(lab: RunningLab, workload: str, namespace: str = "lent", at: str = "dc1") -> list[dict[str, Any]]:
    """Those that are not ending."""
    listed = json.loads(lab.kubectl(at, "--namespace", namespace, "get", "pods", "-o", "json"))["items"]
    named = [each for each in listed if each["metadata"]["name"].startswith(f"{workload}-")]
    return [each for each in named if "deletionTimestamp" not in each["metadata"]]


def ready(lab: RunningLab, workload: str, namespace: str = "lent", at: str = "dc1") -> int:
    statuses = [
        {each["type"]: each["status"] for each in pod["status"].get("conditions") or ()}
        for pod in pods(lab, workload, namespace, at)
    ]
    return sum(conditions.get("Ready") == "True" for conditions in statuses)


def pool_of(lab: RunningLab, workload: str, at: str = "dc1") -> str:
    """Of the node that its one pod runs on; "" while it has none."""
    running = [each for each in pods(lab, workload, at=at) if each["status"].get("phase") == "Running"]
    if len(running) != 1:
        return ""
    node = json.loads(lab.kubectl(at, "get", "node", running[0]["spec"]["nodeName"], "-o", "json"))
    return str(node["metadata"]["labels"][POOL_LABEL])


def scale(lab: RunningLab, replicas: int, at: str = "dc1") -> None:
    """As an autoscaler does."""
    lab.kubectl(at, *NAMESPACE, "scale", "deployment", "chat", f"--replicas={replicas}")


def loans(lab: RunningLab) -> dict[str, int]:
    (loan, of_train) = lab.json("status", "dc1")["environments"]["dc1"]["loans"]
    assert of_train["lent"] == 0
    assert (loan["pool"], loan["own"], loan["at_most"]) == ("serve", 16, 8)
    borrowers: dict[str, int] = loan["borrowers"]
    return borrowers


def is_suspended(lab: RunningLab, job: str) -> bool:
    suspended: bool = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "job", job, "-o", "json"))["spec"]["suspend"]
    return suspended


def test_a_deployment_is_trimmed_to_what_its_queue_owns_and_no_further(lab_with_kueue: RunningLab) -> None:
    """What the choice of quotas rests on, and what Kueue's documents promise of its rules alone (ADR 0054)."""
    lab = lab_with_kueue
    queues = "".join(QUEUE.format(name=name, own=own) for name, own in (("serve", 1), ("own", 2)))
    apply(lab, f"{FLAVOR}{queues}{SERVERS.format(name='serve', replicas=3)}")
    wait_until(lambda: ready(lab, "serve", "trimmed") == 3)
    apply(lab, SERVERS.format(name="own", replicas=2))
    wait_until(lambda: ready(lab, "own", "trimmed") == 2)
    wait_until(lambda: (ready(lab, "serve", "trimmed"), len(pods(lab, "serve", "trimmed"))) == (1, 3))
    waiting = [pod for pod in pods(lab, "serve", "trimmed") if "nodeName" not in pod["spec"]]
    assert all({"name": "kueue.x-k8s.io/admission"} in pod["spec"]["schedulingGates"] for pod in waiting)
    lab.kubectl("dc1", "--namespace", "trimmed", "delete", "deployment", "own")
    wait_until(lambda: ready(lab, "serve", "trimmed") == 3)
    lab.kubectl("dc1", "delete", "namespace", "trimmed")
    trimmed = ("trimmed-serve", "trimmed-own", "trimmed")
    lab.kubectl("dc1", "delete", "clusterqueues,resourceflavors", *trimmed, "--ignore-not-found")


def apply(lab: RunningLab, *documents: str) -> None:
    file = lab.folder / "objects.yaml"
    file.write_text("\n---\n".join(documents))
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
    assert given_back_s(lending, "sweep") <= 60 + PLACED_S  # its checkpoint.grace
    steps = saved(lending)

    scale(lending, 1)
    wait_until(lambda: pool_of(lending, "sweep") == "serve")
    wait_until(lambda: saved(lending) > steps)  # it goes on from where it was stopped
    assert lending.json("plan", "dc1")["changes"] == []


def not_ended(lab: RunningLab, workload: str) -> int:
    """Its pods, those that are ending among them."""
    listed = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "pods", "-o", "json"))["items"]
    phases = [each["status"].get("phase") for each in listed if each["metadata"]["name"].startswith(f"{workload}-")]
    return sum(phase in ("Pending", "Running") for phase in phases)


def given_back_s(lab: RunningLab, job: str) -> float:
    """From the suspension of the job until the last pod of the owner had its node."""
    lent = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "job", job, "-o", "json"))
    return max(seconds_between(lent, "Suspended", pod, "PodScheduled") for pod in pods(lab, "chat"))


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


def test_a_pool_that_lends_no_more_keeps_its_queue_for_the_job_that_it_counts(lending: RunningLab) -> None:
    wait_until(lambda: pool_of(lending, "sweep") == "serve")
    before = uids(lending, "pretrain")
    write_mesh(lending, MESH_WITHOUT_BURST.replace(", lend: {upTo: 1}", ""))
    lending.meshctl("up", "dc1", "--yes")
    assert uids(lending, "pretrain") == before
    assert names(lending, "clusterqueues") == ["lent.train"]
    write_mesh(lending, MESH)
    lending.meshctl("up", "dc1", "--yes")
    assert uids(lending, "pretrain") == before
    assert names(lending, "clusterqueues") == ["lent.serve", "lent.train"]
    wait_until(lambda: pool_of(lending, "sweep") == "serve")
    lending.meshctl("up", "dc1", "--yes")  # the labels with which Kueue has started it are nobody's conflict
    assert lending.json("plan", "dc1")["changes"] == []
    assert uids(lending, "pretrain") == before


def write_mesh(lab: RunningLab, text: str) -> None:
    (lab.folder / "mesh.yaml").write_text(text)


def uids(lab: RunningLab, workload: str) -> list[str]:
    return [pod["metadata"]["uid"] for pod in pods(lab, workload)]


def names(lab: RunningLab, plural: str, at: str = "dc1") -> list[str]:
    listed = lab.kubectl(at, "get", f"{plural}.kueue.x-k8s.io", "-o", "name").split()
    return sorted(name.partition("/")[2] for name in listed)


@pytest.fixture
def on_aws(lab_with_kueue: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """The first EKS cluster of the lab, in which Kueue is as soon as it is there."""
    lab = lab_with_kueue.at(tmp_path)
    (tmp_path / "environments.yaml").write_text(AWS_EAST)
    yield lab
    lab.meshctl("destroy", "aws-east", "--allow-data-loss", "--confirm", "aws-east", timeout_s=600)


def test_a_cluster_that_meshctl_has_made_lends_once_somebody_has_installed_kueue(on_aws: RunningLab) -> None:
    mesh, without_burst = (text[: text.index("endpoints:")] for text in (MESH, MESH_WITHOUT_BURST))
    write_mesh(on_aws, without_burst)
    on_aws.meshctl("up", "aws-east", "--yes", timeout_s=600)  # makes the cluster, and asks it nothing before
    assert names(on_aws, "clusterqueues", "aws-east") == []
    on_aws.meshctl("up", "aws-east", "--yes", timeout_s=600)
    assert names(on_aws, "clusterqueues", "aws-east") == ["lent.serve", "lent.train"]
    on_aws.meshctl("restart", "pretrain", "--env", "aws-east", "--yes")  # from now on it is counted
    wait_until(lambda: pool_of(on_aws, "pretrain", "aws-east") == "train")
    write_mesh(on_aws, mesh)
    on_aws.meshctl("up", "aws-east", "--yes", timeout_s=600)
    wait_until(lambda: pool_of(on_aws, "sweep", "aws-east") == "serve")
    assert on_aws.json("plan", "aws-east")["changes"] == []
    scale(on_aws, 2, "aws-east")
    wait_until(lambda: ready(on_aws, "chat", at="aws-east") == 2)
    assert pool_of(on_aws, "sweep", "aws-east") == ""
    scale(on_aws, 1, "aws-east")
    wait_until(lambda: pool_of(on_aws, "sweep", "aws-east") == "serve")


def test_serving_never_falls_below_its_minimum_while_bursts_come_and_go(lending: RunningLab) -> None:
    """Several at once, each with a quarter of the node that is lent. Every other wave is sent away by the node's owner,
    and ignores the signal to end; the bursts of the others end by themselves."""
    job = waiting_sweep(lending)
    dns_server = lending.env["MESHCTL_DNS_SERVER"]
    requests = Load("http://chat.example.com:8000/v1/models", rate=5, dns_server=dns_server).start()
    least: list[int] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.wait(0.2):
            least.append(ready(lending, "chat"))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        for wave in range(BURSTS // AT_ONCE):
            bursts = [f"burst-{wave}-{number}" for number in range(AT_ONCE)]
            if wave % 2:
                end_by_themselves(lending, job, bursts)
            else:
                are_sent_away(lending, job, bursts)
    finally:
        is_over.set()
        watcher.join(timeout=30)
        result = requests.stop()
    assert result.failed == 0, result.errors
    assert result.requests > 0
    assert least
    assert min(least) >= 1


def end_by_themselves(lab: RunningLab, job: dict[str, Any], bursts: list[str]) -> None:
    """The lab simulates pods of images that it does not know: such a job is complete once it had nodes."""
    apply(lab, *(named(job, name, image="acme/simulated:1") for name in bursts))
    wait_until(lambda: all(has_ended(lab, name) for name in bursts))
    lab.kubectl("dc1", *NAMESPACE, "delete", "job", *bursts)


def are_sent_away(lab: RunningLab, job: dict[str, Any], bursts: list[str]) -> None:
    apply(lab, *(named(job, name) for name in bursts))
    wait_until(lambda: all(pool_of(lab, name) == "serve" for name in bursts))
    scale(lab, 2)
    wait_until(lambda: ready(lab, "chat") == 2)
    wait_until(lambda: all(is_suspended(lab, name) for name in bursts))
    assert max(given_back_s(lab, name) for name in bursts) <= GRACE_S + PLACED_S
    scale(lab, 1)
    lab.kubectl("dc1", *NAMESPACE, "delete", "job", *bursts)


def has_ended(lab: RunningLab, job: str) -> bool:
    status = json.loads(lab.kubectl("dc1", *NAMESPACE, "get", "job", job, "-o", "json")).get("status") or {}
    return any(each["type"] == "Complete" and each["status"] == "True" for each in status.get("conditions") or ())


def waiting_sweep(lab: RunningLab) -> dict[str, Any]:
    """The Job of the mesh that may borrow, as it is while it has no node, without what its cluster added; it is
    deleted."""
    wait_until(lambda: saved(lab) > 0)  # it is at work, and ends as soon as it has saved
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


def named(job: dict[str, Any], name: str, image: str = "") -> str:
    """The Job under another name, with a part of the node, a short grace, all of which it takes, and this image if one
    is given."""
    text = json.dumps({**job, "metadata": {**job["metadata"], "name": name}})
    own: dict[str, Any] = json.loads(text)
    (container,) = own["spec"]["template"]["spec"]["containers"]
    container["image"] = image or container["image"]
    container["env"].append({"name": "TRAINER_IGNORE_SIGNAL", "value": "1"})
    own["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = GRACE_S
    for amounts in container["resources"].values():
        amounts["nvidia.com/gpu"] = str(8 // AT_ONCE)
    return json.dumps(own)
