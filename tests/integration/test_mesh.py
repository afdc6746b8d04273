"""The example mesh on the lab's AWS and on its on-prem cluster, used as a person would and looked at with other tools.

One environment is brought up once for the whole file. A test that moves the mesh away says so (`Place.moved`), and the
next one, if there is one, has it brought back.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from meshctl.dns.lookup import address_of
from meshctl.lab.load import Load
from meshctl.model.keys import gangs
from tests.integration.example_mesh import EXAMPLE, upload_weights
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

SECRET = "hf_planted_7b1c2e9f"
pytestmark = pytest.mark.lab


@dataclass
class Place:
    """The mesh on AWS, or `moved` to somewhere else."""

    here: RunningLab
    moved: bool = False

    def brought_back(self) -> RunningLab:
        if self.moved:
            self.here.meshctl("migrations", "finish", "--yes", timeout_s=400, check=False)
            self.here.meshctl("destroy", "cw", "--yes", "--allow-data-loss", "--confirm", "cw", timeout_s=300)
            self.here.meshctl("up", "aws-east", "--yes", timeout_s=600)
            self.moved = False
        return self.here


@pytest.fixture(scope="module")
def place(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("llm-prod")
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns(".meshctl"), dirs_exist_ok=True)
    here = lab.at(folder, HF_TOKEN=SECRET)
    here.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    upload_weights(here, "aws-east", "default")
    here.meshctl("up", "aws-east", "--yes", timeout_s=600)
    yield Place(here)
    here.meshctl("migrations", "finish", "--yes", timeout_s=400, check=False)  # of a test that failed on its way
    for environment in ("aws-east", "cw"):
        here.meshctl("destroy", environment, "--yes", "--allow-data-loss", "--confirm", environment, timeout_s=300)


@pytest.fixture
def mesh(place: Place) -> RunningLab:
    """The mesh, up on AWS."""
    return place.brought_back()


def test_aws_tools_see_the_resources(mesh: RunningLab) -> None:
    cluster = mesh.boto3("eks").describe_cluster(name="llm-prod-aws-east")["cluster"]
    assert cluster["status"] == "ACTIVE"
    groups = mesh.boto3("eks").list_nodegroups(clusterName="llm-prod-aws-east")["nodegroups"]
    assert sorted(groups) == ["serve", "train", "web"]
    ec2 = mesh.boto3("ec2")
    mine = [{"Name": "tag:meshctl.dev/mesh", "Values": ["llm-prod"]}]
    assert len(ec2.describe_vpcs(Filters=mine)["Vpcs"]) == 1
    assert len(ec2.describe_subnets(Filters=mine)["Subnets"]) == 4
    (template,) = ec2.describe_launch_template_versions(
        LaunchTemplateName="llm-prod-aws-east-train", Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    interfaces = template["LaunchTemplateData"]["NetworkInterfaces"]
    assert len(interfaces) == 32
    assert {interface["InterfaceType"] for interface in interfaces} <= {"efa", "efa-only", "interface"}


def test_kubectl_sees_gpu_nodes_and_running_pods(mesh: RunningLab) -> None:
    nodes = json.loads(mesh.kubectl("aws-east", "get", "nodes", "-o", "json"))["items"]
    gpus: dict[str, list[str]] = {}
    for node in nodes:
        pool = node["metadata"]["labels"]["meshctl.dev/pool"]
        gpus.setdefault(pool, []).append(node["status"]["allocatable"].get("nvidia.com/gpu", "0"))
    assert gpus == {"train": ["8"] * 4, "serve": ["8"] * 2, "web": ["0"] * 2}
    wait_until(lambda: running_pods(mesh, "aws-east") == {"chat": 2, "console": 2, "pretrain": 4})


def running_pods(mesh: RunningLab, context: str) -> dict[str, int]:
    """Running pods by workload; without what releases gangs."""
    pods = json.loads(mesh.kubectl(context, "get", "pods", "-n", "llm-prod", "-o", "json"))["items"]
    return Counter(
        pod["metadata"]["labels"]["app.kubernetes.io/name"]
        for pod in pods
        if pod["status"]["phase"] == "Running" and not pod["metadata"]["name"].startswith(gangs.PROGRAM)
    )


def test_the_service_answers_through_its_name(mesh: RunningLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_DNS_SERVER", mesh.env["MESHCTL_DNS_SERVER"])
    url = f"http://{address_of('chat.example.com')}:8000/v1/models"
    (model,) = httpx2.get(url, trust_env=False).json()["data"]
    assert (model["environment"], model["pool"], model["bytes"]) == ("aws-east", "serve", 1 << 20)


def test_a_model_server_is_measured_through_its_endpoint(mesh: RunningLab) -> None:
    load = ("--what", "serve", "--rate", "5", "--seconds", "3", "--tokens", "8/8", "--yes")
    answer = json.loads(mesh.meshctl("bench", "aws-east", *load, "--output", "json").stdout)
    measured = {row["result"]["metric"]: row["result"] for row in answer["results"]}
    assert measured["requests"]["value"] > 0
    assert measured["requests"]["warnings"] == []
    assert measured["time to first token"]["percentiles"]["p99"] > 0
    assert measured["requests"]["taken"]["origin"] == "measured"
    assert "workload/chat: requests" in mesh.meshctl("bench", "aws-east", "--show").stdout
    advice = mesh.meshctl("advise", "aws-east", "--model", "chat=llama-3.3-70b", "--tokens", "8/8").stdout
    assert re.search(r"; measured [\d,.]+ tokens/s", " ".join(advice.split())), advice  # its lines are wrapped


def test_a_second_up_changes_nothing(mesh: RunningLab) -> None:
    done = mesh.json("up", "aws-east", "--yes")
    assert done["changes"] == []
    assert {action: count for action, count in done["counts"].items() if count and action != "same"} == {}


def test_plan_exits_0_without_changes_and_2_after_an_edit(mesh: RunningLab) -> None:
    assert mesh.meshctl("plan", "aws-east", "--detailed-exitcode", check=False).returncode == 0
    file = mesh.folder / "mesh.yaml"
    before = file.read_text()
    file.write_text(before.replace("    nodes: 2\n", "    nodes: 3\n", 1))
    try:
        done = mesh.meshctl("--output", "json", "plan", "aws-east", "--detailed-exitcode", check=False)
        assert done.returncode == 2
        (change,) = json.loads(done.stdout)["changes"]
        assert change["subject"] == "pool/web"
        assert {"path": "nodes", "old": 2, "new": 3, "forces_replace": False} in change["fields"]
    finally:
        file.write_text(before)


def test_no_secret_is_found_in_what_meshctl_writes(mesh: RunningLab) -> None:
    mesh.meshctl("plan", "aws-east", "--out", "plan.json", "-v")
    assert_no_secret(mesh)


def assert_no_secret(mesh: RunningLab) -> None:
    """Nothing planted is in the state, the saved plan, the journal or a log."""
    store_keys = mesh.boto3("s3", "coreweave")._request_signer._credentials.secret_key
    for path in [*(mesh.folder / ".meshctl").rglob("*"), mesh.folder / "plan.json"]:
        if path.is_file():
            content = path.read_bytes()
            assert SECRET.encode() not in content, path
            assert store_keys.encode() not in content, path


def test_the_state_does_not_say_where_the_code_lies(mesh: RunningLab) -> None:
    file = mesh.folder / ".meshctl/state/.pulumi/stacks/llm-prod/aws-east.json"
    resources = json.loads(file.read_text())["checkpoint"]["latest"]["resources"]
    traced = [r["urn"] for r in resources if "stackTrace" in r and not r["type"].startswith("pulumi:")]
    assert traced == []


def test_the_secret_reaches_the_container(mesh: RunningLab) -> None:
    secret = json.loads(mesh.kubectl("aws-east", "get", "secret", "chat-secrets", "-n", "llm-prod", "-o", "json"))
    assert list(secret["data"]) == ["HF_TOKEN"]


def test_status_says_what_runs(mesh: RunningLab) -> None:
    wait_until(lambda: status_of(mesh, "aws-east")["state"] == "up")  # `up` does not wait for the training's pods
    found = mesh.json("status", "aws-east")["environments"]["aws-east"]
    assert found["state"] == "up"
    assert {(w["name"], w["ready"], w["wanted"]) for w in found["workloads"]} == {
        ("chat", 2, 2),
        ("pretrain", 4, 4),
        ("console", 2, 2),
    }
    assert found["endpoints"][0]["points_at"] == "aws-east"


def status_of(mesh: RunningLab, environment: str) -> dict[str, Any]:
    return dict(mesh.json("status", environment)["environments"][environment])


def test_destroy_refuses_to_lose_data(mesh: RunningLab) -> None:
    refused = mesh.meshctl("destroy", "aws-east", "--yes", check=False)
    assert refused.returncode == 1
    assert "storage/weights" in refused.stderr
    refused = mesh.meshctl("destroy", "aws-east", "--yes", "--allow-data-loss", "--confirm", "cw", check=False)
    assert refused.returncode == 1
    assert mesh.json("status", "aws-east")["environments"]["aws-east"]["state"] == "up"


@pytest.mark.exhaustive
def test_an_existing_cluster_runs_the_same_mesh_and_is_left_clean(mesh: RunningLab) -> None:
    mesh.meshctl("up", "dc1", "--yes", "--object-storage-only")
    upload_weights(mesh, "dc1", "dc1")
    mesh.meshctl("up", "dc1", "--yes", timeout_s=400)
    # `up` does not wait for the training's pods
    wait_until(lambda: status_of(mesh, "dc1")["state"] == "up")
    found = status_of(mesh, "dc1")
    assert found["endpoints"][0]["points_at"] == "aws-east", "another environment's name is left alone"
    mesh.meshctl("destroy", "dc1", "--yes", "--allow-data-loss", "--confirm", "dc1", timeout_s=300)
    assert "llm-prod" not in mesh.kubectl("dc1", "get", "namespaces", "-o", "name")
    assert mesh.kubectl("dc1", "get", "nodes", "-l", "meshctl.dev/pool", "-o", "name") == ""
    assert mesh.kubectl("dc1", "get", "pv", "-o", "name") == ""
    assert mesh.boto3("s3", "dc1").list_buckets()["Buckets"] == []
    assert mesh.json("status", "dc1")["environments"]["dc1"]["state"] == "absent"


def test_a_missing_kubeconfig_and_a_silent_server_are_told_apart(mesh: RunningLab) -> None:
    missing = mesh.meshctl("plan", "dc1", check=False, KUBECONFIG="/nonexistent")
    assert missing.returncode == 1
    assert "there is no kubeconfig at /nonexistent" in missing.stderr
    silent = mesh.folder / "silent.yaml"
    silent.write_text(re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:9", mesh.lab.kubeconfig.read_text()))
    unreachable = mesh.meshctl("plan", "dc1", check=False, KUBECONFIG=str(silent))
    assert unreachable.returncode == 1
    assert "does not answer" in unreachable.stderr
    assert "hint:" in unreachable.stderr


@pytest.mark.exhaustive
def test_a_move_from_aws_is_rolled_back_whole(mesh: RunningLab) -> None:
    weights = objects(mesh, "aws-east", "default", "weights")
    mesh.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "2", timeout_s=600)
    moved = checkpoint(mesh, "cw", "coreweave")
    mesh.meshctl("migrations", "rollback", timeout_s=400)
    assert mesh.json("migrations", "show")["state"] == "rolled-back"
    source = mesh.json("status", "aws-east")["environments"]["aws-east"]
    assert source["endpoints"][0]["points_at"] == "aws-east"
    assert {w["name"]: w["ready"] for w in source["workloads"]} == {"chat": 2, "console": 2, "pretrain": 4}
    assert objects(mesh, "aws-east", "default", "weights") == weights
    step = checkpoint(mesh, "aws-east", "default")
    assert step >= moved, "what was trained at the target came back"
    saved = json.loads(body(mesh, "aws-east", "default", "checkpoints", f"step-{step:08d}.json"))
    assert saved["weights"] == chain(step)
    assert mesh.json("plan", "aws-east")["changes"] == []


def test_moving_under_load_loses_nothing_and_finish_retires_the_source(place: Place, mesh: RunningLab) -> None:
    place.moved = True
    load = Load(
        "http://chat.example.com:8000/v1/completions", rate=20, dns_server=mesh.env["MESHCTL_DNS_SERVER"]
    ).start()
    try:
        mesh.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "5", timeout_s=600)
    finally:
        result = load.stop()
    assert result.failed == 0, result.errors
    assert set(result.by_environment) == {"aws-east", "cw"}
    assert_no_step_and_no_object_is_lost(mesh)
    assert mesh.json("plan", "cw")["changes"] == []
    assert_no_secret(mesh)
    assert_only_the_target_is_changed(mesh)
    mesh.meshctl("migrations", "finish", "--yes", timeout_s=400)
    assert_the_source_keeps_its_data_alone(mesh)


def assert_no_step_and_no_object_is_lost(mesh: RunningLab) -> None:
    last = checkpoint(mesh, "aws-east", "default")
    assert last > 0
    assert objects(mesh, "aws-east", "default", "weights") == objects(mesh, "cw", "coreweave", "weights")
    stopped_with = objects(mesh, "aws-east", "default", "checkpoints")
    moved = objects(mesh, "cw", "coreweave", "checkpoints")
    assert {name: stopped_with[name] for name in stopped_with if name != "latest"}.items() <= moved.items()
    wait_until(lambda: checkpoint(mesh, "cw", "coreweave") > last)
    step = checkpoint(mesh, "cw", "coreweave")
    saved = json.loads(body(mesh, "cw", "coreweave", "checkpoints", f"step-{step:08d}.json"))
    assert saved["weights"] == chain(step), "the trainer repeated or skipped a step"


def assert_only_the_target_is_changed(mesh: RunningLab) -> None:
    """While the move waits for `finish`."""
    for command, environment in (("up", "aws-east"), ("destroy", "aws-east"), ("destroy", "cw")):
        refused = mesh.meshctl(command, environment, "--yes", check=False)
        assert refused.returncode == 75, refused.stderr
        assert "meshctl migrations finish" in refused.stderr
    assert mesh.json("up", "cw", "--yes")["changes"] == []
    assert mesh.json("status", "cw")["migration"]["state"] == "waiting"
    assert "aws-east -> cw  waiting" in mesh.meshctl("status", "aws-east").stdout


def assert_the_source_keeps_its_data_alone(mesh: RunningLab) -> None:
    kept = status_of(mesh, "aws-east")
    assert (kept["state"], kept["error"]) == ("storage", "nothing is up but the object storage: checkpoints, weights")
    assert mesh.json("status")["migration"] is None
    assert mesh.boto3("eks").list_clusters()["clusters"] == []
    assert objects(mesh, "aws-east", "default", "weights") == objects(mesh, "cw", "coreweave", "weights")
    assert mesh.json("status", "cw")["environments"]["cw"]["endpoints"][0]["points_at"] == "cw"


def store_of(mesh: RunningLab, environment: str, profile: str, store: str) -> tuple[Any, str]:
    """An S3 client and the bucket's name."""
    client = mesh.boto3("s3", profile)
    names = [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]
    return client, next(name for name in names if name.startswith(f"llm-prod-{environment}-{store}"))


def body(mesh: RunningLab, environment: str, profile: str, store: str, key: str) -> bytes:
    client, bucket = store_of(mesh, environment, profile, store)
    content: bytes = client.get_object(Bucket=bucket, Key=key)["Body"].read()
    return content


def objects(mesh: RunningLab, environment: str, profile: str, store: str) -> dict[str, str]:
    """SHA-256 of every object by key."""
    client, bucket = store_of(mesh, environment, profile, store)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
    return {key: hashlib.sha256(client.get_object(Bucket=bucket, Key=key)["Body"].read()).hexdigest() for key in keys}


def checkpoint(mesh: RunningLab, environment: str, profile: str) -> int:
    return int(json.loads(body(mesh, environment, profile, "checkpoints", "latest"))["step"])


def chain(steps: int) -> str:
    """What the trainer's weights are after so many steps, each made once."""
    weights = ""
    for step in range(1, steps + 1):
        weights = hashlib.sha256(f"{weights}:{step}".encode()).hexdigest()
    return weights
