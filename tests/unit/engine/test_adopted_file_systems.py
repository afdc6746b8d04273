"""File systems of AWS that environments.yaml adopts: asked about, led to, refused where nodes can't reach them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from meshctl.clients.aws import existing_file_systems
from meshctl.deploy.guards import adopted_file_systems, preflight
from meshctl.deploy.guards.running.pools import running_zones
from meshctl.errors import InfeasibleError, UsageError
from meshctl.model.deployment import Deployment, ExistingFileSystem, Resolution
from meshctl.model.observed import Facts, ObservedFileSystem
from meshctl.model.questions import Findings, InPlace
from meshctl.model.stack_state import StackState
from tests.unit.fields import effects
from tests.unit.resolve.meshes import AWS, CW, DC, gap, resolved
from tests.unit.states import NOTHING, state

ID = "fs-0123456789abcdef0"
POOLS = {"p": {"nodes": 2, "cpu": {"cores": 4}}}
SHARED = {"shared": {"kind": "filesystem", "size": "1200GiB"}}
WEB = {"web": {"kind": "service", "pool": "p", "image": "i", "mounts": {"shared": {"path": "/s"}}}}
EFS = ObservedFileSystem(id=ID, service="efs", state="available")
LUSTRE = ObservedFileSystem(
    id=ID,
    service="fsx-lustre",
    state="AVAILABLE",
    size_gib=1200,
    dns_name=f"{ID}.fsx.us-east-1.amazonaws.com",
    mount_name="abcdefgh",
    mount_targets={ID: "vpc-own"},
)


def with_file_system(
    system: ObservedFileSystem | None,
    environment: dict[str, Any] = AWS,
    pools: dict[str, Any] | None = None,
    *,
    adopts: bool = True,
) -> Resolution:
    adopting = {**environment, "storage": {"shared": {"fileSystem": ID}} if adopts else {}}
    facts = Facts(file_systems=(system,) if system else ())
    fabrics = {"close": {"kind": "ethernet", "placement": "cluster"}}
    return resolved(pools or POOLS, adopting, facts, storage=SHARED, workloads=WEB, fabrics=fabrics)


def deployed(system: ObservedFileSystem) -> Deployment:
    made = with_file_system(system).deployment
    assert made is not None
    return made


@pytest.mark.parametrize(("system", "words"), [(EFS, f"EFS {ID}"), (LUSTRE, f"FSx for Lustre {ID}")])
def test_it_is_used_and_said(system: ObservedFileSystem, words: str) -> None:
    resolution = with_file_system(system)
    assert resolution.storage_as["shared"] == f"adopted: {words}"
    assert any(note.startswith(f"storage/shared: adopted: the existing file system {ID}") for note in resolution.notes)
    (made,) = deployed(system).file_systems
    assert made.existing == ExistingFileSystem(id=ID, dns_name=system.dns_name, mount_name=system.mount_name)
    assert made.is_adopted


@pytest.mark.parametrize(
    ("system", "best"),
    [
        (None, "there is none of this id in the account and region"),
        (LUSTRE.model_copy(update={"service": "FSx ONTAP"}), "it is of type FSx ONTAP"),
        (LUSTRE.model_copy(update={"state": "CREATING"}), "it is CREATING"),
        (LUSTRE.model_copy(update={"size_gib": 600}), "it has 600 GiB, and the mesh asks for 1,200 GiB"),
    ],
)
def test_one_that_pods_could_not_mount_is_a_gap(system: ObservedFileSystem | None, best: str) -> None:
    fault = gap(with_file_system(system), "storage/shared")
    assert fault.wanted == f"the existing file system {ID}"
    assert fault.best.replace(",", "") == best.replace(",", "")


ONE_ZONE = EFS.model_copy(update={"zone": "us-east-1a"})


IN_ONE_ZONE = {"p": {**POOLS["p"], "fabric": "close"}}


def test_one_of_a_single_zone_gets_its_way_in_that_zone_only() -> None:
    made = with_file_system(ONE_ZONE, pools=IN_ONE_ZONE).deployment
    assert made is not None
    resources: Any = effects.declared(made)
    targets = [name for name in dict(resources) if "mount-target" in name]
    assert targets == ["storage/shared:mount-target-us-east-1a"]


@pytest.mark.parametrize(
    ("zone", "pools", "zones"),
    [("us-east-1a", POOLS, "us-east-1a, us-east-1b"), ("us-east-1b", IN_ONE_ZONE, "us-east-1a")],
)
def test_one_of_a_single_zone_is_a_gap_where_nodes_may_be_in_another(
    zone: str, pools: dict[str, Any], zones: str
) -> None:
    fault = gap(with_file_system(ONE_ZONE.model_copy(update={"zone": zone}), pools=pools), "storage/shared")
    assert fault.best == f"it is of one zone, {zone}, and web of pool p, which mounts it, may run in {zones}"
    assert "placement: cluster" in fault.hint


def test_a_pool_that_stays_in_an_older_zone_is_not_taken_for_one_in_the_zone_of_the_file_system() -> None:
    """environments.yaml names the file system's zone first; the pool was made when another one was the first."""
    up = with_file_system(None, {**AWS, "zones": ["us-east-1b", "us-east-1a"]}, IN_ONE_ZONE, adopts=False).deployment
    wanted = with_file_system(ONE_ZONE, pools=IN_ONE_ZONE).deployment
    assert up is not None
    assert wanted is not None
    declared = running_zones.with_running_zones(wanted, up, InPlace(up.pools))
    (fault,) = running_zones.gaps(declared, up)
    assert fault.best == "it is of one zone, us-east-1a, and web of pool p, which mounts it, may run in us-east-1b"
    assert fault.hint.startswith("pools that are up stay in their zones: give web a new pool")
    with pytest.raises(InfeasibleError, match="it is of one zone"):
        preflight.refuse(declared, Findings(), running_zones.gaps(declared, up))
    assert not running_zones.gaps(declared, declared), "what is up already is left as it is"
    assert not running_zones.gaps(wanted, None)


@pytest.mark.parametrize("environment", [CW, DC], ids=["cw", "dc"])
def test_elsewhere_it_is_refused_with_the_way_out(environment: dict[str, Any]) -> None:
    fault = gap(with_file_system(EFS, environment), "storage/shared")
    assert fault.best == "meshctl knows no file systems by id on this platform"
    assert "{claim: CLAIM}" in fault.hint


def declared(system: ObservedFileSystem) -> dict[str, tuple[str, dict[str, Any]]]:
    resources: Any = effects.declared(deployed(system))
    return dict(resources)


@pytest.mark.parametrize("system", [EFS, LUSTRE], ids=["efs", "lustre"])
def test_what_is_declared_leads_to_it_and_does_not_make_it(system: ObservedFileSystem) -> None:
    resources = declared(system)
    types = {type_ for type_, _ in resources.values()}
    assert not types & {"meshaws:efs:FileSystem", "meshaws:fsx:FileSystem"}
    _, volume = resources["storage/shared:volume"]
    assert volume["spec"]["csi"]["volumeHandle"] == ID
    assert volume["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
    targets = [inputs for type_, inputs in resources.values() if type_ == "meshaws:efs:MountTarget"]
    if system.service == "efs":
        assert [each["FileSystemId"] for each in targets] == [ID, ID]
        assert "storage/shared:ingress" in resources
    else:
        assert targets == []
        attributes = {"dnsname": LUSTRE.dns_name, "mountname": LUSTRE.mount_name}
        assert volume["spec"]["csi"]["volumeAttributes"] == attributes


def up(made: Deployment, *targets: str) -> StackState:
    urn = "urn:pulumi:e::m::"
    stack = {"urn": f"{urn}pulumi:pulumi:Stack::m-e", "type": "pulumi:pulumi:Stack"}
    vpc = {"urn": f"{urn}meshaws:ec2:Vpc::network:vpc", "type": "meshaws:ec2:Vpc", "id": "vpc-own"}
    ways = [
        {"urn": f"{urn}meshaws:efs:MountTarget::storage/shared:{each}", "type": "meshaws:efs:MountTarget", "id": each}
        for each in targets
    ]
    return state(
        {**stack, "outputs": {"deployment": made.model_dump(mode="json")}},
        {**vpc, "outputs": {"VpcId": "vpc-own"}},
        *ways,
    )


def seen(monkeypatch: pytest.MonkeyPatch, system: ObservedFileSystem, **targets: str) -> Deployment:
    observed = system.model_copy(update={"mount_targets": targets or system.mount_targets})
    monkeypatch.setattr(
        existing_file_systems, "observed", lambda _profile, _region, ids: (observed,) if observed.id in ids else ()
    )
    return deployed(system)


def test_one_in_another_network_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = seen(monkeypatch, EFS, other="vpc-other")
    with pytest.raises(UsageError, match=f"the nodes can't reach {ID} of storage/shared: it is in vpc-other") as caught:
        adopted_file_systems.check_reachable(made, up(made))
    assert "in vpc-own" in caught.value.why
    with pytest.raises(UsageError) as before:
        adopted_file_systems.check_reachable(made, NOTHING)
    assert "in a VPC of their own, which `up` makes" in before.value.why


def test_a_way_of_somebody_else_in_the_own_network_is_refused_and_meshctl_s_own_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = seen(monkeypatch, EFS, mine="vpc-own")
    adopted_file_systems.check_reachable(made, up(made, "mine"))
    with pytest.raises(UsageError, match="has the mount target mine in the environment's VPC"):
        adopted_file_systems.check_reachable(made, up(made))


def test_a_file_system_without_ways_gets_some(monkeypatch: pytest.MonkeyPatch) -> None:
    made = seen(monkeypatch, EFS)
    adopted_file_systems.check_reachable(made, NOTHING)


def test_one_that_stands_in_the_network_is_named_before_a_destroy_fails_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made = seen(monkeypatch, LUSTRE)
    adopted_file_systems.check_reachable(made, up(made))
    with pytest.raises(UsageError, match=f"the adopted file system {ID} is in the environment's VPC"):
        adopted_file_systems.check_destroy(up(made))
    made = seen(monkeypatch, EFS)
    adopted_file_systems.check_destroy(up(made))


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in (("ACCESS_KEY_ID", "a"), ("SECRET_ACCESS_KEY", "b"), ("ENDPOINT_URL", f"http://{host}:{port}")):
        monkeypatch.setenv(f"AWS_{name}", value)
    yield f"http://{host}:{port}"
    server.stop()


def test_aws_is_asked_by_the_id(aws: str) -> None:
    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=aws, region_name="us-east-1")  # type: ignore[call-overload]

    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    efs = client("efs")
    made = efs.create_file_system(CreationToken="t")["FileSystemId"]
    target = efs.create_mount_target(FileSystemId=made, SubnetId=subnet)["MountTargetId"]
    (observed,) = existing_file_systems.observed("", "us-east-1", [made])
    assert (observed.id, observed.service, observed.state) == (made, "efs", "available")
    assert observed.mount_targets == {target: vpc}
    assert observed.zone == ""
    one_zone = efs.create_file_system(CreationToken="z", AvailabilityZoneName="us-east-1b")["FileSystemId"]
    assert [each.zone for each in existing_file_systems.observed("", "us-east-1", [one_zone])] == ["us-east-1b"]
