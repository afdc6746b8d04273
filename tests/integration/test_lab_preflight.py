"""What a preflight hears of the lab's AWS API over HTTP: quotas and what counts for them, versions, releases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from meshctl.clients.aws import aws_questions
from meshctl.deploy import live_platform
from meshctl.deploy.guards import preflight
from meshctl.errors import InfeasibleError
from meshctl.model.deployment import Gap
from meshctl.model.questions import InPlace
from tests.integration.lab_aws_server import (
    KEY,
    P_QUOTA,
    Aws,
    code_of,
    issue,
    make,
    make_cluster,
    make_network,
    quotas_of_a_new_account,
    raised,
    set_quotas,
)
from tests.unit.resolve.meshes import AWS, resolved
from tests.unit.states import state

WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}


@pytest.fixture(autouse=True)
def quotas(aws: Aws) -> Iterator[None]:
    yield from quotas_of_a_new_account(aws)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab's first answers take longer than a user's patience where the machine is busy."""
    monkeypatch.setattr(aws_questions, "TIMEOUT_S", 100.0)


def test_a_preflight_hears_what_the_account_may_have(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    found = resolved({"serve": {"nodes": 2, "accelerator": {"model": "H200", "count": 8}}}, AWS).deployment
    assert found is not None
    raised(aws, *P_QUOTA, 192)
    made = preflight.ask(found, InPlace())
    assert made.zones == {"serve": ("us-east-1a",)}  # the other zone of the two has no p5en
    assert [(gap.subject, gap.best) for gap in made.gaps] == [("quota/L-417A185B", "the account may run 192")]
    assert made.notes == ()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANOBODY")
    assert "no usable credentials" in preflight.ask(found, InPlace()).notes[0]


def test_a_preflight_counts_what_there_is_already(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """finding A6"""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    network = make_cluster(aws)
    shared = {"shared": {"kind": "filesystem", "size": "4800GiB", "throughput": "1GB/s"}}
    wanted = resolved({"web": {"nodes": {"min": 1, "max": 460}, "cpu": {"cores": 4}}}, AWS, storage=shared).deployment
    assert wanted is not None
    set_quotas(aws, CLUSTERS=1, LUSTRE_GIB=2400, GATEWAYS=0, ADDRESSES=1000, NODES=450)
    counted = {"L-1194D53C", "L-8F1B9C74", "L-FE5A380F"}
    refused = {gap.subject for gap in preflight.ask(wanted, InPlace()).gaps}
    assert {f"quota/{code}" for code in counted} | {"pool/web"} <= refused
    ec2 = aws.client("ec2")
    set_quotas(aws, CLUSTERS=2, LUSTRE_GIB=4800, GATEWAYS=1, ADDRESSES=1000, NODES=460)
    made = ec2.create_nat_gateway(SubnetId=network["subnets"][0], ConnectivityType="private")["NatGateway"]
    gaps = {gap.subject: gap for gap in preflight.ask(wanted, InPlace()).gaps}
    assert gaps.keys() & {*(f"quota/{code}" for code in counted), "pool/web"} == {"quota/L-FE5A380F"}
    assert gaps["quota/L-FE5A380F"].best == "the account has 1 of 1 there"
    ec2.delete_nat_gateway(NatGatewayId=made["NatGatewayId"])
    codes = {gap.subject.removeprefix("quota/") for gap in preflight.ask(wanted, InPlace()).gaps}
    assert not codes & counted


def test_a6_the_quota_of_one_mesh_is_not_enough_for_a_second_one(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each alone fits. Before, `plan` was clean, and the second one's nodes did not come, 20 minutes into its `up`."""
    as_a_user(aws, monkeypatch)
    first = resolved({"serve": {"nodes": 2, "accelerator": {"model": "H200", "count": 8}}}, AWS).deployment
    assert first is not None
    raised(aws, *P_QUOTA, 384)
    assert preflight.ask(first, InPlace()).gaps == ()
    network = make_cluster(aws)
    make(aws, network, "serve", instanceTypes=["p5en.48xlarge"], subnets=network["subnets"][:1])
    second = preflight.ask(first, InPlace())
    with pytest.raises(InfeasibleError) as refused:
        preflight.refuse(first, second)
    [gap] = refused.value.gaps
    assert isinstance(gap, Gap)
    assert (gap.subject, gap.wanted) == (
        "quota/L-417A185B",
        "384 vCPUs of Running On-Demand P instances (pool serve: 2 x 192)",
    )
    assert gap.best == "the account may run 384, and 384 are in use already: EKS cluster c1 (2 x p5en.48xlarge)"
    assert "--quota-code L-417A185B --desired-value 768" in gap.hint
    own = first.model_copy(update={"cluster": first.cluster.model_copy(update={"name": "c1"})})
    assert [gap.subject for gap in preflight.ask(own, InPlace()).gaps] == ["cluster"], "its own nodes count once"
    make(aws, network, "more", instanceTypes=["p5en.48xlarge"], subnets=network["subnets"][:1])
    assert issue(aws, "more")[1].startswith("Could not launch On-Demand Instances. VcpuLimitExceeded"), (
        "as the twin says"
    )


def test_a_preflight_hears_which_versions_of_kubernetes_there_are(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, only CreateCluster refused them, once the network was there."""
    as_a_user(aws, monkeypatch)
    raised(aws, "ec2", "L-1216C47A", 1000)
    described = aws.client("eks").describe_cluster_versions()["clusterVersions"]
    assert [each["clusterVersion"] for each in described if each["defaultVersion"]] == ["1.35"]
    assert {each["versionStatus"] for each in described} == {"STANDARD_SUPPORT", "EXTENDED_SUPPORT"}
    network, eks = make_network(aws), aws.client("eks")
    given = {"roleArn": network["role"], "resourcesVpcConfig": {"subnetIds": network["subnets"]}}
    for version in ("1.31", "1.99"):
        wanted = resolved(WEB, {**AWS, "kubernetes": {"version": version}}).deployment
        assert wanted is not None
        [gap] = preflight.ask(wanted, InPlace()).gaps
        assert (gap.wanted, gap.best) == (
            f"Kubernetes {version}",
            "EKS has 1.36, 1.35, 1.34, 1.33, 1.32 in us-east-1",
        )
        assert code_of(eks.create_cluster, name="c1", version=version, **given) == "InvalidParameterException"
    past = resolved(WEB, {**AWS, "kubernetes": {"version": "1.32"}}).deployment
    assert past is not None
    made = preflight.ask(past, InPlace())
    assert made.gaps == ()
    assert [note for note in made.notes if note.startswith("Kubernetes 1.32 is past standard support of EKS")]


def test_instances_are_described_page_by_page_with_the_tags_of_their_node_groups(aws: Aws) -> None:
    network, ec2 = make_cluster(aws), aws.client("ec2")
    raised(aws, "ec2", "L-1216C47A", 1000)
    scaling = {"minSize": 0, "maxSize": 20, "desiredSize": 12}
    make(aws, network, "web", scalingConfig=scaling)
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    own = ec2.run_instances(ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1)["Instances"][0][
        "InstanceId"
    ]
    try:
        first = ec2.describe_instances(MaxResults=5)
        assert len(instances_of(first)) == 5
        assert first["NextToken"]
        running = [{"Name": "instance-state-name", "Values": ["running"]}]
        pages = ec2.get_paginator("describe_instances").paginate(Filters=running, PaginationConfig={"PageSize": 5})
        described = [each for page in pages for each in instances_of(page)]
        assert len(described) == 13 == len({each["InstanceId"] for each in described})
        nodes = [each for each in described if each["InstanceType"] == "t3.medium"]
        tags = {each["Key"]: each["Value"] for each in nodes[0]["Tags"]}
        assert (tags["eks:cluster-name"], tags["eks:nodegroup-name"]) == ("c1", "web")
        assert tags["kubernetes.io/cluster/c1"] == "owned"
        assert {node["SubnetId"] for node in nodes} == set(network["subnets"])
        assert {node["CpuOptions"]["CoreCount"] * node["CpuOptions"]["ThreadsPerCore"] for node in nodes} == {2}
        of_type = [{"Name": "instance-type", "Values": ["m*"]}]
        assert [each["InstanceId"] for each in instances_of(ec2.describe_instances(Filters=of_type))] == [own]
    finally:
        ec2.terminate_instances(InstanceIds=[own])
    assert instances_of(ec2.describe_instances(Filters=[*running, *of_type])) == []


def instances_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for reservation in answer["Reservations"] for each in reservation["Instances"]]


def as_a_user(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    """meshctl's own clients ask this API."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def test_c2_a_newer_release_appears_and_is_heard_of(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{aws.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    make(aws, make_cluster(aws), "web")
    eks = aws.client("eks")
    eks.create_addon(clusterName="c1", addonName="coredns")
    wanted = resolved({"web": {"nodes": {"min": 1, "max": 8}, "cpu": {"cores": 4}}}, AWS).deployment
    assert wanted is not None
    wanted = wanted.model_copy(update={"cluster": wanted.cluster.model_copy(update={"name": "c1"})})
    up = state({"urn": "urn:pulumi:e::m::meshaws:eks:Cluster::cluster:eks", "type": "meshaws:eks:Cluster"})
    before = live_platform.ask(wanted, up)
    assert (before.newer_notes("e"), before.unasked) == ((), ())
    assert before.count_notes(wanted) == ("pool/web: 2 nodes now, 1..8",)
    newer = {"image": "20261120", "addons": {"coredns": "v1.12.9-eksbuild.1"}}
    (aws.root / "releases.json").write_text(json.dumps(newer))
    refreshed = live_platform.ask(wanted, up).refreshed(wanted)
    assert refreshed.pool("web").image_release.endswith(".0-20261120")
    assert refreshed.cluster.addon_versions == {"coredns": "v1.12.9-eksbuild.1"}
