"""The lab's operator of WEKA: what a cluster goes through, what keeps it from serving, how it ends."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from meshctl.lab.controllers.nodes import NODES
from meshctl.lab.weka.operator import drives, world
from tests.unit.lab_weka.kubernetes_in_memory import (
    Kubernetes,
    node,
    sign_drives,
    weka_client,
    weka_cluster,
)

CLUSTER = "/apis/weka.weka.io/v1alpha1/namespaces/weka/wekaclusters/prod"
CLIENT = "/apis/weka.weka.io/v1alpha1/namespaces/weka/wekaclients/gpu"
POLICY = "/apis/weka.weka.io/v1alpha1/namespaces/weka/wekapolicies/sign"
CONTAINERS = "/apis/weka.weka.io/v1alpha1/namespaces/weka/wekacontainers"


@pytest.fixture
def kubernetes(tmp_path: Path) -> Any:
    """Six nodes with four drives each."""
    made = Kubernetes(tmp_path)
    made.put(NODES, *(node(f"n{number}") for number in range(6)))
    yield made
    for key in list(made.registry.systems):
        made.registry.remove(*key.split("."))


def ready(kubernetes: Kubernetes, **spec: Any) -> Kubernetes:
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.put(world.CLUSTERS, weka_cluster(**spec))
    kubernetes.look_until(lambda: kubernetes.state() == "Ready")
    return kubernetes


def condition(kubernetes: Kubernetes, name: str) -> dict[str, str]:
    one: dict[str, str]
    (one,) = [each for each in kubernetes.get(CLUSTER)["status"]["conditions"] if each["type"] == name]
    return one


def test_a_cluster_goes_through_each_state(kubernetes: Kubernetes) -> None:
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.put(world.CLUSTERS, weka_cluster())
    states = kubernetes.look_until(lambda: kubernetes.state() == "Ready")
    assert states == ["Init", "WaitForDrives", "StartingIO", "Ready"]
    status = kubernetes.get(CLUSTER)["status"]
    assert status["printer"] == {"computeContainers": "6/6/6", "driveContainers": "6/6/6", "drives": "24/24/24"}
    assert status["stats"]["clusterStatus"] == "OK"
    assert status["stats"]["drives"]["failures"] == []
    # 24 drives of 7.68 TB, 3+2 of six failure domains, and a tenth for the system itself
    assert status["stats"]["capacity"]["totalBytes"] == int(24 * 7680e9 * 3 / 5 * 0.9)
    assert condition(kubernetes, "ClusterIsReady")["status"] == "True"
    assert len(kubernetes.of(world.CONTAINERS)) == 12
    kubernetes.look()
    assert kubernetes.get(CLUSTER)["status"] == status  # nothing is written that has not changed


def test_what_its_api_alone_changes_shows_without_a_change_in_kubernetes(kubernetes: Kubernetes) -> None:
    ready(kubernetes)
    kubernetes.look()
    assert kubernetes.get(CLUSTER)["status"]["stats"]["alertsCount"] == 1  # it has no licence
    assert kubernetes.looks_again_s is not None
    (system,) = kubernetes.registry.systems.values()
    system.licence = f"licence of {system.guid}"
    kubernetes.look()
    assert kubernetes.get(CLUSTER)["status"]["stats"]["alertsCount"] == 0


def test_signed_drives_show_on_the_node(kubernetes: Kubernetes) -> None:
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.look()
    kubernetes.look()
    each = kubernetes.get("/api/v1/nodes/n0")
    assert len(json.loads(each["metadata"]["annotations"][drives.SIGNED])) == 4
    assert each["status"]["allocatable"][drives.RESOURCE] == "4"
    assert kubernetes.get(POLICY)["status"]["status"] == "Done"


def test_a_policy_that_signs_drives_takes_no_image(kubernetes: Kubernetes) -> None:
    kubernetes.put(world.POLICIES, sign_drives(image="quay.io/weka.io/weka-in-container:4.4.21.2"))
    kubernetes.look()
    status = kubernetes.get(POLICY)["status"]
    assert status["status"] == "Error"
    assert "spec.image is set" in status["result"]
    assert drives.SIGNED not in kubernetes.get("/api/v1/nodes/n0")["metadata"]["annotations"]


def test_a_policy_waits_for_others(kubernetes: Kubernetes) -> None:
    policy = sign_drives()
    policy["spec"]["payload"]["waitForPolicies"] = ["nics"]
    kubernetes.put(world.POLICIES, policy)
    kubernetes.look()
    assert kubernetes.get(POLICY)["status"]["status"] == "Waiting"


def test_too_few_drives_leave_a_cluster_waiting(kubernetes: Kubernetes) -> None:
    """Five nodes have theirs, the sixth has too few: the cluster forms, and never starts."""
    kubernetes.get("/api/v1/nodes/n5")["metadata"]["annotations"][drives.HARDWARE] = "2x7680"
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.put(world.CLUSTERS, weka_cluster())
    kubernetes.look_until(lambda: kubernetes.state() == "WaitForDrives")
    for _ in range(3):
        kubernetes.look()
    assert kubernetes.state() == "WaitForDrives"
    assert kubernetes.get(CLUSTER)["status"]["printer"]["drives"] == "20/20/24"
    assert condition(kubernetes, "DrivesAdded")["status"] == "False"


def test_a_cluster_may_start_with_fewer_drives_where_it_says_so(kubernetes: Kubernetes) -> None:
    kubernetes.get("/api/v1/nodes/n5")["metadata"]["annotations"][drives.HARDWARE] = "2x7680"
    ready(kubernetes, startIoConditions={"minNumDrives": 20})
    assert kubernetes.get(CLUSTER)["status"]["printer"]["drives"] == "20/20/24"  # those of five nodes


def test_without_signed_drives_no_drive_container_starts(kubernetes: Kubernetes) -> None:
    kubernetes.put(world.CLUSTERS, weka_cluster())
    for _ in range(4):
        kubernetes.look()
    assert kubernetes.state() == "Init"
    assert kubernetes.get(f"{CONTAINERS}/prod-drive-0")["status"]["status"] == "PodNotRunning"
    assert kubernetes.get(f"{CONTAINERS}/prod-compute-0")["status"]["status"] == "Running"


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"network": {}}, "no network device is chosen"),
        ({"stripeWidth": 16}, "don't fit 6 failure domains"),
        ({"dynamicTemplate": {"driveContainers": 4, "computeContainers": 6, "numDrives": 4}}, "4 containers of a kind"),
    ],
)
def test_what_can_never_form_says_why(kubernetes: Kubernetes, spec: dict[str, Any], why: str) -> None:
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.put(world.CLUSTERS, weka_cluster(**spec))
    for _ in range(5):
        kubernetes.look()
    assert kubernetes.state() == "Init"
    assert why in condition(kubernetes, "ClusterCreated")["message"]


def test_too_few_huge_pages_keep_containers_pending(tmp_path: Path) -> None:
    kubernetes = Kubernetes(tmp_path)
    kubernetes.put(NODES, *(node(f"n{number}", pages_mib=8192) for number in range(6)))
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.put(world.CLUSTERS, weka_cluster())
    for _ in range(5):
        kubernetes.look()
    assert kubernetes.state() == "Init"
    states = {each["status"]["status"] for each in kubernetes.of(world.CONTAINERS)}
    assert states == {"Running", "PodNotRunning"}


def test_a_failing_drive_shows_in_the_statistics_alone(kubernetes: Kubernetes) -> None:
    ready(kubernetes)
    each = kubernetes.get("/api/v1/nodes/n2")
    serial = json.loads(each["metadata"]["annotations"][drives.SIGNED])[1]
    each["metadata"]["annotations"][drives.FAILED] = serial
    kubernetes.look()
    status = kubernetes.get(CLUSTER)["status"]
    assert status["status"] == "Ready"
    assert status["stats"]["clusterStatus"] == "REBUILDING"
    assert status["stats"]["drives"]["counters"] == {"active": 23, "created": 24, "desired": 24}
    assert [one["serialId"] for one in status["stats"]["drives"]["failures"]] == [serial]
    assert status["printer"]["drives"] == "23/24/24"
    del each["metadata"]["annotations"][drives.FAILED]
    kubernetes.look()
    assert kubernetes.get(CLUSTER)["status"]["stats"]["clusterStatus"] == "OK"


def test_secrets_are_owned_by_their_cluster(kubernetes: Kubernetes) -> None:
    ready(kubernetes)
    kubernetes.look()
    secrets = {each["metadata"]["name"]: each for each in kubernetes.of("/api/v1/secrets")}
    uid = kubernetes.get(CLUSTER)["metadata"]["uid"]
    assert set(secrets) == {f"weka-operator-{uid}", "weka-cluster-prod", "weka-client-prod", "weka-csi-prod"}
    assert all(each["metadata"]["ownerReferences"][0]["uid"] == uid for each in secrets.values())
    of_csi = {key: base64.b64decode(text).decode() for key, text in secrets["weka-csi-prod"]["data"].items()}
    assert (of_csi["scheme"], of_csi["organization"]) == ("https", "Root")
    assert of_csi["endpoints"].startswith("127.")
    assert of_csi["endpoints"].endswith(":14000")


def test_a_deleted_cluster_stays_for_its_grace_period(kubernetes: Kubernetes) -> None:
    ready(kubernetes)
    kubernetes.delete(CLUSTER)
    kubernetes.look()
    assert kubernetes.state() == "GracePeriod"
    assert kubernetes.of(world.PODS) == []
    assert {each["status"]["status"] for each in kubernetes.of(world.CONTAINERS)} == {"Paused"}
    assert kubernetes.of("/api/v1/secrets")
    kubernetes.get(CLUSTER)["spec"]["gracefulDestroyDuration"] = "0"
    kubernetes.look_until(lambda: kubernetes.state() == "gone")
    assert kubernetes.of(world.CONTAINERS) == []
    assert kubernetes.of("/api/v1/secrets") == []
    assert kubernetes.registry.systems == {}


def test_a_client_runs_on_each_node_that_it_selects(kubernetes: Kubernetes) -> None:
    kubernetes.put(NODES, node("cpu-0", nvme="", labels={"pool": "cpu"}))
    kubernetes.put(world.CLIENTS, weka_client())
    kubernetes.look()
    assert kubernetes.get(CLIENT)["status"]["status"] == "Init"  # there is no cluster to join
    ready(kubernetes)
    for _ in range(3):
        kubernetes.look()
    status = kubernetes.get(CLIENT)["status"]
    assert (status["status"], status["printer"]) == ("Running", {"containers": "6/6/6"})
    label = "topology.prod.weka.weka.io/accessible"
    assert kubernetes.get("/api/v1/nodes/n0")["metadata"]["labels"][label] == "true"
    assert label not in kubernetes.get("/api/v1/nodes/cpu-0")["metadata"]["labels"]
    assert [each["metadata"]["name"] for each in kubernetes.of("/apis/storage.k8s.io/v1/csidrivers")] == [
        "prod.weka.weka.io"
    ]


def test_a_client_that_goes_waits_for_mounts(kubernetes: Kubernetes) -> None:
    ready(kubernetes)
    kubernetes.put(world.CLIENTS, weka_client())
    for _ in range(3):
        kubernetes.look()
    kubernetes.put(
        "/api/v1/persistentvolumes",
        {"kind": "PersistentVolume", "metadata": {"name": "pv"}, "spec": {"csi": {"driver": "prod.weka.weka.io"}}},
    )
    kubernetes.put(
        "/api/v1/persistentvolumeclaims", {"metadata": {"name": "c", "namespace": "m"}, "spec": {"volumeName": "pv"}}
    )
    pod = {
        "metadata": {"name": "p", "namespace": "m"},
        "spec": {"nodeName": "n3", "volumes": [{"name": "d", "persistentVolumeClaim": {"claimName": "c"}}]},
    }
    kubernetes.put("/api/v1/pods", pod)
    kubernetes.delete(CLIENT)
    kubernetes.look()
    kubernetes.look()
    left = [each for each in kubernetes.of(world.CONTAINERS) if each["spec"]["mode"] == "client"]
    assert [(each["metadata"]["name"], each["status"]["status"]) for each in left] == [("gpu-n3", "Draining")]
    kubernetes.delete("/api/v1/namespaces/m/pods/p")
    kubernetes.look()
    kubernetes.look()
    assert CLIENT not in kubernetes.objects
    assert kubernetes.of("/apis/storage.k8s.io/v1/csidrivers") == []


def test_a_new_image_is_rolled_out_pod_by_pod(kubernetes: Kubernetes) -> None:
    ready(kubernetes)
    kubernetes.look()
    newer = "quay.io/weka.io/weka-in-container:4.4.22.0"
    kubernetes.get(CLUSTER)["spec"]["image"] = newer
    seen: list[int] = []
    for _ in range(40):
        kubernetes.look()
        pods = kubernetes.of(world.PODS)
        seen.append(sum(pod["spec"]["containers"][0]["image"] == newer for pod in pods))
        if kubernetes.get(CLUSTER)["status"]["lastAppliedImage"] == newer:
            break
    assert seen[-1] == 12
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(seen))
    (system,) = kubernetes.registry.all()
    assert system.version == "4.4.22.0"


def test_interfaces_are_made_on_machines_of_ec2_alone(tmp_path: Path) -> None:
    payload = {"ensureNICsPayload": {"type": "aws", "dataNICsNumber": 3, "nodeSelector": {"pool": "gpu"}}}
    policy = sign_drives(type="ensure-nics", payload=payload)
    here = Kubernetes(tmp_path / "a")
    here.put(NODES, node("n0"))
    here.put(world.POLICIES, policy)
    here.look()
    assert "no machines of EC2" in here.get(POLICY)["status"]["result"]
    on_aws = Kubernetes(tmp_path / "b", provider="eks")
    on_aws.put(NODES, node("n0"))
    on_aws.put(world.POLICIES, policy)
    on_aws.look()
    assert on_aws.get("/api/v1/nodes/n0")["status"]["allocatable"]["weka.io/weka-nics"] == "3"


@pytest.mark.parametrize(
    ("configuration", "hops", "told"),
    [
        ("", 2, "vpc-cni attaches interfaces for pods"),
        ('{"env": {"MAX_ENI": "3"}}', 2, "vpc-cni attaches interfaces for pods"),
        ('{"env": {"MAX_ENI": "1"}}', 1, "node n0: the instance metadata does not answer containers"),
        ('{"env": {"MAX_ENI": "1"}}', 2, ""),
    ],
)
def test_interfaces_need_the_metadata_and_a_plugin_that_keeps_off(
    tmp_path: Path, configuration: str, hops: int, told: str
) -> None:
    eks = {
        "control_plane": "dc1",
        "nodegroups": {"gpu": {"metadataHops": hops}},
        "addons": {"vpc-cni": {"version": "v1", "configuration": configuration}},
    }
    (tmp_path / "eks.json").write_text(json.dumps({"clusters": {"m-e": eks}}))
    on_aws = Kubernetes(tmp_path, provider="eks")
    on_aws.put(NODES, node("n0", labels={"pool": "gpu", "eks.amazonaws.com/nodegroup": "gpu"}))
    payload = {"ensureNICsPayload": {"type": "aws", "dataNICsNumber": 3, "nodeSelector": {"pool": "gpu"}}}
    on_aws.put(world.POLICIES, sign_drives(type="ensure-nics", payload=payload))
    on_aws.look()
    status = on_aws.get(POLICY)["status"]
    assert status["status"] == ("Error" if told else "Done")
    assert status["result"].startswith(told)


def test_blocked_drives_are_no_longer_offered(kubernetes: Kubernetes) -> None:
    kubernetes.put(world.POLICIES, sign_drives())
    kubernetes.look()
    serial = json.loads(kubernetes.get("/api/v1/nodes/n1")["metadata"]["annotations"][drives.SIGNED])[0]
    operation = {
        "kind": "WekaManualOperation",
        "metadata": {"name": "block", "namespace": "weka"},
        "spec": {"action": "block-drives", "payload": {"blockDrivesPayload": {"serialIDs": [serial], "node": "n1"}}},
    }
    kubernetes.put(world.OPERATIONS, operation)
    kubernetes.look()
    kubernetes.look()
    assert kubernetes.get("/api/v1/nodes/n1")["status"]["allocatable"][drives.RESOURCE] == "3"
    done = kubernetes.of(world.OPERATIONS)[0]["status"]
    assert done["status"] == "Done"


def test_a_namespace_that_admits_no_such_pods_says_so(kubernetes: Kubernetes) -> None:
    kubernetes.forbidden = "/api/v1/namespaces/weka/pods"
    kubernetes.put(world.CLUSTERS, weka_cluster())
    kubernetes.look()
    kubernetes.look()
    status = kubernetes.get(f"{CONTAINERS}/prod-compute-0")["status"]
    assert status["status"] == "PodNotRunning"
    assert "violates PodSecurity" in status["message"]


def test_a_cluster_of_the_same_name_is_another_one(kubernetes: Kubernetes) -> None:
    """As after the Kubernetes cluster was deleted with all that it had."""
    ready(kubernetes)
    (before,) = kubernetes.registry.all()
    kubernetes.get(CLUSTER)["metadata"]["uid"] = "another"
    kubernetes.get(CLUSTER)["status"] = {}
    kubernetes.look_until(lambda: kubernetes.state() == "Ready")
    (after,) = kubernetes.registry.all()
    assert before.guid != after.guid
