"""What holds data is not deleted unasked, and goes whole when asked: a small mesh on the lab's AWS and on-prem site."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab_fixture import RunningLab

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: small
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
storage:
"""
WEIGHTS = "  weights: {kind: object, size: 1GiB}\n"
EPHEMERAL = "  weights: {kind: object, size: 1GiB, ephemeral: true}\n"
OURS = "app.kubernetes.io/managed-by=meshctl"
LOSE = ("--yes", "--allow-data-loss", "--confirm")
VOLUMES = """\
  shared: {kind: filesystem, size: 1GiB}
  disk: {kind: block, size: 1GiB}
workloads:
  site: {kind: service, pool: web, replicas: 1, image: "acme/site:1", mounts: {disk: {path: /d}}}
"""
pytestmark = pytest.mark.lab


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """A mesh with one bucket, `weights`, and nothing of it up yet."""
    shutil.copy(EXAMPLE / "environments.yaml", tmp_path)
    here = lab.at(tmp_path)
    declare(here, WEIGHTS)
    yield here
    stacks = tmp_path / ".meshctl/state/.pulumi/stacks/small"
    for environment in ("dc1", "aws-east"):
        if (stacks / f"{environment}.json").exists():
            here.meshctl("destroy", environment, *LOSE, environment)


def declare(here: RunningLab, storage: str) -> None:
    (here.folder / "mesh.yaml").write_text(MESH + storage)


def buckets(here: RunningLab, profile: str) -> list[str]:
    names = [bucket["Name"] for bucket in here.boto3("s3", profile).list_buckets()["Buckets"]]
    return [name for name in names if name.startswith("small-")]


def put(here: RunningLab, profile: str, key: str = "model") -> tuple[Any, str]:
    """An object in the mesh's bucket; the client and the bucket's name."""
    client = here.boto3("s3", profile)
    (bucket,) = buckets(here, profile)
    client.put_object(Bucket=bucket, Key=key, Body=b"weights")
    return client, bucket


def remove_bucket(client: Any, bucket: str) -> None:
    """Made by the test itself; the lab's other tests count all buckets."""
    for item in client.list_objects_v2(Bucket=bucket).get("Contents", []):
        client.delete_object(Bucket=bucket, Key=item["Key"])
    client.delete_bucket(Bucket=bucket)


def error(here: RunningLab, *arguments: str) -> dict[str, Any]:
    failed = here.meshctl("--output", "json", *arguments, check=False)
    assert failed.returncode == 1, failed.stdout
    found: dict[str, Any] = json.loads(failed.stdout)["error"]
    return found


def test_a_bucket_with_data_that_leaves_the_mesh_is_refused_and_an_empty_one_leaves_without_a_word(
    mesh: RunningLab,
) -> None:
    mesh.meshctl("up", "dc1", "--yes")
    _, bucket = put(mesh, "dc1")
    for changed in ("  other: {kind: object, size: 1GiB}\n", WEIGHTS.replace("weights", "models")):  # removed, renamed
        declare(mesh, changed)
        refused = error(mesh, "up", "dc1", "--yes")
        assert f"storage/weights (bucket {bucket}, 1 object, 7 B): the mesh has no storage weights" in refused["what"]
        assert "nothing was changed" in refused["why"]
        assert buckets(mesh, "dc1") == [bucket], "the new bucket is not made either"
    mesh.meshctl("up", "dc1", *LOSE, "dc1")
    assert [name.startswith("small-dc1-models") for name in buckets(mesh, "dc1")] == [True]
    declare(mesh, "  other: {kind: object, size: 1GiB}\n")
    mesh.meshctl("up", "dc1", "--yes")
    assert [name.startswith("small-dc1-other") for name in buckets(mesh, "dc1")] == [True]


@pytest.mark.exhaustive
def test_buckets_alone_leave_everything_else_as_it_is(mesh: RunningLab) -> None:
    mounted = VOLUMES.replace("mounts: {", "mounts: {weights: {path: /w}, ")
    declare(mesh, WEIGHTS + mounted)
    mesh.meshctl("up", "dc1", "--yes")
    volumes = mesh.kubectl("dc1", "get", "pvc", "-n", "small", "-o", "name")
    before = buckets(mesh, "dc1")
    only = ("up", "dc1", "--yes", "--object-storage-only")

    declare(mesh, VOLUMES)  # no bucket at all: it is not "everything"
    refused = mesh.meshctl("--output", "json", *only, check=False)
    assert refused.returncode == 64
    assert json.loads(refused.stdout)["error"]["what"] == "small has no object storage of its own in dc1"
    for more in (("--allow-data-loss",), ("--plan", "saved.json")):
        assert mesh.meshctl(*only, *more, check=False).returncode == 64
    assert buckets(mesh, "dc1") == before

    declare(mesh, "  other: {kind: object, size: 1GiB}\n" + WEIGHTS + mounted.replace("acme/site:1", "acme/site:2"))
    (change,) = mesh.json(*only)["changes"]
    assert (change["subject"], change["action"]) == ("storage/other", "create")
    assert {*before} < {*buckets(mesh, "dc1")}
    assert mesh.kubectl("dc1", "get", "pvc", "-n", "small", "-o", "name") == volumes


def test_old_versions_are_data_and_go_when_asked(mesh: RunningLab) -> None:
    cost = mesh.json("up", "aws-east", "--yes", "--object-storage-only")["cost"]
    assert cost["hourly_usd_after"] < 0.01, "no machine runs yet"
    client, bucket = put(mesh, "default")
    client.delete_object(Bucket=bucket, Key="model")
    held = f"storage/weights (bucket {bucket}, 1 old version, 1 delete marker, 7 B)"
    assert held in error(mesh, "destroy", "aws-east", "--yes")["what"]
    mesh.meshctl("destroy", "aws-east", *LOSE, "aws-east")
    assert buckets(mesh, "default") == []


@pytest.mark.parametrize(("environment", "profile"), [("aws-east", "default"), ("dc1", "dc1")])
def test_an_unfinished_upload_is_data_and_goes_when_asked(mesh: RunningLab, environment: str, profile: str) -> None:
    mesh.meshctl("up", environment, "--yes", "--object-storage-only")
    (bucket,) = buckets(mesh, profile)
    mesh.boto3("s3", profile).create_multipart_upload(Bucket=bucket, Key="model")
    held = f"storage/weights (bucket {bucket}, 1 unfinished upload)"
    assert held in error(mesh, "destroy", environment, "--yes")["what"]
    mesh.meshctl("destroy", environment, *LOSE, environment)
    assert buckets(mesh, profile) == []


@pytest.mark.exhaustive
def test_a_bucket_is_protected_once_it_is_no_longer_ephemeral_and_goes_with_its_content_while_it_is(
    mesh: RunningLab,
) -> None:
    declare(mesh, EPHEMERAL)
    mesh.meshctl("up", "dc1", "--yes")
    _, bucket = put(mesh, "dc1")
    declare(mesh, WEIGHTS)
    (change,) = mesh.json("plan", "dc1")["changes"]
    assert (change["subject"], change["action"]) == ("storage/weights", "update")
    assert change["fields"] == [{"path": "ephemeral", "old": True, "new": False, "forces_replace": False}]
    mesh.meshctl("up", "dc1", "--yes")
    assert f"storage/weights (bucket {bucket}, 1 object, 7 B)" in error(mesh, "destroy", "dc1", "--yes")["what"]

    declare(mesh, EPHEMERAL)
    mesh.meshctl("up", "dc1", *LOSE, "dc1")
    mesh.meshctl("destroy", "dc1", "--yes")
    assert buckets(mesh, "dc1") == []


def refused_migration(here: RunningLab) -> dict[str, Any]:
    failed = here.meshctl("--output", "json", "migrate", "dc1", "cw", "--dry-run", check=False)
    assert failed.returncode == 65, failed.stdout
    found: dict[str, Any] = json.loads(failed.stdout)["error"]
    return found


@pytest.mark.exhaustive
def test_volumes_that_become_ephemeral_are_asked_about_and_the_hints_lead_on(mesh: RunningLab) -> None:
    declare(mesh, VOLUMES)
    mesh.meshctl("up", "dc1", "--yes")
    hint = refused_migration(mesh)["hint"]
    assert hint.startswith("nothing in dc1 was changed")
    up, migrate = re.findall(r"`meshctl ([^`]+)`", hint)

    declare(mesh, VOLUMES.replace("1GiB}", "1GiB, ephemeral: true}"))
    assert "dc1 still has the data" in refused_migration(mesh)["hint"]
    plan = mesh.meshctl("plan", "dc1").stdout
    assert "~ storage/disk    ephemeral from now on" in plan
    assert "~ storage/shared  ephemeral from now on" in plan
    assert "workload/site: the volumes of its pods stay in the cluster" in plan
    assert mesh.json("plan", "dc1")["data_at_risk"] == ["storage/disk", "storage/shared"]
    what = error(mesh, "up", "dc1", "--yes")["what"]
    for claim in ("disk-site-0", "shared"):
        volume = mesh.kubectl("dc1", "get", "pvc", claim, "-n", "small", "-o", "jsonpath={.spec.volumeName}")
        assert f"(claim {claim}, volume {volume}" in what
    assert "statefulset.apps/site" in mesh.kubectl("dc1", "get", "statefulset", "-n", "small", "-o", "name")

    mesh.meshctl(*up.split(), "--yes", "--confirm", "dc1")
    assert "no changes" in mesh.meshctl("plan", "dc1").stdout
    mesh.meshctl(*migrate.split(), "--dry-run")
    refused = error(mesh, "destroy", "dc1", "--yes")
    assert "claim/disk-site-0 (claim disk-site-0, volume pvc-" in refused["what"]
    assert "shared" not in refused["what"]


CLAIM = """\
apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: Namespace, metadata: {{name: small, labels: {{team: vision}}}}}}
- apiVersion: v1
  kind: PersistentVolumeClaim
  metadata: {{name: acme-files, namespace: small}}
  spec: {{accessModes: [ReadWriteMany], storageClassName: {storage_class}, resources: {{requests: {{storage: 1Gi}}}}}}
"""
CLASSES = {"dc1": "nfs", "cw": "shared-vast"}
SHARED = """\
  shared: {kind: filesystem, size: 1GiB, ephemeral: true}
  disk: {kind: block, size: 1GiB, ephemeral: true}
workloads:
  site: {kind: service, pool: web, replicas: 1, image: "acme/site:1", mounts: {shared: {path: /s}, weights: {path: /w}}}
"""


def claim_of_others(here: RunningLab, context: str) -> dict[str, Any]:
    """The claim, as `kubectl` shows it: what tells it and its volume from any other, and how it is."""
    shown = json.loads(here.kubectl(context, "get", "pvc", "acme-files", "-n", "small", "-o", "json"))
    return {
        "uid": shown["metadata"]["uid"],
        "labels": shown["metadata"].get("labels"),
        "spec": shown["spec"],
        "phase": shown["status"]["phase"],
        "leaves": shown["metadata"].get("deletionTimestamp"),
    }


def make_claim(here: RunningLab, context: str) -> dict[str, Any]:
    file = here.folder / f"{context}.yaml"
    file.write_text(CLAIM.format(storage_class=CLASSES[context]))
    here.kubectl(context, "apply", "-f", str(file))
    here.kubectl(context, "wait", "pvc/acme-files", "-n", "small", "--for=jsonpath={.status.phase}=Bound")
    return claim_of_others(here, context)


def adopt(here: RunningLab, **storage: str) -> None:
    """`storage`: by environment, what its section says of the mesh's storage."""
    file = here.folder / "environments.yaml"
    text = file.read_text()
    for environment, existing in storage.items():
        adopted = f"  {environment}:\n    storage: {existing}\n"
        text = re.sub(rf"^  {environment}:\n", adopted, text, count=1, flags=re.M)
    file.write_text(text)


@pytest.mark.exhaustive
def test_what_is_adopted_outlives_every_environment_that_uses_it(
    mesh: RunningLab, request: pytest.FixtureRequest
) -> None:
    """A bucket and a claim: up, moved from one adopted bucket into another, finished, destroyed: all is as it was."""
    clients = {"acme-weights": mesh.boto3("s3", "dc1"), "acme-weights-cw": mesh.boto3("s3", "coreweave")}
    for bucket, client in clients.items():
        client.create_bucket(Bucket=bucket)
        request.addfinalizer(partial(remove_bucket, client, bucket))
    clients["acme-weights"].put_object(Bucket="acme-weights", Key="model", Body=b"of somebody else")
    claims = {}
    for context in CLASSES:
        request.addfinalizer(partial(mesh.kubectl, context, "delete", "namespace", "small"))
        claims[context] = make_claim(mesh, context)
    declare(mesh, WEIGHTS + SHARED)
    adopt(
        mesh,
        dc1="{weights: {bucket: acme-weights}, shared: {claim: acme-files}}",
        cw="{weights: {bucket: acme-weights-cw}, shared: {claim: acme-files}}",
    )

    plan = mesh.json("plan", "dc1")
    assert any(note.startswith("storage/shared: adopted: ") for note in plan["notes"])
    mesh.meshctl("up", "dc1", "--yes")
    mesh.meshctl("migrate", "dc1", "cw", "--yes")
    mesh.meshctl("migrations", "finish", "--yes", "--delete-source-data", "--confirm", "dc1")
    mesh.meshctl("destroy", "cw", "--yes")

    bodies = {name: each.get_object(Bucket=name, Key="model")["Body"].read() for name, each in clients.items()}
    assert bodies == dict.fromkeys(clients, b"of somebody else")
    assert buckets(mesh, "dc1") == buckets(mesh, "coreweave") == []
    for context, before in claims.items():
        assert claim_of_others(mesh, context) == before
        everything = mesh.kubectl(
            context, "get", "deploy,svc,sa,secret,cm,pvc", "-n", "small", "-o", "name", "-l", OURS
        )
        assert everything == ""
        namespace = json.loads(mesh.kubectl(context, "get", "namespace", "small", "-o", "json"))
        assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "small", "team": "vision"}
