"""A bucket that environments.yaml adopts is used, and is in nobody's way: not declared, not deleted, not lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

import stacks.buckets
from meshctl.catalog import load_catalog
from meshctl.deploy.guards import adopted_buckets, protection
from meshctl.deploy.runs.bucket_runs import BucketRuns
from meshctl.errors import DiagnosticsError, UsageError
from meshctl.load import load
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.stack_state import StackState
from meshctl.objects import object_access
from meshctl.resolve import resolve
from stacks.aws.storage import bucket_policy
from tests.unit.states import state

MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {cpu: {nodes: 2, cpu: {cores: 4}}}
storage:
  weights: {kind: object, size: 10GiB}
  logs: {kind: object, size: 1TiB}
  disk: {kind: block, size: 1GiB, ephemeral: true}
workloads:
  web: {kind: service, pool: cpu, image: "acme/web:1", mounts: {weights: {path: /w, readOnly: true}}}
"""
ENVIRONMENTS = """\
apiVersion: meshctl/v1
kind: Environments
environments:
  east:
    provider: aws
    region: us-east-1
    zones: [us-east-1a, us-east-1b]
    network: {cidr: 10.64.0.0/16}
    storage: STORAGE
  dc:
    provider: onprem
    kubernetes: {context: dc}
    objectStorage: {endpoint: "ENDPOINT", profile: dc}
    storage: STORAGE
"""


def resolution(
    folder: Path, storage: str, environment: str = "east", endpoint: str = "https://s3.example"
) -> Resolution:
    (folder / "mesh.yaml").write_text(MESH)
    text = ENVIRONMENTS.replace("STORAGE", storage).replace("ENDPOINT", endpoint)
    (folder / "environments.yaml").write_text(text)
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    return resolve(mesh, environments, environment, load_catalog())


def deployment(folder: Path, storage: str, **more: str) -> Deployment:
    made = resolution(folder, storage, **more).deployment
    assert made is not None
    return made


ADOPTING = "{weights: {bucket: acme-weights}}"


@pytest.mark.parametrize("environment", ["east", "dc"])
def test_it_is_used_and_said_and_not_declared(tmp_path: Path, environment: str) -> None:
    made = deployment(tmp_path, ADOPTING, environment=environment)
    assert made.object_store("weights").url == "s3://acme-weights"
    assert not made.object_store("logs").is_adopted
    declared = stacks.buckets.names(made)
    assert "storage/logs:bucket" in declared
    assert "storage/weights:bucket" not in declared
    (note,) = [note for note in resolution(tmp_path, ADOPTING, environment).notes if note.startswith("storage/")]
    assert note.startswith(
        "storage/weights: adopted: the existing bucket acme-weights is used; meshctl never creates or deletes"
    )


def test_pods_on_aws_may_read_it(tmp_path: Path) -> None:
    made = deployment(tmp_path, ADOPTING)
    assert "arn:aws:s3:::acme-weights/*" in bucket_policy(made, made.workload("web"))


def with_buckets(made: Deployment, **buckets: str) -> StackState:
    urn = f"urn:pulumi:{made.environment}::m::meshaws:s3:Bucket::storage/"
    resources = [
        {"urn": f"{urn}{name}:bucket", "type": "meshaws:s3:Bucket", "custom": True, "id": b, "inputs": {"Bucket": b}}
        for name, b in buckets.items()
    ]
    outputs = {"deployment": made.model_dump(mode="json")}
    stack = {
        "type": "pulumi:pulumi:Stack",
        "urn": "urn:pulumi:east::m::pulumi:pulumi:Stack::m-east",
        "outputs": outputs,
    }
    return state(stack, *resources)


def test_names_in_the_state_are_not_taken_for_it(tmp_path: Path) -> None:
    own = deployment(tmp_path, "{}")
    saved = with_buckets(own, weights="m-east-weights-1", logs="m-east-logs-1")
    made = object_access.with_saved_names(deployment(tmp_path, ADOPTING), saved)
    assert (made.object_store("weights").bucket, made.object_store("logs").bucket) == ("acme-weights", "m-east-logs-1")
    assert protection.may_lose_buckets(saved, made), "the environment's own bucket leaves the mesh: that is asked about"


def test_a_bucket_of_the_environment_itself_cant_be_adopted(tmp_path: Path) -> None:
    own = deployment(tmp_path, "{}")
    with pytest.raises(UsageError, match="the bucket acme-weights can't be adopted") as caught:
        adopted_buckets.check_not_own(deployment(tmp_path, ADOPTING), with_buckets(own, weights="acme-weights"))
    assert "remove storage.weights" in caught.value.hint


def test_buckets_alone_are_not_brought_up_where_all_are_adopted(tmp_path: Path) -> None:
    made = deployment(tmp_path, "{weights: {bucket: acme-weights}, logs: {bucket: acme-logs}}")
    _, environments = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")

    def no_run(*_: object, **__: object) -> None:
        raise AssertionError("a run of no bucket would be a run of everything")

    with pytest.raises(UsageError, match="no object storage of its own"):
        BucketRuns("m", environments, no_run).plan(made)  # type: ignore[arg-type]


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    config = tmp_path / "config"
    config.write_text("[profile dc]\naws_access_key_id = a\naws_secret_access_key = b\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_it_must_exist(tmp_path: Path, s3: str) -> None:
    made = deployment(tmp_path, ADOPTING, environment="dc", endpoint=s3)
    with pytest.raises(UsageError, match="the bucket acme-weights of storage/weights does not exist"):
        adopted_buckets.check_reachable(made)
    client = boto3.client(
        "s3", endpoint_url=s3, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    client.create_bucket(Bucket="acme-weights")
    adopted_buckets.check_reachable(made)
    urn = "urn:pulumi:aws-east::other::meshaws:s3:Bucket::storage/weights:bucket"
    client.put_bucket_tagging(Bucket="acme-weights", Tagging={"TagSet": [{"Key": "meshctl:urn", "Value": urn}]})
    with pytest.raises(UsageError, match="the bucket acme-weights can't be adopted") as caught:
        adopted_buckets.check_reachable(made)
    assert caught.value.why == "meshctl made it for aws-east of the mesh other, and deletes it with that environment"


@pytest.mark.parametrize(
    ("storage", "path", "message"),
    [
        (
            "{weigths: {bucket: acme-weights}}",
            "environments.east.storage.weigths",
            'no storage named "weigths"; did you',
        ),
        (
            "{disk: {bucket: acme-weights}}",
            "environments.east.storage.disk",
            "only storage of kind object can be a buc",
        ),
        (
            "{weights: {bucket: s3://acme/w}}",
            "environments.east.storage.weights.bucket",
            '"s3://acme/w" is not the name',
        ),
        (
            "{weights: {bucket: acme}, logs: {bucket: acme}}",
            "environments.east.storage.logs.bucket",
            '"acme" is used for storage weights, too',
        ),
        ("{weights: {}}", "environments.east.storage.weights", "needs one of bucket, claim, nfs"),
    ],
)
def test_what_cant_be_adopted_is_said(tmp_path: Path, storage: str, path: str, message: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        resolution(tmp_path, storage)
    problems = [(problem.path, problem.message) for problem in caught.value.diagnostics]
    assert any(place == path and text.startswith(message) for place, text in problems), problems
