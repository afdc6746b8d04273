"""The lab's CSI driver of WEKA: claims that become folders, and those that get none, with the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.controllers.nodes import NODES
from meshctl.lab.pods import volumes as mounts
from meshctl.lab.weka import provisioner
from meshctl.lab.weka.api.system import FileSystem
from meshctl.lab.weka.operator import world
from meshctl.lab.weka.operator.clients import accessible
from tests.unit.lab_weka.kubernetes_in_memory import Kubernetes, node, sign_drives, weka_client, weka_cluster

DRIVER = "prod.weka.weka.io"
SECRET = {
    "csi.storage.k8s.io/provisioner-secret-name": "weka-csi-prod",
    "csi.storage.k8s.io/provisioner-secret-namespace": "weka",
}
OWN_FILE_SYSTEM = {"volumeType": "weka/v2", "filesystemGroupName": "default", **SECRET}


@pytest.fixture
def kubernetes(tmp_path: Path) -> Iterator[Kubernetes]:
    """A cluster that serves, and its clients."""
    made = Kubernetes(tmp_path)
    made.put(NODES, *(node(f"n{number}") for number in range(6)))
    made.put(world.POLICIES, sign_drives())
    made.put(world.CLUSTERS, weka_cluster())
    made.put(world.CLIENTS, weka_client())
    made.look_until(lambda: made.of("/apis/storage.k8s.io/v1/csidrivers") != [])
    yield made
    for key in list(made.registry.systems):
        made.registry.remove(*key.split("."))


def storage_class(name: str = "shared", **parameters: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "parameters": parameters or OWN_FILE_SYSTEM,
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
    }


def claim(name: str = "data", size: str = "100Gi") -> dict[str, Any]:
    return {
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": "mesh"},
        "spec": {
            "storageClassName": "shared",
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": size}},
        },
    }


def volumes(kubernetes: Kubernetes) -> list[dict[str, Any]]:
    return kubernetes.of(provisioner.VOLUMES)


def test_a_claim_becomes_a_file_system_of_its_own(kubernetes: Kubernetes, tmp_path: Path) -> None:
    kubernetes.put(provisioner.CLASSES, storage_class())
    kubernetes.put(provisioner.CLAIMS, claim())
    kubernetes.look()
    (volume,) = volumes(kubernetes)
    (system,) = kubernetes.registry.all()
    (each,) = system.file_systems.values()
    assert volume["spec"]["csi"]["volumeHandle"] == f"weka/v2/{each.name}"
    assert each.total_bytes == 100 * 1024**3
    link = tmp_path / "volumes" / volume["metadata"]["name"]
    (link / "a").write_text("x")
    assert (system.data_of(each) / "a").read_text() == "x"
    terms = volume["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert [term["key"] for one in terms for term in one["matchExpressions"]] == [accessible(DRIVER)]
    assert mounts.folder_of(volume, tmp_path) == link

    volume["status"] = {"phase": "Released"}
    kubernetes.look()
    assert volumes(kubernetes) == []
    assert system.file_systems == {}
    assert not link.is_symlink()


def test_a_pod_mounts_where_a_client_runs(kubernetes: Kubernetes, tmp_path: Path) -> None:
    kubernetes.put(NODES, node("cpu-0", labels={"pool": "cpu"}))
    kubernetes.put(provisioner.CLASSES, storage_class())
    kubernetes.put(provisioner.CLAIMS, claim())
    kubernetes.look()
    (volume,) = volumes(kubernetes)
    bound = kubernetes.get("/api/v1/namespaces/mesh/persistentvolumeclaims/data")
    bound["spec"]["volumeName"] = volume["metadata"]["name"]
    bound["status"]["phase"] = "Bound"
    place = mounts.Place(tmp_path, tmp_path / "pod", kubernetes.client)

    def mounted(on: str) -> Path:
        source = {"name": "d", "persistentVolumeClaim": {"claimName": "data"}}
        pod = {"metadata": {"namespace": "mesh", "name": "p"}, "spec": {"nodeName": on, "volumes": [source]}}
        return asyncio.run(mounts.prepare(pod, place, {}))["d"]

    assert mounted("n0").resolve().is_relative_to(tmp_path / "weka")
    with pytest.raises(mounts.VolumeNotReadyError, match="no WEKA client runs on node cpu-0"):
        mounted("cpu-0")
    mounted("n0").unlink()
    with pytest.raises(mounts.VolumeNotReadyError, match="its file system is not there"):
        mounted("n0")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"volumeType": "dir/v1", **SECRET}, "missing filesystemName"),
        ({"volumeType": "dir/v1", "filesystemName": "none", **SECRET}, "file system none does not exist"),
        ({"volumeType": "weka/v2", **SECRET}, "missing filesystemGroupName"),
        ({"volumeType": "weka/v2", "filesystemGroupName": "gold", **SECRET}, "group gold does not exist"),
        ({"volumeType": "weka/v9", **SECRET}, "unsupported volumeType"),
        ({"volumeType": "weka/v2", "filesystemGroupName": "default"}, "no API secret"),
        ({**OWN_FILE_SYSTEM, "csi.storage.k8s.io/provisioner-secret-name": "none"}, "weka/none is not there"),
        ({**OWN_FILE_SYSTEM, "csi.storage.k8s.io/provisioner-secret-name": "weka-client-prod"}, "no WEKA cluster"),
        ({**OWN_FILE_SYSTEM, "encryptionEnabled": "true"}, "needs a KMS"),
    ],
)
def test_a_claim_that_can_not_be_served_says_why_once(
    kubernetes: Kubernetes, parameters: dict[str, str], words: str
) -> None:
    kubernetes.put(provisioner.CLASSES, storage_class(**parameters))
    kubernetes.put(provisioner.CLAIMS, claim())
    kubernetes.look()
    kubernetes.look()
    assert volumes(kubernetes) == []
    (event,) = kubernetes.events()
    assert words in event


def test_a_claim_waits_for_its_cluster(kubernetes: Kubernetes) -> None:
    cluster = kubernetes.of(world.CLUSTERS)[0]
    cluster["spec"]["gracefulDestroyDuration"] = "24h"
    kubernetes.delete("/apis/weka.weka.io/v1alpha1/namespaces/weka/wekaclusters/prod")
    kubernetes.put(provisioner.CLASSES, storage_class())
    kubernetes.put(provisioner.CLAIMS, claim())
    kubernetes.look()
    kubernetes.look()
    assert volumes(kubernetes) == []
    assert "the WEKA cluster prod is not ready" in kubernetes.events()[0]


def test_no_volume_is_larger_than_what_is_left(kubernetes: Kubernetes) -> None:
    kubernetes.put(provisioner.CLASSES, storage_class())
    kubernetes.put(provisioner.CLAIMS, claim(size="80Ti"), claim("more", "80Ti"))
    kubernetes.look()
    assert len(volumes(kubernetes)) == 1
    assert "Not enough SSD capacity" in kubernetes.events()[0]


def test_a_folder_in_a_file_system_that_is_there(kubernetes: Kubernetes, tmp_path: Path) -> None:
    kubernetes.put(provisioner.CLASSES, storage_class())
    kubernetes.put(provisioner.CLAIMS, claim())
    kubernetes.look()
    (system,) = kubernetes.registry.all()
    (each,) = system.file_systems.values()
    kubernetes.put(
        provisioner.CLASSES,
        {**storage_class("scratch", volumeType="dir/v1", filesystemName=each.name, **SECRET)},
    )
    scratch = claim("scratch")
    scratch["spec"]["storageClassName"] = "scratch"
    kubernetes.put(provisioner.CLAIMS, scratch)
    kubernetes.look()
    volume = next(one for one in volumes(kubernetes) if one["spec"]["storageClassName"] == "scratch")
    (tmp_path / "volumes" / volume["metadata"]["name"] / "x").write_text("x")
    assert [path.name for path in system.data_of(each).rglob("x")] == ["x"]


def test_a_volume_grows_with_its_claim(kubernetes: Kubernetes) -> None:
    kubernetes.put(provisioner.CLASSES, storage_class())
    kubernetes.put(provisioner.CLAIMS, claim())
    kubernetes.look()
    path = "/api/v1/namespaces/mesh/persistentvolumeclaims/data"
    kubernetes.get(path)["status"]["phase"] = "Bound"
    kubernetes.get(path)["spec"]["resources"]["requests"]["storage"] = "200Gi"
    kubernetes.look()
    assert volumes(kubernetes)[0]["spec"]["capacity"]["storage"] == "200Gi"
    assert kubernetes.get(path)["status"]["capacity"]["storage"] == "200Gi"
    (system,) = kubernetes.registry.all()
    assert [each.total_bytes for each in system.file_systems.values()] == [200 * 1024**3]


def test_a_volume_that_somebody_declares_leads_to_its_file_system(kubernetes: Kubernetes, tmp_path: Path) -> None:
    volume = {
        "kind": "PersistentVolume",
        "metadata": {"name": "mine"},
        "spec": {
            "csi": {
                "driver": DRIVER,
                "volumeHandle": "weka/v2/tiered",
                "nodePublishSecretRef": {"name": "weka-csi-prod", "namespace": "weka"},
            }
        },
    }
    kubernetes.put(provisioner.VOLUMES, volume)
    kubernetes.look()
    assert not (tmp_path / "volumes" / "mine").exists()
    (system,) = kubernetes.registry.all()
    made = system.add_file_system(FileSystem("uid", "tiered", "default", 1, 1))
    kubernetes.look()
    assert (tmp_path / "volumes" / "mine").resolve() == system.data_of(made)


def test_a_volume_that_somebody_declares_goes_with_its_claim_where_it_says_whose_it_is(kubernetes: Kubernetes) -> None:
    secret = {"name": "weka-csi-prod", "namespace": "weka"}
    csi = {"driver": DRIVER, "volumeHandle": "weka/v2/tiered", "nodePublishSecretRef": secret}
    volume: dict[str, Any] = {
        "kind": "PersistentVolume",
        "metadata": {"name": "mine"},
        "spec": {"csi": csi, "persistentVolumeReclaimPolicy": "Delete"},
        "status": {"phase": "Released"},
    }
    (system,) = kubernetes.registry.all()
    system.add_file_system(FileSystem("uid", "tiered", "default", 1, 1))
    kubernetes.put(provisioner.VOLUMES, volume)
    kubernetes.look()
    assert volumes(kubernetes)
    volume["metadata"]["annotations"] = {"pv.kubernetes.io/provisioned-by": DRIVER}
    kubernetes.put(provisioner.VOLUMES, volume)
    kubernetes.look()
    assert not volumes(kubernetes)
    assert not system.file_systems
