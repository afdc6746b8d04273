"""An environment stays in its cluster: two real API servers, and kubeconfigs that lead to the wrong one, or to none.

One environment is brought up on `cw` for the whole file; the last tests change what its state says.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.lab.network.ports import free_ports
from tests.lab_fixture import RunningLab

EXAMPLE = Path(__file__).parents[2] / "examples" / "llm-prod"
MESH = """\
apiVersion: meshctl/v1
kind: Mesh
name: placed
pools:
  web: {role: general, nodes: 1, cpu: {cores: 4}}
storage:
  weights: {kind: object, size: 1GiB}
"""
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def mesh(lab: RunningLab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    folder = tmp_path_factory.mktemp("placed")
    shutil.copy(EXAMPLE / "environments.yaml", folder)
    (folder / "mesh.yaml").write_text(MESH)
    here = lab.at(folder)
    here.meshctl("up", "cw", "--yes")
    yield here
    shutil.copy(EXAMPLE / "environments.yaml", folder)
    here.meshctl("destroy", "cw", "--yes", "--allow-data-loss", "--confirm", "cw")


@pytest.fixture
def declared(mesh: RunningLab) -> Iterator[Path]:
    """environments.yaml, put back after the test."""
    yield mesh.folder / "environments.yaml"
    shutil.copy(EXAMPLE / "environments.yaml", mesh.folder)


def error(here: RunningLab, *arguments: str, **variables: str) -> dict[str, Any]:
    failed = here.meshctl("--output", "json", *arguments, check=False, timeout_s=60, **variables)
    assert failed.returncode != 0, failed.stdout
    found: dict[str, Any] = json.loads(failed.stdout)["error"]
    assert found["exit_code"] == failed.returncode
    return found


def uid(here: RunningLab, context: str, kind: str = "namespace", name: str = "kube-system") -> str:
    return here.kubectl(context, "get", kind, name, "-o", "jsonpath={.metadata.uid}")


def rewired(here: RunningLab, change: Any) -> str:
    """The lab's kubeconfig after `change`, as a file; its path."""
    config = yaml.safe_load(Path(here.env["KUBECONFIG"].split(":")[0]).read_text())
    change({kind: {item["name"]: item for item in config[kind]} for kind in ("contexts", "clusters", "users")})
    path = here.folder / f"kubeconfig-{change.__name__}"
    path.write_text(yaml.safe_dump(config))
    return str(path)


def swapped(parts: dict[str, Any]) -> None:
    """The context `cw` leads to the cluster of `dc1`."""
    parts["contexts"]["cw"]["context"] = parts["contexts"]["dc1"]["context"]


def silent(parts: dict[str, Any]) -> None:
    cluster = parts["clusters"][parts["contexts"]["cw"]["context"]["cluster"]]
    cluster["cluster"]["server"] = f"https://127.0.0.1:{free_ports(1)[0]}"


def expired(parts: dict[str, Any]) -> None:
    parts["users"][parts["contexts"]["cw"]["context"]["user"]]["user"] = {"token": "expired"}


def state(here: RunningLab) -> Path:
    (found,) = (here.folder / ".meshctl" / "state").rglob("stacks/placed/cw.json")
    return found


def test_a_context_of_another_cluster_is_refused_before_anything_runs(mesh: RunningLab, declared: Path) -> None:
    pool = uid(mesh, "cw", "nodepool", "placed-web")
    declared.write_text(declared.read_text().replace("{context: cw}", "{context: dc1}"))
    for command in (("plan", "cw"), ("up", "cw", "--yes"), ("migrate", "cw", "dc1", "--yes")):
        if command[0] == "migrate":
            declared.write_text(declared.read_text().replace("{context: dc1}", "{context: cw}", 1))
            refused = error(mesh, *command, KUBECONFIG=rewired(mesh, swapped))
        else:
            refused = error(mesh, *command)
        assert refused["code"] == "usage", refused
        assert uid(mesh, "cw") in refused["why"]
        assert uid(mesh, "dc1") in refused["why"]
    assert uid(mesh, "cw", "nodepool", "placed-web") == pool
    assert "placed" not in mesh.kubectl("dc1", "get", "namespaces", "-o", "name")


def test_gaps_of_another_cluster_are_not_what_is_reported(mesh: RunningLab, declared: Path) -> None:
    mesh.meshctl("up", "dc1", "--yes")
    try:
        declared.write_text(declared.read_text().replace("{context: dc1}", "{context: cw}"))
        assert error(mesh, "plan", "dc1")["code"] == "usage"
    finally:
        mesh.meshctl("destroy", "dc1", "--yes")


def test_destroy_and_status_do_not_take_another_cluster_for_an_empty_one(mesh: RunningLab) -> None:
    wrong = rewired(mesh, swapped)
    refused = error(mesh, "destroy", "cw", "--yes", KUBECONFIG=wrong)
    assert refused["code"] == "usage"
    assert "--forget-cluster" in refused["hint"]
    seen = mesh.meshctl("--output", "json", "status", "cw", KUBECONFIG=wrong).stdout
    found = json.loads(seen)["environments"]["cw"]
    assert found["state"] == "unknown"
    assert "cw is in another cluster" in found["error"]
    assert not found["pools"]
    assert not mesh.json("plan", "cw")["changes"], "nothing was forgotten"


@pytest.mark.parametrize("command", [("plan", "cw"), ("up", "cw", "--yes"), ("destroy", "cw", "--yes")])
def test_a_cluster_that_cannot_be_asked_is_said_at_once(mesh: RunningLab, command: tuple[str, ...]) -> None:
    before = state(mesh).read_bytes()
    for given, code in (
        ("/nonexistent", "credentials"),
        (rewired(mesh, expired), "credentials"),
        (rewired(mesh, silent), "unreachable"),
    ):
        refused = error(mesh, *command, KUBECONFIG=given)
        assert refused["code"] == code, refused
        assert "failures" not in refused, "the cluster is what is wrong, not one of its objects"
        assert refused["hint"]
    assert state(mesh).read_bytes() == before


def test_a_renamed_context_changes_nothing(mesh: RunningLab, declared: Path) -> None:
    def renamed(parts: dict[str, Any]) -> None:
        parts["contexts"]["cw"]["name"] = "cw-east"
        parts["clusters"][parts["contexts"]["cw"]["context"]["cluster"]]["cluster"]["server"] += "/"

    declared.write_text(declared.read_text().replace("{context: cw}", "{context: cw-east}"))
    found = mesh.meshctl("--output", "json", "plan", "cw", KUBECONFIG=rewired(mesh, renamed)).stdout
    assert not json.loads(found)["changes"]


def test_a_state_of_an_older_version_gets_its_cluster_recorded(mesh: RunningLab) -> None:
    here = uid(mesh, "cw")
    pool = uid(mesh, "cw", "nodepool", "placed-web")
    saved = json.loads(state(mesh).read_text())
    for resource in saved["checkpoint"]["latest"]["resources"]:
        for part in (resource.get("inputs") or {}, resource.get("outputs") or {}):
            part.pop("clusterIdentifier", None)
            part.pop("cluster_uid", None)
    state(mesh).write_text(json.dumps(saved))
    assert here not in state(mesh).read_text()
    mesh.meshctl("up", "cw", "--yes")
    assert here in state(mesh).read_text()
    assert uid(mesh, "cw", "nodepool", "placed-web") == pool


def test_a_cluster_that_is_there_is_not_forgotten(mesh: RunningLab) -> None:
    forget = ("up", "cw", "--yes", "--forget-cluster")
    assert error(mesh, *forget)["code"] == "protected"
    refused = error(mesh, *forget, "--confirm", "cw", KUBECONFIG=mesh.env["KUBECONFIG"])
    assert (refused["code"], "still exists" in refused["what"]) == ("usage", True)


def test_what_was_in_a_cluster_that_is_gone_is_made_anew_and_buckets_stay(mesh: RunningLab) -> None:
    client = mesh.boto3("s3", "coreweave")
    (bucket,) = [b["Name"] for b in client.list_buckets()["Buckets"] if b["Name"].startswith("placed-cw")]
    client.put_object(Bucket=bucket, Key="model", Body=b"weights")
    mesh.kubectl("cw", "delete", "nodepool", "placed-web")
    mesh.kubectl("cw", "delete", "namespace", "placed")
    here = uid(mesh, "cw")
    state(mesh).write_text(state(mesh).read_text().replace(here, "00000000-0000-0000-0000-000000000000"))
    assert error(mesh, "up", "cw", "--yes")["code"] == "usage"
    mesh.meshctl("up", "cw", "--yes", "--forget-cluster", "--confirm", "cw")
    assert uid(mesh, "cw", "nodepool", "placed-web")
    assert client.get_object(Bucket=bucket, Key="model")["Body"].read() == b"weights"
    assert not mesh.json("plan", "cw")["changes"]
