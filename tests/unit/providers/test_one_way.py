"""Values that AWS lets go one way only, over the lab's own FSx and EKS, called in this process."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.lab.aws.ec2.ec2 import Ec2
from meshctl.lab.aws.eks import Eks, state
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup
from meshctl.lab.aws.eks.state import Addon, Cluster
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.faults import Faults
from meshctl.lab.aws.fsx import Fsx
from meshctl.lab.aws.iam.credentials import Credentials
from meshctl.lab.aws.quotas import Quotas
from meshctl.lab.aws.regions import Regions
from providers.aws.client import AwsClients, Settings, service_model
from providers.aws.provider import AwsProvider
from providers.plugin.provider import Diff, Found, Kind, ProviderError

CALL = SimpleNamespace(region="us-east-1", access_key="key")
FILE_SYSTEM = "meshaws:fsx:FileSystem"
CLUSTER = "meshaws:eks:Cluster"
LUSTRE = {
    "FileSystemType": "LUSTRE",
    "FileSystemTypeVersion": "2.12",
    "StorageCapacity": 2400,
    "SubnetIds": ["subnet-0123456789abcdef0"],
    "LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 125},
}
FURTHER = [{"StorageCapacity": 4800}, {"FileSystemTypeVersion": "2.15"}]
EKS = {
    "name": "c",
    "roleArn": "arn:aws:iam::123456789012:role/r",
    "resourcesVpcConfig": {"subnetIds": ["subnet-1", "subnet-2"]},
    "accessConfig": {"authenticationMode": "API_AND_CONFIG_MAP", "bootstrapClusterCreatorAdminPermissions": True},
}


class Client:
    """As botocore's, over a service of the lab."""

    def __init__(self, service: Any) -> None:
        names = service_model(service.name).operation_names
        methods = {re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower(): name for name in names}
        self.meta = SimpleNamespace(method_to_api_mapping=methods)
        self.service = service
        self.sent: list[dict[str, Any]] = []  # updates
        self.hidden: tuple[str, ...] = ("FileSystemId", "name")  # what tells the thing from others

    def can_paginate(self, _method: str) -> bool:
        return False

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            if method.startswith("update_"):
                self.sent.append({key: value for key, value in given.items() if key not in self.hidden})
            try:
                return getattr(self.service, method)(CALL, given)
            except ApiError as error:
                raise ClientError({"Error": {"Code": error.code, "Message": str(error)}}, method) from error

        return call


class Clients(AwsClients):
    def __init__(self, client: Client) -> None:
        super().__init__(Settings(region="us-east-1"))
        self.only = client

    def client(self, service: str, *, retries: bool = True) -> Any:
        return self.only


class Bench:
    """One resource that is up, and the calls that the engine makes for it."""

    def __init__(self, service: Any, token: str, id: str, inputs: dict[str, Any]) -> None:  # noqa: A002
        self.client = Client(service)
        self.provider = AwsProvider()
        self.provider.clients = Clients(self.client)
        self.token, self.id, self.inputs = token, id, inputs

    def read(self) -> Found:
        return self.provider.read(self.token, urn="urn:it", id=self.id, inputs=self.inputs, outputs={})

    def checked(self, news: dict[str, Any], olds: dict[str, Any]) -> dict[str, Any]:
        inputs, failures = self.provider.check(self.token, urn="urn:it", news=news, olds=olds)
        assert failures == []
        return inputs

    def diff(self, olds: dict[str, Any], news: dict[str, Any]) -> Diff:
        return self.provider.diff(
            self.token, urn="urn:it", id=self.id, old_inputs=olds, old_outputs={},
            news=self.checked(news, olds), ignore_changes=[],
        )  # fmt: skip

    def update(self, olds: dict[str, Any], news: dict[str, Any]) -> None:
        self.provider.update(
            self.token, urn="urn:it", id=self.id, old_inputs=olds, old_outputs={},
            news=self.checked(news, olds), timeout_s=10, preview=False, ignore_changes=[],
        )  # fmt: skip


@pytest.fixture
def lustre(tmp_path: Path) -> Bench:
    fsx = Fsx(Quotas(tmp_path))
    fsx.file_systems["fs-1"] = {**copy.deepcopy(LUSTRE), "FileSystemId": "fs-1", "Lifecycle": "AVAILABLE", "Tags": []}
    fsx.file_systems["fs-1"]["ResourceARN"] = "arn:us-east-1:fs-1"
    return Bench(fsx, FILE_SYSTEM, "fs-1", LUSTRE)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(state, "CHANGE_S", 0.0)  # the clock of these tests does not move the lab's
    ec2 = Ec2(Quotas(tmp_path), Regions(tmp_path))
    eks = Eks(tmp_path, Credentials(tmp_path), Faults(tmp_path), ec2, Quotas(tmp_path))
    described = copy.deepcopy(EKS) | {
        "arn": "a",
        "status": "ACTIVE",
        "version": "1.34",
        "identity": {"oidc": {"issuer": "i"}},
    }
    described["resourcesVpcConfig"] = {**EKS["resourcesVpcConfig"], "vpcId": "vpc-1"}  # type: ignore[dict-item]
    plane: Any = SimpleNamespace(done=lambda: False)
    eks.clusters["c"] = Cluster(described, "us-east-1", "aws-east", plane, 0)
    return Bench(eks, CLUSTER, "c", EKS)


OLD, NEW = "1.35.0-20261101", "1.35.0-20261120"
GROUP = {
    "clusterName": "c",
    "nodegroupName": "web",
    "nodeRole": "arn:aws:iam::123456789012:role/r",
    "subnets": ["subnet-1"],
    "version": "1.35",
    "amiType": "AL2023_x86_64_STANDARD",
    "scalingConfig": {"minSize": 2, "maxSize": 8, "desiredSize": 2},
    "releaseVersion": OLD,
}


@pytest.fixture
def node_group(cluster: Bench, tmp_path: Path) -> Bench:
    """A group whose release somebody has asked for once, on a platform that has a newer one by now."""
    (tmp_path / "releases.json").write_text('{"image": "20261120"}')
    eks = cluster.client.service
    eks.clusters["c"].described["version"] = "1.35"
    described = copy.deepcopy(GROUP) | {"status": "ACTIVE", "nodegroupArn": "a", "tags": {}, "updateConfig": {}}
    described |= {"instanceTypes": ["m7i.xlarge"], "labels": {}, "taints": [], "capacityType": "ON_DEMAND"}
    (tmp_path / "nodes.json").write_text('{"nodegroups": {"c/web": 2}}')
    nodes = ["m7i.xlarge"] * 2
    eks.clusters["c"].nodegroups["web"] = Nodegroup(described, ["us-east-1a"], {}, nodes=nodes)
    bench = Bench(eks, "meshaws:eks:Nodegroup", "c|web", GROUP)
    bench.client.hidden = ("clusterName", "nodegroupName")
    return bench


def test_c2_an_image_that_somebody_renewed_by_hand_is_not_set_back(node_group: Bench) -> None:
    live = node_group.client.service.clusters["c"].nodegroups["web"].described
    live["releaseVersion"] = NEW
    assert node_group.read().inputs == GROUP, "it is no drift"
    node_group.update(GROUP, GROUP | {"labels": {"role": "edge"}})
    assert live["releaseVersion"] == NEW


def test_c2_the_newest_image_is_taken_when_it_is_asked_for(node_group: Bench) -> None:
    live = node_group.client.service.clusters["c"].nodegroups["web"].described
    assert node_group.diff(GROUP, GROUP | {"releaseVersion": NEW}).detailed == {"releaseVersion": Kind.UPDATE}
    node_group.update(GROUP, GROUP | {"releaseVersion": NEW})
    assert node_group.client.sent == [{"version": "1.35", "releaseVersion": NEW}]
    assert live["releaseVersion"] == NEW


def test_c2_the_lab_refuses_an_image_that_there_is_not(node_group: Bench) -> None:
    with pytest.raises(ProviderError, match=r"Requested release version 1\.35\.0-20270101 is not valid"):
        node_group.update(GROUP, GROUP | {"releaseVersion": "1.35.0-20270101"})


ADDON = {"clusterName": "c", "addonName": "coredns", "resolveConflicts": "OVERWRITE", "kubernetesVersion": "1.34"}
PINNED = ADDON | {"addonVersion": "v1.12.3-eksbuild.1"}


@pytest.fixture
def addon(cluster: Bench) -> Bench:
    """An add-on whose version somebody has asked for once, in a cluster that has just gone to the next version."""
    eks = cluster.client.service
    eks.clusters["c"].described["version"] = "1.35"
    described: dict[str, Any] = {
        "addonName": "coredns",
        "clusterName": "c",
        "addonVersion": PINNED["addonVersion"],
        "addonArn": "a",
    }
    described |= {"status": "ACTIVE", "health": {"issues": []}, "tags": {}, "podIdentityAssociations": []}
    eks.clusters["c"].addons["coredns"] = Addon(described, 0, None, needs_no_node=True, degraded_from=0)
    bench = Bench(eks, "meshaws:eks:Addon", "c|coredns", PINNED)
    bench.client.hidden = ("clusterName", "addonName", "resolveConflicts")
    return bench


def test_c2_another_kubernetes_version_brings_the_add_on_of_it_by_one_update(addon: Bench) -> None:
    addon.update(PINNED, ADDON | {"kubernetesVersion": "1.35"})
    assert addon.client.sent == [{"addonVersion": "v1.12.4-eksbuild.1"}]


def test_an_add_on_that_goes_to_another_version_keeps_its_settings(addon: Bench) -> None:
    """An update with OVERWRITE that names none sets the add-on back to its defaults. They may be somebody else's."""
    addon.client.service.clusters["c"].addons["coredns"].described["configurationValues"] = '{"replicaCount": 4}'
    addon.update(PINNED, ADDON | {"kubernetesVersion": "1.35"})
    values = {"configurationValues": '{"replicaCount": 4}'}
    assert addon.client.sent == [{"addonVersion": "v1.12.4-eksbuild.1", **values}]


def test_c2_an_add_on_goes_to_the_version_that_is_asked_for(addon: Bench) -> None:
    addon.update(PINNED, PINNED | {"addonVersion": "v1.12.4-eksbuild.1"})
    assert addon.client.sent == [{"addonVersion": "v1.12.4-eksbuild.1"}]


def mode(name: str) -> dict[str, Any]:
    return EKS | {"accessConfig": {**EKS["accessConfig"], "authenticationMode": name}}  # type: ignore[dict-item]


@pytest.mark.parametrize("grown", FURTHER, ids=["size", "version"])
def test_what_others_took_further_stays(lustre: Bench, grown: dict[str, Any]) -> None:
    lustre.client.service.file_systems["fs-1"] |= grown
    assert lustre.read().inputs == LUSTRE, "it is no drift"
    state = LUSTRE | grown  # as an older version has read it
    assert not lustre.diff(state, LUSTRE).changes
    faster = LUSTRE | {"LustreConfiguration": {"DeploymentType": "PERSISTENT_2", "PerUnitStorageThroughput": 250}}
    lustre.update(LUSTRE, faster)
    assert lustre.client.sent == [{"LustreConfiguration": {"PerUnitStorageThroughput": 250}}]


@pytest.mark.parametrize("new", FURTHER, ids=["size", "version"])
def test_what_the_program_takes_further_is_applied(lustre: Bench, new: dict[str, Any]) -> None:
    found = lustre.diff(LUSTRE, LUSTRE | new)
    assert (found.detailed, found.replaces) == ({next(iter(new)): Kind.UPDATE}, ())
    lustre.update(LUSTRE, LUSTRE | new)
    assert lustre.client.sent == [new]


def test_a_size_that_others_have_passed_already_is_not_sent(lustre: Bench) -> None:
    lustre.client.service.file_systems["fs-1"]["StorageCapacity"] = 7200
    lustre.update(LUSTRE, LUSTRE | {"StorageCapacity": 4800})
    assert lustre.client.sent == []


def test_versions_are_compared_as_numbers(lustre: Bench) -> None:
    old = LUSTRE | {"FileSystemTypeVersion": "2.9"}
    assert lustre.diff(old, old | {"FileSystemTypeVersion": "2.10"}).detailed == {"FileSystemTypeVersion": Kind.UPDATE}


def test_an_authentication_mode_further_along_stays(cluster: Bench) -> None:
    described = cluster.client.service.clusters["c"].described
    described["accessConfig"] = {"authenticationMode": "API"}
    assert cluster.read().inputs["accessConfig"] == EKS["accessConfig"]
    assert not cluster.diff(mode("API"), EKS).changes
    cluster.update(mode("CONFIG_MAP"), EKS)  # the state is older than the change
    assert cluster.client.sent == []


def test_the_next_authentication_mode_is_applied(cluster: Bench) -> None:
    cluster.update(EKS, mode("API"))
    assert cluster.client.sent == [{"accessConfig": {"authenticationMode": "API"}}]
    assert cluster.read().inputs == EKS
    assert cluster.client.service.clusters["c"].described["accessConfig"]["authenticationMode"] == "API"


@pytest.mark.parametrize(
    ("live", "asked"),
    [("API", "API_AND_CONFIG_MAP"), ("API_AND_CONFIG_MAP", "CONFIG_MAP"), ("CONFIG_MAP", "API"), ("API", "API")],
)
def test_the_lab_refuses_what_eks_refuses(cluster: Bench, live: str, asked: str) -> None:
    eks = cluster.client.service
    eks.clusters["c"].described["accessConfig"] = {"authenticationMode": live}
    with pytest.raises(ApiError, match=f"Unsupported authentication mode update from {live} to {asked}") as caught:
        eks.update_cluster_config(CALL, {"name": "c", "accessConfig": {"authenticationMode": asked}})
    assert caught.value.code == "InvalidParameterException"
