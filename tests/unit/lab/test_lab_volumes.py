"""Finding B10: on EKS the drivers of FSx and EFS mount file systems that are there, and make none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.controllers import volumes
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshctl.render import platform_objects
from tests.unit.render.sample import sample


class ApiServer:
    """One claim of a class, and what is posted about it."""

    def __init__(self, provisioner: str) -> None:
        self.posted: list[dict[str, Any]] = []
        self.volumes: list[dict[str, Any]] = []
        self.listed: dict[str, list[dict[str, Any]]] = {
            "storageclasses": [{"metadata": {"name": "own"}, "provisioner": provisioner}],
            "persistentvolumeclaims": [
                {
                    "metadata": {"name": "data", "namespace": "n", "uid": "u1"},
                    "spec": {
                        "storageClassName": "own",
                        "accessModes": ["ReadWriteMany"],
                        "resources": {"requests": {"storage": "1200Gi"}},
                    },
                    "status": {"phase": "Pending"},
                }
            ],
        }

    async def items(self, _client: Any, path: str) -> list[dict[str, Any]]:
        return self.listed[path.rpartition("/")[2]]

    async def post(self, _client: Any, _path: str, body: dict[str, Any]) -> None:
        self.posted.append(body)

    async def ensure(self, _client: Any, _path: str, body: dict[str, Any]) -> None:
        self.volumes.append(body)


@pytest.mark.parametrize(
    ("provider", "provisioner", "is_made"),
    [
        ("eks", "fsx.csi.aws.com", False),
        ("eks", "efs.csi.aws.com", False),
        ("eks", "ebs.csi.aws.com", True),
        ("onprem", "nfs.csi.k8s.io", True),
    ],
)
def test_b10_a_driver_without_a_role_makes_no_volume_and_says_so(
    provider: str, provisioner: str, is_made: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = ApiServer(provisioner)
    for name in ("items", "post", "ensure"):
        monkeypatch.setattr(api, name, getattr(server, name))
    refused: set[str] = set()
    for _ in range(2):
        client: Any = object()
        assert asyncio.run(volumes.serve_claims(Lab(tmp_path), client, provider, refused))
    assert bool(server.volumes) == is_made
    assert [event["reason"] for event in server.posted] == ([] if is_made else ["ProvisioningFailed"])


def test_b10_file_systems_of_a_mesh_need_no_driver_that_makes_them() -> None:
    objects = [each.manifest for each in platform_objects(sample("aws"))]
    claims = {each["metadata"]["name"]: each for each in objects if each["kind"] == "PersistentVolumeClaim"}
    shared = [each["spec"]["claimRef"]["name"] for each in objects if each["kind"] == "PersistentVolume"]
    assert shared
    assert {claims[name]["spec"]["storageClassName"] for name in shared} == {""}
    classes = [each["provisioner"] for each in objects if each["kind"] == "StorageClass"]
    assert set(classes) <= {"ebs.csi.aws.com"}
