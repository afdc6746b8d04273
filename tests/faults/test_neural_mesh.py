"""NeuralMesh in the lab: comes up on GPU nodes as the example says, survives a drive, and goes only with the word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.lab.controllers import huge_pages
from meshctl.lab.weka import drives
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "neuralmesh"
WHERE = "cw"
NAME = "llm-train"
LOSE = ("--yes", "--allow-data-loss", "--confirm", WHERE)
UP_S = 900.0
SHELL = {"image": "pytorch/pytorch:2.9.0", "resources": {"cpu": 1, "memory": "1GiB"}}
SCRIPTS = {
    "writer": "echo from-the-writer > /data/greeting && sleep 100000",
    "reader": "until cp /data/greeting /data/read; do sleep 0.2; done; sleep 100000",
}
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


def declared(folder: Path, licence: str = "") -> None:
    """The example, with two pods that run for real in the place of its workloads, and a smaller pool."""
    mesh = yaml.safe_load((EXAMPLE / "mesh.yaml").read_text())
    mesh["pools"]["train"]["nodes"] = 6
    mesh["storage"]["datasets"] |= {"size": "20TiB"}
    mesh["storage"]["datasets"].pop("throughput")
    mesh["storage"]["checkpoints"] |= {"size": "2TiB"}
    mesh["workloads"] = {
        name: {
            "kind": "service",
            "pool": pool,
            "replicas": 1,
            **SHELL,
            "command": ["sh", "-c", SCRIPTS[name]],
            "mounts": {"checkpoints": {"path": "/data"}},
        }
        for name, pool in (("writer", "train"), ("reader", "serve"))
    }
    (folder / "mesh.yaml").write_text(yaml.safe_dump(mesh))
    environments = yaml.safe_load((EXAMPLE / "environments.yaml").read_text())
    environments["environments"] = {WHERE: environments["environments"][WHERE]}
    if not licence:
        del environments["environments"][WHERE]["neuralMesh"]["licence"]
        del environments["secrets"]["weka-licence"]
    (folder / "weka-licence.txt").write_text(licence)
    (folder / "quay.json").write_text(json.dumps({"auths": {"quay.io": {"auth": "bWVzaDptZXNo"}}}))
    (folder / "environments.yaml").write_text(yaml.safe_dump(environments))


@pytest.fixture
def mesh(lab: RunningLab, tmp_path: Path) -> Iterator[RunningLab]:
    """Nothing is up yet; whoever runs the cluster has set huge pages aside."""
    (lab.lab.root / huge_pages.FILE).write_text(json.dumps({WHERE: {"*": 131072}}))
    declared(tmp_path)
    here = lab.at(tmp_path)
    yield here
    here.meshctl("destroy", WHERE, *LOSE, check=False, timeout_s=UP_S)
    (lab.lab.root / huge_pages.FILE).unlink()


def weka_cluster(here: RunningLab) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(here.kubectl(WHERE, "get", "wekacluster", NAME, "-n", NAME, "-o", "json"))
    return found


def folder(here: RunningLab, claim: str) -> Path:
    volume = here.kubectl(WHERE, "get", "pvc", claim, "-n", NAME, "-o", "jsonpath={.spec.volumeName}")
    return here.lab.root / "volumes" / volume


def words(here: RunningLab) -> str:
    return here.meshctl("status", WHERE).stdout


def test_a_mesh_on_neuralmesh_lives_and_ends(mesh: RunningLab) -> None:
    mesh.meshctl("up", WHERE, "--yes", timeout_s=UP_S)
    status = weka_cluster(mesh)["status"]
    assert status["status"] == "Ready"
    assert status["stats"]["alertsCount"] == 1  # it has no licence yet
    assert "no changes" in mesh.meshctl("plan", WHERE).stdout

    # a file that one pod writes is read by another, on a node of another pool
    written = folder(mesh, "checkpoints")
    wait_until(lambda: (written / "read").exists())
    assert (written / "read").read_text() == "from-the-writer\n"

    # a drive that fails changes nothing for pods, and is named
    nodes = json.loads(mesh.kubectl(WHERE, "get", "nodes", "-o", "json"))["items"]
    node = next(each for each in nodes if drives.signed(each))
    serial, name = drives.signed(node)[0], node["metadata"]["name"]
    mesh.kubectl(WHERE, "annotate", "node", name, f"{drives.FAILED}={serial}")
    wait_until(lambda: weka_cluster(mesh)["status"]["stats"]["clusterStatus"] == "REBUILDING")
    assert serial in words(mesh)
    assert "rebuilding" in words(mesh)
    (written / "read").unlink()
    assert (written / "greeting").read_text() == "from-the-writer\n"
    mesh.kubectl(WHERE, "annotate", "node", name, f"{drives.FAILED}-")
    wait_until(lambda: serial not in words(mesh))

    # a licence is of this cluster, which has its GUID only now
    declared(mesh.folder, licence=f"licence of {status['clusterID']}")
    mesh.meshctl("up", WHERE, "--yes", timeout_s=UP_S)
    wait_until(lambda: weka_cluster(mesh)["status"]["stats"]["alertsCount"] == 0)

    # data is deleted with the word alone, and then at once
    refused = mesh.meshctl("destroy", WHERE, "--yes", check=False, timeout_s=UP_S)
    assert refused.returncode != 0
    assert "checkpoints" in refused.stdout + refused.stderr
    assert weka_cluster(mesh)["status"]["status"] == "Ready"
    assert (written / "greeting").exists()
    mesh.meshctl("destroy", WHERE, *LOSE, timeout_s=UP_S)
    assert mesh.kubectl(WHERE, "get", "wekaclusters,wekacontainers", "-A", "-o", "name") == ""
    assert not written.exists()
