"""What is made, and what is not, for claims and exports that exist: above all, nothing that takes them along."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Block, Deployment, FileSystem, Mount, NfsExport, Price, Workload
from meshctl.render import PlatformObject
from stacks.platform import token
from tests.unit.deployments import deployment

PRICE = Price(subject="storage/shared", usd_per_hour=None, source="by hand")
CLAIMED = FileSystem(name="shared", service="claim", size_gib=100, existing_claim="acme-files", price=PRICE)
VOLUME = Block(name="shared", size_gib=100, storage_class="", existing_claim="acme-files", price=PRICE)
EXPORT = FileSystem(
    name="shared", service="nfs", size_gib=100, nfs=NfsExport(server="nfs.acme", path="/export"), price=PRICE
)


def mounting(kind: str = "filesystem", **changes: Any) -> Deployment:
    mount = Mount(storage="shared", kind="filesystem", path="/data").model_copy(
        update={"kind": kind, "is_adopted": True}
    )
    made = deployment("dc")
    chat = made.workload("chat")
    web = Workload(name="web", kind="service", pool=chat.pool, replicas=1, image="i", mounts=(mount,))
    return made.model_copy(update={"object_stores": (), "workloads": (web,), "endpoints": (), **changes})


def objects(made: Deployment) -> dict[str, PlatformObject]:
    return {item.name: item for item in render.platform_objects(made)}


def volumes(made: Deployment) -> list[dict[str, Any]]:
    server = next(item for item in objects(made).values() if item.kind in ("Deployment", "StatefulSet"))
    assert server.kind == "Deployment"
    pod = server.manifest["spec"]["template"]["spec"]
    return [volume for volume in pod["volumes"] if volume["name"] == "shared"]


@pytest.mark.parametrize(
    "made",
    [mounting(file_systems=(CLAIMED,)), mounting("block", blocks=(VOLUME,))],
    ids=["filesystem", "block"],
)
def test_an_adopted_claim_is_mounted_and_not_declared(made: Deployment) -> None:
    assert volumes(made) == [{"name": "shared", "persistentVolumeClaim": {"claimName": "acme-files"}}]
    kinds = {item.kind for item in objects(made).values()}
    assert not kinds & {"PersistentVolumeClaim", "PersistentVolume", "StorageClass"}


def test_a_namespace_that_is_given_gets_a_label_and_is_never_deleted() -> None:
    namespace = objects(mounting(file_systems=(CLAIMED,), namespace_is_given=True))["platform:namespace"]
    assert token(namespace) == "kubernetes:core/v1:NamespacePatch"
    assert namespace.manifest["metadata"] == {"name": "llm-prod", "labels": {"meshctl.dev/environment": "dc"}}


def test_a_namespace_of_meshctl_s_outlives_the_claims_of_others_in_it() -> None:
    namespace = objects(mounting(file_systems=(CLAIMED,)))["platform:namespace"]
    assert (namespace.patch, namespace.retain) == (False, True)
    assert not objects(deployment("dc"))["platform:namespace"].retain


def test_an_export_gets_a_volume_that_deletes_nothing_and_a_claim_for_it() -> None:
    made = mounting(file_systems=(EXPORT,))
    volume = objects(made)["storage/shared:volume"].manifest
    assert volume["metadata"]["name"] == "llm-prod-shared"
    assert volume["spec"]["nfs"] == {"server": "nfs.acme", "path": "/export"}
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    assert volume["spec"]["claimRef"]["namespace"] == "llm-prod"
    assert "mountOptions" not in volume["spec"]
    claim = objects(made)["storage/shared:claim"].manifest["spec"]
    assert (claim["volumeName"], claim["storageClassName"]) == ("llm-prod-shared", "")
    assert volumes(made) == [{"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}}]


def test_mount_options_of_an_export() -> None:
    nfs = NfsExport(server="nfs.acme", path="/export", mount_options=("nfsvers=4.1", "hard"))
    made = mounting(file_systems=(EXPORT.model_copy(update={"nfs": nfs}),))
    assert objects(made)["storage/shared:volume"].manifest["spec"]["mountOptions"] == ["nfsvers=4.1", "hard"]


def pod_of(made: Deployment) -> dict[str, Any]:
    server = next(item for item in objects(made).values() if item.kind in ("Deployment", "StatefulSet"))
    spec: dict[str, Any] = server.manifest["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize(
    "made",
    [mounting(file_systems=(CLAIMED,)), mounting("block", blocks=(VOLUME,))],
    ids=["filesystem", "block"],
)
def test_mounting_an_adopted_claim_leaves_group_and_mode_of_its_files(made: Deployment) -> None:
    context = pod_of(made)["securityContext"]
    assert not context.keys() & {"fsGroup", "fsGroupChangePolicy"}
    assert context["supplementalGroups"] == [1000]
    assert (context["runAsUser"], context["seccompProfile"]) == (1000, {"type": "RuntimeDefault"})


def test_without_fs_group_the_pods_user_can_read_its_secret_files() -> None:
    made = mounting(file_systems=(CLAIMED,))
    web = made.workloads[0].model_copy(update={"secret_files": {"/key": "key"}})
    pod = pod_of(made.model_copy(update={"workloads": (web,)}))
    (volume,) = [each["secret"] for each in pod["volumes"] if each["name"] == "0-secret-files"]
    assert volume["defaultMode"] == 0o444  # the kubelet gives its files to root alone: no fsGroup names another group
