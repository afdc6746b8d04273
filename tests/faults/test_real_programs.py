"""Meshes with real programs: a language model that answers through its endpoint while it moves, and Redis, whose data
outlives its pod. `nox -s programs` installs what they need."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.dns.lookup import address_of
from meshctl.lab.images.inference import language_model
from meshctl.lab.load import Load
from meshctl.lab.pods import addresses
from tests.faults.moved_mesh import ENVIRONMENTS
from tests.lab_fixture import RunningLab
from tests.programs import ask_redis, needs_programs, needs_redis
from tests.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]

AWS = "  aws-east: {provider: aws, region: us-east-1, zones: [us-east-1a, us-east-1b]}\n"
CHAT = """\
apiVersion: meshctl/v1
kind: Mesh
name: talking
pools:
  web: {role: general, nodes: 1, cpu: {cores: 8}}
storage:
  weights: {kind: object, size: 1GiB}
workloads:
  chat:
    kind: inference
    pool: web
    image: vllm/vllm-openai:v0.11.0
    args: [--model, /models/smol, --served-model-name, smol, --port, "8080"]
    ports: {http: 8080}
    health: {path: /health, port: http}
    mounts: {weights: {path: /models, readOnly: true}}
endpoints:
  chat: {host: talking.example.com, workload: chat, port: http}
"""
CACHE = """\
apiVersion: meshctl/v1
kind: Mesh
name: cached
pools:
  web: {role: general, nodes: 1, cpu: {cores: 8}}
storage:
  redis-data: {kind: block, size: 1GiB}
workloads:
  redis:
    kind: service
    pool: web
    image: redis:8.2.1
    args: [--appendonly, "yes"]
    ports: {redis: 6379}
    health: {port: redis}
    mounts: {redis-data: {path: /data}}
"""
QUESTION = {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 6, "temperature": 0}
STREAM = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4, "stream": True}


@contextlib.contextmanager
def mesh(lab: RunningLab, folder: Path, text: str, *environments: str) -> Iterator[RunningLab]:
    here = lab.at(folder)
    (folder / "mesh.yaml").write_text(text)
    (folder / "environments.yaml").write_text(ENVIRONMENTS.replace("environments:\n", f"environments:\n{AWS}"))
    try:
        yield here
    finally:
        here.meshctl("migrations", "finish", "--yes", check=False)  # while it is open, `destroy` is refused
        for environment in environments:
            here.meshctl("destroy", environment, "--allow-data-loss", "--confirm", environment, check=False)


@pytest.fixture
def talking(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    with mesh(lab, tmp_path, CHAT, "aws-east", "cw") as here:
        yield here


@pytest.fixture
def cached(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    with mesh(lab, tmp_path, CACHE, "dc1") as here:
        yield here


def ask(here: RunningLab, environment: str, path: str, body: dict[str, Any] | None = None) -> str:
    """What the endpoint answers, by the address that its name has."""
    (endpoint,) = here.json("status", environment)["environments"][environment]["endpoints"]
    assert endpoint["points_at"] == environment
    with pytest.MonkeyPatch.context() as patch:  # AWS balancers have names, which the lab's server resolves
        patch.setenv("MESHCTL_DNS_SERVER", here.env["MESHCTL_DNS_SERVER"])
        address = address_of(endpoint["name_address"])
    with contextlib.closing(http.client.HTTPConnection(address, 8080, timeout=60)) as connection:
        headers = {"Host": endpoint["host"], "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        text = response.read().decode()
    assert response.status == 200, text
    return text


def assert_a_model_answers(here: RunningLab, environment: str, size_bytes: int) -> None:
    """Tokens of the model whose weights lie in the mesh's bucket, at once and in parts."""
    (model,) = json.loads(ask(here, environment, "/v1/models"))["data"]
    assert (model["id"], model["bytes"], model["environment"]) == ("smol", size_bytes, environment)
    answer = json.loads(ask(here, environment, "/v1/chat/completions", QUESTION))
    assert answer["usage"]["completion_tokens"] == 6
    assert answer["choices"][0]["message"]["content"].strip()
    *parts, end = ask(here, environment, "/v1/chat/completions", QUESTION | {"stream": True}).strip().split("\n\n")
    assert end == "data: [DONE]"
    texts = [json.loads(part.removeprefix("data: "))["choices"][0]["delta"].get("content") for part in parts]
    assert len([text for text in texts if text]) > 3, "it came in one piece"


@needs_programs
def test_a_real_model_answers_and_moves_while_streams_run(talking: RunningLab) -> None:
    weights = language_model.own_weights()
    assert weights is not None
    talking.meshctl("up", "aws-east", "--yes", "--object-storage-only")
    s3 = talking.boto3("s3")
    (bucket,) = [b["Name"] for b in s3.list_buckets()["Buckets"] if b["Name"].startswith("talking-aws-east-weights")]
    s3.upload_file(str(weights), bucket, f"smol/{weights.name}")
    talking.meshctl("up", "aws-east", "--yes", timeout_s=600)
    assert_a_model_answers(talking, "aws-east", weights.stat().st_size)

    dns_server = talking.env["MESHCTL_DNS_SERVER"]
    url = "http://talking.example.com:8080/v1/chat/completions"
    load = Load(url, rate=1, dns_server=dns_server, body=STREAM).start()
    try:
        talking.meshctl("migrate", "aws-east", "cw", "--yes", "--observe", "5", timeout_s=900)
    finally:
        result = load.stop()
    assert result.failures == []
    assert set(result.by_environment) == {"aws-east", "cw"}
    assert sum(result.by_environment.values()) == result.requests
    assert_a_model_answers(talking, "cw", weights.stat().st_size)


def redis_pod(here: RunningLab) -> dict[str, Any]:
    """The pod that is ready, and none that is on its way out."""
    pods = json.loads(here.kubectl("dc1", "-n", "cached", "get", "pods", "-o", "json"))["items"]
    ready = [each for each in pods if all(c["ready"] for c in each["status"].get("containerStatuses", [{"ready": 0}]))]
    return dict(ready[0]) if len(pods) == len(ready) == 1 and "deletionTimestamp" not in ready[0]["metadata"] else {}


def redis(here: RunningLab, pod: dict[str, Any], command: str) -> str:
    return ask_redis(addresses.read(here.lab.root)[pod["status"]["podIP"]], 6379, command)


@needs_redis
def test_redis_has_its_data_after_its_pod_was_replaced(cached: RunningLab) -> None:
    cached.meshctl("up", "dc1", "--yes")
    first = redis_pod(cached)
    assert redis(cached, first, "SET greeting hello") == "+OK"
    cached.kubectl("dc1", "-n", "cached", "delete", "pod", first["metadata"]["name"])
    second = wait_until(lambda: redis_pod(cached))
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    assert redis(cached, second, "GET greeting") == "hello"
