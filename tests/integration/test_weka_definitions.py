"""A real API server takes what WEKA's kinds allow, and refuses each thing that they do not, with the vendor's words."""

from __future__ import annotations

import json
import time
import urllib.error
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.lab.weka.kinds.definitions import API, all_definitions
from meshctl.load import load
from meshctl.model.deployment import Deployment
from meshctl.model.neural_mesh import WekaContainers, WekaEncryption
from meshctl.render.cluster import neural_mesh as rendered
from meshctl.resolve import resolve
from tests.contract.kubernetes_recording.control_plane import ControlPlane
from tests.unit import weka_mesh

EXAMPLE = Path(__file__).parents[2] / "examples" / "neuralmesh"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SPACE = "weka-kinds"
SERVED_S = 30.0
IMAGE = "quay.io/weka.io/weka-in-container:4.4.21.2"
pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def kinds(plane: ControlPlane) -> Iterator[ControlPlane]:
    for definition in all_definitions():
        plane.call("POST", f"{DEFINITIONS}?fieldValidation=Strict", definition)
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": SPACE}})
    for definition in all_definitions():
        until_served(plane, definition)
    yield plane
    for definition in all_definitions():
        plane.call("DELETE", f"{DEFINITIONS}/{definition['metadata']['name']}")
    plane.call("DELETE", f"/api/v1/namespaces/{SPACE}")


def until_served(plane: ControlPlane, definition: Mapping[str, Any]) -> None:
    deadline = time.monotonic() + SERVED_S
    name = definition["metadata"]["name"]
    while True:
        conditions = plane.call("GET", f"{DEFINITIONS}/{name}").get("status", {}).get("conditions", [])
        states = {each["type"]: each["status"] for each in conditions}
        if states.get("NonStructuralSchema") == "True":
            pytest.fail(f"{name}: {conditions}")
        if states.get("Established") == "True" and is_answered(plane, definition["spec"]["names"]["plural"]):
            return
        if time.monotonic() > deadline:
            pytest.fail(f"{name} is not served: {conditions}")
        time.sleep(0.1)


def is_answered(plane: ControlPlane, plural: str) -> bool:
    try:
        plane.call("GET", f"{API}/{plural}")
    except urllib.error.HTTPError as error:
        with error:
            return False
    return True


def create(plane: ControlPlane, kind: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """As it would be stored; nothing is."""
    return create_object(
        plane, {"apiVersion": API.removeprefix("/apis/"), "kind": kind, "metadata": {"name": "a"}, "spec": spec}
    )


def create_object(plane: ControlPlane, body: dict[str, Any]) -> dict[str, Any]:
    plural = {"WekaPolicy": "wekapolicies"}.get(body["kind"], f"{body['kind'].lower()}s")
    path = f"{API}/namespaces/{SPACE}/{plural}?dryRun=All&fieldValidation=Strict"
    stored: dict[str, Any] = plane.call("POST", path, body)
    return stored


def refusal(plane: ControlPlane, kind: str, spec: Mapping[str, Any]) -> str:
    with pytest.raises(urllib.error.HTTPError) as caught:
        create(plane, kind, spec)
    with caught.value as error:
        return f"{error.code} {json.loads(error.read())['message']}"


def cluster(**spec: Any) -> dict[str, Any]:
    return {"image": IMAGE, **spec}


def template(**fields: Any) -> dict[str, Any]:
    return cluster(dynamicTemplate=fields)


def sign(**payload: Any) -> dict[str, Any]:
    return {"type": "sign-drives", "payload": {"signDrivesPayload": {"type": "all-not-root", **payload}}}


GOOD: list[tuple[str, dict[str, Any]]] = [
    (
        "WekaCluster",
        cluster(
            template="dynamic",
            nodeSelector={"pool": "gpu"},
            rawTolerations=[{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            dynamicTemplate={"driveContainers": 6, "computeContainers": 6, "driveCores": 2, "numDrives": 4},
            network={"udpMode": False, "ethDevices": ["eth1"], "deviceSubnets": ["10.0.0.0/16"]},
            redundancyLevel=2,
            stripeWidth=3,
            gracefulDestroyDuration="0",
            csiConfig={"csiGroup": "csi"},
            encryption={"vault": {"address": "https://vault:8200", "role": "weka"}},
        ),
    ),
    ("WekaCluster", template(driveCapacity=500, numDrives=4, driveCores=2)),
    ("WekaCluster", template(containerCapacity=4000, driveTypesRatio={"tlc": 1, "qlc": 10})),
    (
        "WekaClient",
        {"image": IMAGE, "targetCluster": {"name": "a", "namespace": "b"}, "coresNum": 1, "hugepages": 1564},
    ),
    ("WekaClient", {"image": IMAGE, "joinIpPorts": ["10.0.0.1:14000"], "wekaSecretRef": "weka-client-a"}),
    ("WekaPolicy", sign(nodeSelector={"pool": "gpu"})),
    ("WekaPolicy", sign(shared=True, driveTypeOverrides={"rules": [{"model": "X", "type": "QLC"}]})),
    ("WekaPolicy", {"type": "ensure-nics", "payload": {"ensureNICsPayload": {"type": "aws", "dataNICsNumber": 7}}}),
    (
        "WekaManualOperation",
        {"action": "block-drives", "payload": {"blockDrivesPayload": {"serialIDs": ["A"], "node": "n"}}},
    ),
    ("WekaContainer", {"image": IMAGE, "name": "drivex1", "mode": "drive", "numCores": 2, "numDrives": 4}),
]

# what is refused -> (kind, spec, words of the refusal)
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "no image": ("WekaCluster", {}, "spec.image: Required value"),
    "an image by its digest": (
        "WekaCluster",
        {"image": f"a/weka@sha256:{'0' * 64}"},
        "spec.image in body should match",
    ),
    "the latest image": ("WekaCluster", {"image": "a/weka:latest"}, "spec.image in body should match"),
    "a client's latest image": ("WekaClient", {"image": "a/weka:latest"}, "spec.image in body should match"),
    "a network that is none": ("WekaCluster", cluster(network={"deviceSubnets": ["10.0.0.0"]}), "should match"),
    "a policy of cores": ("WekaCluster", cluster(cpuPolicy="some"), "Unsupported value"),
    "a duration": ("WekaCluster", cluster(gracefulDestroyDuration="1 day"), "should match"),
    "a field that is none": ("WekaCluster", cluster(hotSpares=1), 'unknown field "spec.hotSpares"'),
    "drive capacity with a ratio": (
        "WekaCluster",
        template(driveCapacity=500, driveTypesRatio={"tlc": 1, "qlc": 1}),
        "driveCapacity and driveTypesRatio are mutually exclusive",
    ),
    "drives with a container's capacity": (
        "WekaCluster",
        template(numDrives=4, containerCapacity=4000),
        "numDrives and containerCapacity are mutually exclusive",
    ),
    "fewer virtual drives than cores": (
        "WekaCluster",
        template(driveCapacity=500, numDrives=1, driveCores=2),
        "numDrives must be >= driveCores",
    ),
    "QLC alone": (
        "WekaCluster",
        template(containerCapacity=4000, driveTypesRatio={"tlc": 0, "qlc": 1}),
        "QLC-only is not allowed",
    ),
    "no type of drive": (
        "WekaCluster",
        template(containerCapacity=4000, driveTypesRatio={"tlc": 0, "qlc": 0}),
        "at least one of driveTypesRatio.tlc or driveTypesRatio.qlc",
    ),
    "no capacity of a container": ("WekaCluster", template(containerCapacity=0), "containerCapacity must be greater"),
    "no capacity of a drive": ("WekaCluster", template(driveCapacity=0), "driveCapacity must be greater than 0"),
    "two interfaces of NFS": ("WekaCluster", cluster(nfs={"interfaces": ["a", "b"]}), "only 1 interface per host"),
    "another way to the vault": (
        "WekaCluster",
        cluster(encryption={"vault": {"address": "a", "role": "b", "method": "token"}}),
        "Unsupported value",
    ),
    "a client's way to upgrade": ("WekaClient", {"image": IMAGE, "upgradePolicy": {"type": "never"}}, "Unsupported"),
    "a port beyond all": (
        "WekaClient",
        {"image": IMAGE, "portRange": {"basePort": 70000}},
        "less than or equal to 65535",
    ),
    "half a reference": ("WekaClient", {"image": IMAGE, "targetCluster": {"name": "a"}}, "namespace: Required value"),
    "a policy that is none": ("WekaPolicy", {"type": "driver-dist", "payload": {}}, "Unsupported value"),
    "drives by a type that is none": ("WekaPolicy", sign(type="every"), "Unsupported value"),
    "an interval": ("WekaPolicy", {"type": "sign-drives", "payload": {"interval": "5 minutes"}}, "should match"),
    "overrides of drives that are not shared": (
        "WekaPolicy",
        sign(driveTypeOverrides={"rules": [{"model": "X", "type": "QLC"}]}),
        "driveTypeOverrides is only supported when shared is true",
    ),
    "an override of nothing": (
        "WekaPolicy",
        sign(shared=True, driveTypeOverrides={"rules": [{"type": "QLC"}]}),
        "at least one of model or capacityGiB must be set",
    ),
    "a device by a name": (
        "WekaPolicy",
        sign(type="device-identifiers", pciDevices={"vendorId": "amazon", "deviceId": "cd01"}),
        "should match",
    ),
    "an action that is none": ("WekaManualOperation", {"action": "format", "payload": {}}, "Unsupported value"),
    "a kind of container": (
        "WekaContainer",
        {"image": IMAGE, "name": "a", "mode": "cache", "numCores": 1},
        "Unsupported value",
    ),
    "fewer drives of a container than cores": (
        "WekaContainer",
        {"image": IMAGE, "name": "a", "mode": "drive", "numCores": 4, "numDrives": 2, "driveCapacity": 500},
        "numDrives must be >= numCores",
    ),
}


def test_good_objects_are_taken_with_their_defaults(kinds: ControlPlane) -> None:
    stored = [create(kinds, kind, spec)["spec"] for kind, spec in GOOD]
    assert (stored[1]["gracefulDestroyDuration"], stored[1]["cpuPolicy"], stored[1]["template"]) == (
        "24h",
        "auto",
        "dynamic",
    )
    assert stored[0]["gracefulDestroyDuration"] == "0"
    assert stored[0]["encryption"]["vault"]["transitPath"] == "transit"
    assert stored[5]["payload"]["interval"] == "5m"


@pytest.mark.parametrize("name", BAD)
def test_bad_objects_are_refused(kinds: ControlPlane, name: str) -> None:
    kind, spec, words = BAD[name]
    said = refusal(kinds, kind, spec)
    assert said.startswith(("422 ", "400 ")), said
    assert words in said


MANY = WekaContainers(containers=12, cores=2, drives=4, hugepages_mib=3728, hugepages_offset_mib=928)
KEY = WekaEncryption(address="https://vault:8200", role="weka", key_name="weka")
MESHES: dict[str, dict[str, Any]] = {
    "plain": {},
    "on UDP": {"udp": True, "ethernet_devices": ()},
    "with interfaces by a policy": {"makes_interfaces": True, "data_interfaces": 7, "ethernet_devices": ()},
    "with many containers": {"drives": MANY, "compute": MANY, "nodes": 12},
    "encrypted": {"encryption": KEY},
    "without internet": {"drivers_service": ""},
    "on chosen drives": {"sign_drives": "device-paths", "drive_paths": ("/dev/nvme1n1",)},
}


@pytest.mark.parametrize("name", MESHES)
def test_what_is_rendered_is_taken(kinds: ControlPlane, name: str) -> None:
    """With strict validation: a field that the kinds do not have is refused."""
    take(kinds, weka_mesh.with_mesh(weka_mesh.neural_mesh(**MESHES[name])))


@pytest.mark.parametrize("environment", ["aws-east", "cw", "dc1"])
def test_the_example_is_taken_in_each_of_its_environments(kinds: ControlPlane, environment: str) -> None:
    mesh, environments = load(EXAMPLE / "mesh.yaml", EXAMPLE / "environments.yaml")
    deployment = resolve(mesh, environments, environment, load_catalog(), None).deployment
    assert deployment is not None
    take(kinds, deployment)


def take(kinds: ControlPlane, deployment: Deployment) -> None:
    """Raises: HTTPError for an object of WEKA that the API server refuses."""
    manifests = [each.manifest for each in rendered.objects(deployment, namespace="namespace")]
    own = [each for each in manifests if each["apiVersion"] == API.removeprefix("/apis/")]
    assert {"WekaCluster", "WekaClient"} <= {each["kind"] for each in own}
    for manifest in own:
        create_object(kinds, {**manifest, "metadata": {**manifest["metadata"], "namespace": SPACE}})
