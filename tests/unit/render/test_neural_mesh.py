"""What is declared of a WEKA cluster, its clients and volumes, and in which order."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl import render
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, JoinedWeka, WekaContainers, WekaEncryption
from meshctl.render import PlatformObject
from tests.golden_files import Golden
from tests.unit.render.test_render_platform import text
from tests.unit.weka_mesh import joined, neural_mesh, system, with_mesh


def objects(deployed: Deployment | None = None) -> dict[str, PlatformObject]:
    return {item.name: item for item in render.platform_objects(deployed or with_mesh())}


def of_weka(made: dict[str, PlatformObject]) -> list[str]:
    return [name for name in made if name.startswith(("neuralmesh:", "storage/"))]


def spec(item: PlatformObject) -> dict[str, Any]:
    return dict(item.manifest["spec"])


def container_of(item: PlatformObject) -> dict[str, Any]:
    (container,) = spec(item)["template"]["spec"]["containers"]
    return dict(container)


def ancestors(made: dict[str, PlatformObject], name: str) -> set[str]:
    """All that comes before an object."""
    before = set(made[name].depends_on)
    return before.union(*(ancestors(made, each) for each in before)) if before else set()


def test_a_mesh_without_neuralmesh_has_nothing_of_it() -> None:
    without = with_mesh().model_copy(update={"neural_mesh": None, "file_systems": ()})
    assert not of_weka(objects(without))


def test_all_comes_after_what_it_needs() -> None:
    made = objects(with_mesh(neural_mesh(licence_secret="weka-licence")))
    assert of_weka(made) == [
        "neuralmesh:licence",
        "neuralmesh:operator-account",
        "neuralmesh:operator-cluster-role",
        "neuralmesh:operator-cluster-binding",
        "neuralmesh:operator-files",
        "neuralmesh:operator",
        "neuralmesh:sign-drives",
        "neuralmesh:cluster",
        "neuralmesh:settings-files",
        "neuralmesh:settings",
        "neuralmesh:client-serve",
        "neuralmesh:client-train",
        "storage/data:class",
        "storage/data:claim",
    ]
    before_claim = ancestors(made, "storage/data:claim")
    assert {"neuralmesh:operator", "neuralmesh:sign-drives", "neuralmesh:cluster"} <= before_claim
    assert {"neuralmesh:client-serve", "neuralmesh:client-train", "storage/data:class"} <= before_claim
    assert "neuralmesh:settings" not in before_claim  # a licence that is refused keeps no files from pods
    assert ancestors(made, "neuralmesh:settings") > {"neuralmesh:cluster", "neuralmesh:operator"}
    waited = {name for name in of_weka(made) if made[name].wait}
    clients = {"neuralmesh:client-serve", "neuralmesh:client-train"}
    jobs = {"neuralmesh:operator", "neuralmesh:settings"}
    assert waited == {*jobs, *clients, "neuralmesh:cluster", "storage/data:claim"}
    # the driver that deletes its volume goes right after it
    assert made["storage/data:claim"].manifest["metadata"]["annotations"] == {"meshctl.dev/gone-with-volume": "true"}


def test_the_cluster_says_what_was_resolved() -> None:
    cluster = objects()["neuralmesh:cluster"]
    assert cluster.manifest["apiVersion"] == "weka.weka.io/v1alpha1"
    metadata = cluster.manifest["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("llm-prod", "llm-prod")
    assert metadata["annotations"] == {
        "pulumi.com/waitFor": "jsonpath={.status.status}=Ready",
        "pulumi.com/timeoutSeconds": "600",
    }
    assert spec(cluster) == {
        "template": "dynamic",
        "image": "quay.io/weka.io/weka-in-container:4.4.21.2",
        "imagePullSecret": "registry-quay-io-robot-secret",
        "driversDistService": "https://drivers.weka.io",
        "nodeSelector": {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "train"},
        "rawTolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "network": {"udpMode": False, "ethDevices": ["eth1"]},
        "dynamicTemplate": {
            "driveContainers": 6,
            "driveCores": 2,
            "numDrives": 4,
            "driveHugepages": 3728,
            "driveHugepagesOffset": 928,
            "computeContainers": 6,
            "computeCores": 3,
            "computeHugepages": 9000,
            "computeHugepagesOffset": 392,
        },
        "hotSpare": 0,
        "redundancyLevel": 2,
        "stripeWidth": 4,
        "gracefulDestroyDuration": "24h",
    }
    # fixed at formation: a mesh that has grown does not ask a cluster that is up for another stripe
    assert cluster.left == ("spec.redundancyLevel", "spec.stripeWidth")
    assert cluster.delete_s > 600


def test_a_large_cluster_has_a_larger_raft_and_starts_with_most_drives() -> None:
    containers = WekaContainers(containers=12, cores=1, drives=2, hugepages_mib=1, hugepages_offset_mib=1)
    large = spec(objects(with_mesh(neural_mesh(drives=containers, compute=containers)))["neuralmesh:cluster"])
    assert (large["leadershipRaftSize"], large["bucketRaftSize"]) == (9, 9)
    assert large["startIoConditions"] == {"minNumDrives": 20}  # 80% of 24
    grown = with_mesh(neural_mesh(drives=containers, compute=containers, formed_nodes=10))
    assert "RaftSize" not in str(objects(grown)["neuralmesh:cluster"].manifest)  # as it was formed


def test_encryption_names_a_key_and_holds_none() -> None:
    key = WekaEncryption(address="https://vault:8200", role="weka", key_name="mesh-key")
    made = objects(with_mesh(neural_mesh(encryption=key)))
    assert spec(made["neuralmesh:cluster"])["encryption"] == {
        "vault": {
            "address": "https://vault:8200",
            "role": "weka",
            "keyName": "mesh-key",
            "method": "kubernetes",
            "authPath": "kubernetes",
            "transitPath": "transit",
        }
    }
    assert made["storage/data:class"].manifest["parameters"]["encryptionEnabled"] == "true"


def test_each_pool_that_mounts_has_a_client_and_one_of_them_the_controller() -> None:
    made = objects()
    clients = {pool: spec(made[f"neuralmesh:client-{pool}"]) for pool in ("serve", "train")}
    for pool, client in clients.items():
        assert client["targetCluster"] == {"name": "llm-prod", "namespace": "llm-prod"}
        assert client["nodeSelector"] == {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": pool}
        assert (client["coresNum"], client["hugepages"], client["hugepagesOffset"]) == (1, 1564, 264)
    assert [client.get("csiConfig") for client in clients.values()] == [None, {"disableControllerCreation": True}]


def test_nodes_get_interfaces_and_their_drives_a_mark() -> None:
    mesh = neural_mesh(
        makes_interfaces=True, data_interfaces=7, sign_drives="device-paths", drive_paths=("/dev/nvme1",)
    )
    made = objects(with_mesh(mesh))
    payloads = {
        pool: spec(made[f"neuralmesh:ensure-nics-{pool}"])["payload"]["ensureNICsPayload"]
        for pool in ("serve", "train")
    }
    assert {pool: each["dataNICsNumber"] for pool, each in payloads.items()} == {"serve": 2, "train": 7}
    signing = spec(made["neuralmesh:sign-drives"])
    assert signing["payload"]["signDrivesPayload"]["devicePaths"] == ["/dev/nvme1"]
    assert "image" not in signing  # the operator refuses one
    assert spec(made["neuralmesh:cluster"])["ports"] == {"basePort": 15000}


def test_kernel_modules_come_from_the_cluster_where_there_is_no_internet() -> None:
    made = objects(with_mesh(neural_mesh(drivers_service="")))
    policy = made["neuralmesh:weka-drivers"]
    assert spec(policy)["type"] == "enable-local-drivers-distribution"
    payload = spec(policy)["payload"]["driverDistPayload"]
    assert payload["ensureImages"] == ["quay.io/weka.io/weka-in-container:4.4.21.2"]
    url = "https://llm-prod-weka-drivers-dist.llm-prod.svc.cluster.local:60002"
    assert {spec(made[f"neuralmesh:{each}"])["driversDistService"] for each in ("cluster", "client-train")} == {url}


def test_a_volume_is_a_file_system_of_its_own() -> None:
    made = objects()
    storage_class = made["storage/data:class"].manifest
    assert storage_class["provisioner"] == "llm-prod.llm-prod.weka.io"
    assert storage_class["metadata"]["name"] == "llm-prod-data"
    parameters = storage_class["parameters"]
    assert (parameters["volumeType"], parameters["capacityEnforcement"]) == ("weka/v2", "HARD")
    assert "encryptionEnabled" not in parameters
    secrets = {key: value for key, value in parameters.items() if key.startswith("csi.storage.k8s.io/")}
    assert len(secrets) == 10
    assert set(secrets.values()) == {"weka-csi-llm-prod", "llm-prod"}
    claim = spec(made["storage/data:claim"])
    assert (claim["storageClassName"], claim["accessModes"]) == ("llm-prod-data", ["ReadWriteMany"])
    assert claim["resources"] == {"requests": {"storage": "1000Gi"}}
    assert not made["storage/data:claim"].ignore_changes  # it grows with its claim


def test_a_tiered_volume_is_made_by_the_settings_and_led_to_by_a_volume() -> None:
    made = objects(with_mesh(neural_mesh(), system(tier="weights", drive_gib=100)))
    volume = spec(made["storage/data:volume"])
    assert volume["csi"]["volumeHandle"] == "weka/v2/llm-prod-data"
    assert volume["csi"]["nodeStageSecretRef"] == {"name": "weka-csi-llm-prod", "namespace": "llm-prod"}
    # who has agreed to the loss finds no old data under the same name: its driver deletes it, as those of a class
    assert volume["persistentVolumeReclaimPolicy"] == "Delete"
    assert made["storage/data:volume"].manifest["metadata"]["annotations"] == {
        "pv.kubernetes.io/provisioned-by": "llm-prod.llm-prod.weka.io",
        "volume.kubernetes.io/provisioner-deletion-secret-name": "weka-csi-llm-prod",
        "volume.kubernetes.io/provisioner-deletion-secret-namespace": "llm-prod",
    }
    claim = spec(made["storage/data:claim"])
    assert (claim["volumeName"], claim["storageClassName"]) == ("llm-prod-data", "")
    assert "neuralmesh:settings" in ancestors(made, "storage/data:claim")
    job = spec(made["neuralmesh:settings"])["template"]["spec"]["containers"][0]
    settings = json.loads(next(each["value"] for each in job["env"] if each["name"] == "WEKA_SETTINGS"))
    (file_system,) = settings["file_systems"]
    assert (file_system["total_bytes"], file_system["ssd_bytes"]) == (1000 * 1024**3, 100 * 1024**3)
    (store,) = settings["object_stores"]
    assert (store["name"], store["bucket"]) == ("weights", "llm-prod-dc1-weights")


def test_secrets_of_the_settings_are_references() -> None:
    deployed = with_mesh(neural_mesh(licence_secret="acme-licence"), system(tier="weights"))
    made = objects(deployed)
    container = spec(made["neuralmesh:settings"])["template"]["spec"]["containers"][0]
    references = {
        each["name"]: (each["valueFrom"]["secretKeyRef"]["name"], each["valueFrom"]["secretKeyRef"]["key"])
        for each in container["env"]
        if "valueFrom" in each
    }
    assert references == {
        "WEKA_ENDPOINTS": ("weka-csi-llm-prod", "endpoints"),
        "WEKA_SCHEME": ("weka-csi-llm-prod", "scheme"),
        "WEKA_CA": ("weka-csi-llm-prod", "caCertificate"),
        "WEKA_USER": ("weka-cluster-llm-prod", "username"),
        "WEKA_PASSWORD": ("weka-cluster-llm-prod", "password"),
        "WEKA_ORGANIZATION": ("weka-cluster-llm-prod", "org"),
        "WEKA_LICENCE": ("weka-licence", "license"),
        "STORE_ACCESS_KEY_ID": ("object-storage", "AWS_ACCESS_KEY_ID"),
        "STORE_SECRET_KEY": ("object-storage", "AWS_SECRET_ACCESS_KEY"),
        "STORE_ENDPOINT": ("object-storage", "AWS_ENDPOINT_URL_S3"),
    }
    # with another licence or other keys the Job runs again
    late = {"revision.weka-licence", "revision.object-storage"}
    assert set(render.late_names([made["neuralmesh:settings"]])) == late
    assert set(render.late_names([made["neuralmesh:licence"]])) == {"secret.acme-licence", "revision.weka-licence"}
    assert {"neuralmesh:licence", "platform:object-storage"} <= ancestors(made, "neuralmesh:settings")
    assert render.secrets(deployed)["weka-licence"] == {"license": "secret.acme-licence"}


def test_the_namespace_lets_containers_of_weka_in() -> None:
    namespace = objects()["platform:namespace"].manifest["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    assert "containers of WEKA" in namespace["annotations"]["meshctl.dev/pod-security-reason"]


def test_a_long_name_of_a_file_system_is_cut_and_stays_its_own() -> None:
    systems = [system(f"checkpoints-of-the-{word}-model", tier="weights") for word in ("first", "second")]
    made = objects(with_mesh(neural_mesh(), *systems))
    handles = {spec(made[f"storage/{each.name}:volume"])["csi"]["volumeHandle"] for each in systems}
    names = {handle.removeprefix("weka/v2/") for handle in handles}
    assert len(names) == 2
    assert all(len(name) <= 32 for name in names)


def test_a_joined_cluster_gets_clients_and_volumes_and_nothing_else() -> None:
    made = objects(with_mesh(joined(installs_operator=False, licence_secret="weka-licence")))
    assert of_weka(made) == [
        "neuralmesh:client-serve",
        "neuralmesh:client-train",
        "storage/data:class",
        "storage/data:claim",
    ]
    assert spec(made["neuralmesh:client-serve"])["targetCluster"] == {"name": "shared", "namespace": "storage"}
    storage_class = made["storage/data:class"].manifest
    assert storage_class["provisioner"] == "shared.storage.weka.io"
    assert storage_class["parameters"]["csi.storage.k8s.io/provisioner-secret-name"] == "weka-csi-shared"


@pytest.mark.parametrize("name", ["shared", "m" * 60])
def test_the_driver_of_a_joined_cluster_is_the_one_that_is_named(name: str) -> None:
    """Its owner may have called it otherwise than the operator would."""
    named = JoinedWeka(cluster=name, namespace="storage", csi_driver="csi.weka.io")
    storage_class = objects(with_mesh(joined(joined=named)))["storage/data:class"].manifest
    assert storage_class["provisioner"] == "csi.weka.io"
    assert storage_class["parameters"]["csi.storage.k8s.io/provisioner-secret-name"] == f"weka-csi-{name}"


def test_a_cluster_outside_is_joined_by_its_addresses() -> None:
    outside = JoinedWeka(endpoints=("10.0.0.1:14000", "10.0.0.2:14000"), secret="weka-user")
    made = objects(with_mesh(joined(joined=outside)))
    client = spec(made["neuralmesh:client-serve"])
    assert client["joinIpPorts"] == ["10.0.0.1:14000", "10.0.0.2:14000"]
    assert client["wekaSecretRef"] == "weka-user"
    assert "targetCluster" not in client
    storage_class = made["storage/data:class"].manifest
    assert storage_class["provisioner"] == "csi.weka.io"
    assert storage_class["parameters"]["csi.storage.k8s.io/node-stage-secret-namespace"] == "llm-prod"


def test_the_driver_of_a_long_name_is_called_by_a_group() -> None:
    name = "m" * 50
    made = objects(with_mesh(neural_mesh(name=name)))
    assert made["storage/data:class"].manifest["provisioner"] == f"{name}.weka.io"
    assert spec(made["neuralmesh:cluster"])["csiConfig"] == {"csiGroup": name}
    with pytest.raises(MeshError, match="too long for NeuralMesh"):
        objects(with_mesh(neural_mesh(name="m" * 60)))


@pytest.mark.parametrize(
    "planted", ['"}\nspec: {x: 1}', "a: b", "!output secret", "{{ 1 }}", "a\n---\nkind: Pod", "\u2028"]
)
def test_no_text_becomes_a_field(planted: str) -> None:
    key = WekaEncryption(address=planted, role=planted, key_name=planted)
    hostile = neural_mesh(
        image=planted,
        drivers_service=planted,
        operator_chart=planted,
        operator_version=planted,
        ethernet_devices=(planted,),
        drive_paths=(planted,),
        licence_secret="x",
        encryption=key,
    )
    made, plain = objects(with_mesh(hostile)), objects(with_mesh(neural_mesh(encryption=key, licence_secret="x")))
    assert list(made) == list(plain)
    cluster = spec(made["neuralmesh:cluster"])
    assert set(cluster) == set(spec(plain["neuralmesh:cluster"]))
    assert cluster["encryption"]["vault"]["address"] == planted
    assert cluster["network"]["ethDevices"] == [planted]
    variables = {each["name"]: each.get("value") for each in container_of(made["neuralmesh:operator"])["env"]}
    assert variables["OPERATOR_CHART"] == planted


def test_all_objects_of_a_neuralmesh(golden: Golden) -> None:
    """But for the programs, which stand in `templates`."""
    mesh = neural_mesh(makes_interfaces=True, data_interfaces=7, licence_secret="acme-licence")
    made = objects(with_mesh(mesh, system("scratch"), system("archive", tier="weights", drive_gib=100)))
    shown = [text(made[name]) for name in of_weka(made) if made[name].kind != "ConfigMap"]
    golden("render/neuralmesh.yaml", "".join(f"---\n{each}" for each in shown))
