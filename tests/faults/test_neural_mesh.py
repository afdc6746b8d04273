"""NeuralMesh in the lab: comes up on GPU nodes as the example says, survives a drive, and goes only with the word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.lab.controllers import huge_pages
from meshctl.lab.weka.api import system
from meshctl.lab.weka.operator import drives
from tests.lab_fixture import RunningLab
from tests.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "neuralmesh"
CW, AWS = "cw", "aws-east"
NAME = "llm-train"
UP_S = 900.0
SHELL = {"image": "pytorch/pytorch:2.9.0", "resources": {"cpu": 1, "memory": "1GiB"}}
SCRIPTS = {
    "writer": "echo from-the-writer > /data/greeting && sleep 100000",
    "reader": "until cp /data/greeting /data/read; do sleep 0.2; done; sleep 100000",
}
pytestmark = [pytest.mark.lab, pytest.mark.exhaustive]


@dataclass(frozen=True)
class Place:
    """The mesh in one of its environments, `where`. `here.folder` has its files."""

    here: RunningLab
    where: str

    def declare(self, licence: str = "", **environment: Any) -> None:
        """The example, with two pods that run for real in the place of its workloads, and a smaller pool.
        `environment`: more of its section in environments.yaml."""
        folder = self.here.folder
        mesh = yaml.safe_load((EXAMPLE / "mesh.yaml").read_text())
        mesh["pools"]["train"]["nodes"] = 6
        mesh["storage"]["datasets"] |= {"size": "20TiB"}
        mesh["storage"]["datasets"].pop("throughput")
        mesh["storage"]["checkpoints"] |= {"size": "2TiB"}
        mesh["workloads"] = {name: _service(name, pool) for name, pool in (("writer", "train"), ("reader", "serve"))}
        (folder / "mesh.yaml").write_text(yaml.safe_dump(mesh))
        environments = yaml.safe_load((EXAMPLE / "environments.yaml").read_text())
        section = environments["environments"][self.where] | environment
        environments["environments"] = {self.where: section}
        if not licence:
            del section["neuralMesh"]["licence"]
            del environments["secrets"]["weka-licence"]
        section["neuralMesh"]["organization"] = {
            "name": "research",
            **{f"{user}Password": f"weka-{user}" for user in ("admin", "driver")},
        }
        for user in ("admin", "driver"):
            environments["secrets"][f"weka-{user}"] = {"file": f"weka-{user}.txt"}
            (folder / f"weka-{user}.txt").write_text(f"Secret-of-the-{user}")
        (folder / "weka-licence.txt").write_text(licence)
        (folder / "quay.json").write_text(json.dumps({"auths": {"quay.io": {"auth": "bWVzaDptZXNo"}}}))
        (folder / "environments.yaml").write_text(yaml.safe_dump(environments))

    def up(self) -> None:
        self.here.meshctl("up", self.where, "--yes", timeout_s=UP_S)

    def refused(self, command: str) -> str:
        """What a command says that needs the word, and has not got it."""
        done = self.here.meshctl(command, self.where, "--yes", check=False, timeout_s=UP_S)
        assert done.returncode != 0
        return done.stdout + done.stderr

    def destroy(self, *, check: bool = True) -> None:
        lose = ("--yes", "--allow-data-loss", "--confirm", self.where)
        self.here.meshctl("destroy", self.where, *lose, check=check, timeout_s=UP_S)

    def status(self) -> str:
        return self.here.meshctl("status", self.where).stdout

    def kubectl(self, *arguments: str) -> str:
        return self.here.kubectl(self.where, *arguments)

    def organizations(self) -> set[str]:
        """Those of the cluster's file systems."""
        (file,) = (self.here.lab.root / system.FOLDER).glob(f"*.{NAME}.{NAME}/{system.FILE}")
        return {each["organization"] for each in json.loads(file.read_text())["file_systems"].values()}

    def weka_status(self) -> dict[str, Any]:
        cluster = json.loads(self.kubectl("get", "wekacluster", NAME, "-n", NAME, "-o", "json"))
        status: dict[str, Any] = cluster["status"]
        return status

    def folder(self, claim: str) -> Path:
        volume = self.kubectl("get", "pvc", claim, "-n", NAME, "-o", "jsonpath={.spec.volumeName}")
        return self.here.lab.root / "volumes" / volume

    def nodes(self) -> list[dict[str, Any]]:
        nodes: list[dict[str, Any]] = json.loads(self.kubectl("get", "nodes", "-o", "json"))["items"]
        return nodes


def _service(name: str, pool: str) -> dict[str, Any]:
    command, mounts = ["sh", "-c", SCRIPTS[name]], {"checkpoints": {"path": "/data"}}
    return {"kind": "service", "pool": pool, "replicas": 1, **SHELL, "command": command, "mounts": mounts}


@pytest.fixture
def place(request: pytest.FixtureRequest, lab: RunningLab, tmp_path: Path) -> Iterator[Place]:
    """Nothing is up yet. Whoever runs a cluster that is given has set huge pages aside; machines of EC2 do it as they
    are told at their start."""
    where, pages = request.param, lab.lab.root / huge_pages.FILE
    pages.write_text(json.dumps({CW: {"*": 131072}}))
    made = Place(lab.at(tmp_path), where)
    made.declare()
    yield made
    made.destroy(check=False)
    pages.unlink()


@pytest.mark.parametrize("place", [CW, AWS], indirect=True)
def test_a_mesh_on_neuralmesh_lives_and_ends(place: Place) -> None:
    place.up()
    status = place.weka_status()
    assert status["status"] == "Ready"
    assert status["stats"]["alertsCount"] == 1  # it has no licence yet
    assert "no changes" in place.here.meshctl("plan", place.where).stdout

    # volumes and tiered file systems are where the environment wants them
    assert place.organizations() == {"research"}

    # a file that one pod writes is read by another, on a node of another pool
    written = place.folder("checkpoints")
    wait_until(lambda: (written / "read").exists())
    assert (written / "read").read_text() == "from-the-writer\n"

    survives_a_drive(place)
    assert (written / "greeting").read_text() == "from-the-writer\n"

    # a licence is of this cluster, which has its GUID only now
    place.declare(licence=f"licence of {status['clusterID']}")
    place.up()
    wait_until(lambda: place.weka_status()["stats"]["alertsCount"] == 0)
    if place.where == AWS:
        keeps_its_nodes(place, licence=f"licence of {status['clusterID']}")

    # data is deleted with the word alone, and then at once
    assert "checkpoints" in place.refused("destroy")
    assert place.weka_status()["status"] == "Ready"
    assert (written / "greeting").exists()
    place.destroy()
    assert not written.exists()
    leaves_nothing(place)


def survives_a_drive(place: Place) -> None:
    """A drive that fails changes nothing for pods, and is named."""
    node = next(each for each in place.nodes() if drives.signed(each))
    serial, name = drives.signed(node)[0], node["metadata"]["name"]
    place.kubectl("annotate", "node", name, f"{drives.FAILED}={serial}")
    wait_until(lambda: place.weka_status()["stats"]["clusterStatus"] == "REBUILDING")
    said = place.status()
    assert serial in said
    assert "rebuilding" in said
    place.kubectl("annotate", "node", name, f"{drives.FAILED}-")
    wait_until(lambda: serial not in place.status())


def keeps_its_nodes(place: Place, licence: str) -> None:
    """Tags that an environment requires are in the launch template: EKS would replace the nodes one by one."""
    interfaces = {
        each["metadata"]["name"]: each["status"]["allocatable"].get("weka.io/weka-nics") for each in place.nodes()
    }
    assert sorted(interfaces.values()) == ["14"] * 6 + ["2"]
    before = {each["metadata"]["uid"] for each in place.nodes()}
    place.declare(licence, tags={"cost-center": "seven"})
    said = place.refused("up")
    assert "nodes of pool train, whose drives carry it, are replaced" in " ".join(said.split())
    assert {each["metadata"]["uid"] for each in place.nodes()} == before
    place.declare(licence)
    assert "no changes" in place.here.meshctl("plan", place.where).stdout


def leaves_nothing(place: Place) -> None:
    if place.where == CW:
        assert place.kubectl("get", "wekaclusters,wekacontainers", "-A", "-o", "name") == ""
        return
    own = [{"Name": "tag:meshctl.dev/mesh", "Values": [NAME]}]
    ec2 = place.here.boto3("ec2")
    assert ec2.describe_vpcs(Filters=own)["Vpcs"] == []
    assert ec2.describe_launch_templates(Filters=own)["LaunchTemplates"] == []
    assert f"{NAME}-{AWS}" not in place.here.boto3("eks").list_clusters()["clusters"]
