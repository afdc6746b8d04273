"""Quotas of what is counted, and IAM's room for policies: told before anything is made (finding A6)."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from meshctl.model.deployment import Deployment, Gap
from meshctl.model.questions import ApiAnswer, InPlace
from meshctl.platforms.aws.iam import bucket_rights
from meshctl.platforms.aws.preflight import counts
from meshctl.platforms.aws.preflight.change import Change
from tests.unit.preflight.asking import MADE, NOTHING, aws, deployment, findings, up_as

GATEWAYS, CLUSTERS, LUSTRE = "L-FE5A380F", "L-1194D53C", "L-8F1B9C74"
INTERFACES = "L-DF5E4CA3"
NODE_GROUPS, NODES = "L-6D54EA21", "L-BD136A63"
WEB = {"web": {"nodes": 2, "cpu": {"cores": 4}}}
SHARED = {"storage": {"shared": {"kind": "filesystem", "size": "4800GiB", "throughput": "1GB/s"}}}


def quota(value: float) -> ApiAnswer:
    return ApiAnswer({"Quota": {"QuotaName": "of this", "Value": value}})


def asked(wanted: Deployment, in_place: InPlace = NOTHING) -> set[str]:
    return {question.name for question in counts.questions(Change(wanted, in_place, {}))}


def gap(wanted: Deployment, answers: dict[str, ApiAnswer], in_place: InPlace = NOTHING) -> Gap:
    [only] = findings(wanted, answers, in_place).gaps
    return only


def test_a6_an_account_with_all_the_clusters_that_it_may_have() -> None:
    answers = {"clusters": ApiAnswer({"clusters": ["a", "b"]}), CLUSTERS: quota(2)}
    told = gap(deployment(WEB), answers)
    assert (told.wanted, told.best) == ("1 more EKS clusters", "the account has 2 of 2")
    assert f"--service-code eks --quota-code {CLUSTERS} --desired-value 3" in told.hint
    assert findings(deployment(WEB), {**answers, CLUSTERS: quota(3)}).gaps == ()
    assert "clusters" not in asked(deployment(WEB), up_as(deployment(WEB)))


GATEWAYS_OF_TWO_ZONES = ApiAnswer(
    {
        "NatGateways": [
            *({"SubnetId": "subnet-a", "State": "available"},) * 4,
            {"SubnetId": "subnet-a", "State": "deleting"},
            {"SubnetId": "subnet-a", "State": "deleted"},
            {"SubnetId": "subnet-b", "State": "available"},
        ]
    }
)


def test_a6_gateways_are_counted_in_each_zone() -> None:
    """Where the quota of Elastic IPs was raised, that of gateways stops the next environment."""
    wanted = deployment(WEB)
    [question] = [each for each in aws().questions(wanted, NOTHING) if each.name == "gateways"]
    assert question.then is not None
    [subnets] = question.then(GATEWAYS_OF_TWO_ZONES)
    assert subnets.arguments["Filters"] == [{"Name": "subnet-id", "Values": ["subnet-a", "subnet-b"]}]
    assert question.then(ApiAnswer({"NatGateways": []})) == ()
    zones = {"subnet-a": "us-east-1a", "subnet-b": "us-east-1b"}
    places = ApiAnswer({"Subnets": [{"SubnetId": name, "AvailabilityZone": zone} for name, zone in zones.items()]})
    answers = {"gateways": GATEWAYS_OF_TWO_ZONES, "gateway-subnets": places, GATEWAYS: quota(5)}
    told = gap(wanted, answers)
    assert (told.wanted, told.best) == ("1 more NAT gateway in us-east-1a", "the account has 5 of 5 there")
    assert f"--service-code vpc --quota-code {GATEWAYS} --desired-value 6" in told.hint
    assert findings(wanted, {**answers, GATEWAYS: quota(6)}).gaps == ()
    assert findings(wanted, {**answers, "gateways": ApiAnswer(code="UnauthorizedOperation")}).gaps == ()


@pytest.mark.parametrize(
    ("state", "environment", "gap_zones"),
    [
        ("available", "", ["us-east-1b"]),  # it is there
        ("pending", "", ["us-east-1b"]),
        ("deleting", "", ["us-east-1a", "us-east-1b"]),
        ("available", "other", ["us-east-1a", "us-east-1b"]),
    ],
)
def test_a6_a_gateway_that_an_interrupted_run_has_made_is_not_made_again(
    state: str, environment: str, gap_zones: list[str]
) -> None:
    wanted = deployment(WEB)
    tags = {"meshctl.dev/mesh": wanted.mesh, "meshctl.dev/environment": environment or wanted.environment}
    described = [{"Key": key, "Value": value} for key, value in tags.items()]
    gateways = [
        {"SubnetId": "subnet-a", "State": state, "Tags": described},
        {"SubnetId": "subnet-b", "State": "available"},
    ]
    zones = {"subnet-a": "us-east-1a", "subnet-b": "us-east-1b"}
    places = [{"SubnetId": name, "AvailabilityZone": zone} for name, zone in zones.items()]
    answers = {
        "gateways": ApiAnswer({"NatGateways": gateways}),
        "gateway-subnets": ApiAnswer({"Subnets": places}),
        GATEWAYS: quota(1),
    }
    half = InPlace(counts={**MADE, "meshaws:ec2:NatGateway": 1})
    assert [each.wanted for each in findings(wanted, answers, half).gaps] == [
        f"1 more NAT gateway in {zone}" for zone in gap_zones
    ]


def test_a6_lustre_is_counted_by_its_size() -> None:
    wanted = deployment(WEB, SHARED)
    there = [
        {"StorageCapacity": 96_000, "LustreConfiguration": {"DeploymentType": "PERSISTENT_2"}},
        {"StorageCapacity": 96_000, "LustreConfiguration": {"DeploymentType": "SCRATCH_2"}},
        {"StorageCapacity": 96_000, "OntapConfiguration": {}},
    ]
    answers = {"lustre": ApiAnswer({"FileSystems": there}), LUSTRE: quota(100_799)}
    told = gap(wanted, answers)
    assert (told.wanted, told.best) == ("4800 more GiB of FSx for Lustre", "the account has 96000 of 100799")
    assert "--desired-value 100800" in told.hint
    assert findings(wanted, {**answers, LUSTRE: quota(100_800)}).gaps == ()
    assert "lustre" not in asked(deployment(WEB))
    there_already = InPlace(counts={**MADE, "meshaws:fsx:FileSystem": 1})
    assert "lustre" not in asked(wanted, there_already)


def pools(count: int) -> dict[str, Any]:
    return {f"web{number}": {"nodes": 1, "cpu": {"cores": 4}} for number in range(count)}


def test_a6_a_pool_for_each_node_group_of_a_cluster() -> None:
    assert NODE_GROUPS not in asked(deployment(pools(30)))
    wanted = deployment(pools(31))
    told = gap(wanted, {NODE_GROUPS: quota(30)})
    assert (told.wanted, told.best) == (
        "31 node groups in one cluster, one for each pool",
        "a cluster of this account may have 30",
    )
    assert f"--service-code eks --quota-code {NODE_GROUPS} --desired-value 31" in told.hint
    assert told.hint.endswith("EKS grants at most 100")
    assert findings(wanted, {NODE_GROUPS: quota(40)}).gaps == ()
    all_there = replace(up_as(wanted), counts={**MADE, "meshaws:eks:Nodegroup": 31})
    assert NODE_GROUPS not in asked(wanted, all_there), "the account has the quota, or they would not be there"
    one_less = replace(up_as(wanted), counts={**MADE, "meshaws:eks:Nodegroup": 30})
    assert NODE_GROUPS in asked(wanted, one_less)


def of_nodes(nodes: Any) -> Deployment:
    network = {"cidr": "10.0.0.0/16"}
    return deployment({"web": {"nodes": nodes, "cpu": {"cores": 4}}}, network=network)


def test_a6_a_pool_with_more_nodes_than_a_node_group_may_have() -> None:
    """As many as it may have at most: EKS refuses a larger maxSize, whatever the number now."""
    assert NODES not in asked(of_nodes({"min": 1, "max": 450}))
    wanted = of_nodes({"min": 1, "max": 451})
    told = gap(wanted, {NODES: quota(450)})
    assert (told.subject, told.wanted) == ("pool/web", "up to 451 nodes in one node group")
    assert told.best == "a node group of this account may have 450"
    assert f"--service-code eks --quota-code {NODES} --desired-value 451" in told.hint
    assert findings(wanted, {NODES: quota(500)}).gaps == ()
    assert NODES not in asked(wanted, up_as(wanted)), "the account has the quota, or it would not be up"
    assert NODES in asked(of_nodes({"min": 1, "max": 460}), up_as(wanted))


def test_network_interfaces_of_many_large_nodes() -> None:
    """32 of EFA and 14 of WEKA's for each: 120 such nodes are more than AWS begins with."""
    fast = {"fabrics": {"fast": {"kind": "rdma", "bandwidth": "3200Gbps", "placement": "cluster"}}}
    data = {"data": {"kind": "filesystem", "size": "20TiB", "engine": "neuralmesh", "pool": "gpus"}}
    mount = {"w": {"kind": "service", "pool": "gpus", "image": "i", "mounts": {"data": {"path": "/d"}}}}
    gpus = {"nodes": 120, "accelerator": {"model": "H100", "count": 8}, "scratch": "28TB", "fabric": "fast"}
    wanted = deployment({"gpus": gpus}, {**fast, "storage": data, "workloads": mount})
    answers = {"interfaces": ApiAnswer({"NetworkInterfaces": [{}] * 7}), INTERFACES: quota(5000)}
    told = gap(wanted, answers)
    assert told.wanted == f"{120 * (32 + 14)} more network interfaces of nodes"
    assert (told.best, "--service-code vpc" in told.hint) == ("the account has 7 of 5000", True)
    assert findings(wanted, {**answers, INTERFACES: quota(6000)}).gaps == ()
    assert INTERFACES not in asked(deployment(WEB))
    assert INTERFACES not in asked(wanted, up_as(wanted))


def test_what_may_not_be_counted_is_said() -> None:
    denied = {"clusters": ApiAnswer(code="AccessDeniedException"), CLUSTERS: quota(1)}
    made = findings(deployment(WEB), denied)
    assert made.gaps == ()
    assert made.notes == (
        "AWS was not asked about how many clusters there are: it refused the question (AccessDeniedException)",
    )


def with_buckets(count: int, *, read_only: bool = False) -> Deployment:
    names = [f"data-{number:02}" for number in range(count)]
    sections = {
        "storage": {name: {"kind": "object", "size": "1GB"} for name in names},
        "workloads": {
            "chat": {
                "kind": "inference",
                "pool": "web",
                "image": "example/chat:1",
                "mounts": {name: {"path": f"/{name}", "readOnly": read_only} for name in names},
            }
        },
    }
    made = deployment(WEB, sections)
    long = {store.name: f"{store.bucket}-{'x' * 63}"[:63] for store in made.object_stores}
    stores = tuple(store.model_copy(update={"bucket": long[store.name]}) for store in made.object_stores)
    return made.model_copy(update={"object_stores": stores})


def test_a_role_with_more_buckets_than_its_policy_has_room_for() -> None:
    [told] = bucket_rights.gaps(with_buckets(50))
    assert told.subject == "workload/chat"
    assert told.wanted.startswith("rights to 50 object stores, 1")
    assert told.best == "IAM takes 10,240 characters in the policies of a role"
    assert told in findings(with_buckets(50), {}).gaps, "before anything is made"
    assert list(bucket_rights.gaps(with_buckets(50, read_only=True))) == [], "each is named twice, not three times"
    assert list(bucket_rights.gaps(with_buckets(30))) == []


def test_the_longest_names_of_buckets_that_are_not_counted_fit() -> None:
    """`bucket_rights` does not write the policy of a workload with as few."""
    from stacks.aws.storage import bucket_policy

    made = with_buckets(30).model_copy(update={"region": "us-gov-west-1"})
    policy = bucket_policy(made, made.workload("chat"))
    assert len("".join(policy.split())) < bucket_rights.MOST_CHARACTERS
    assert len(json.loads(policy)["Statement"][0]["Resource"]) == 30


@pytest.mark.parametrize("code", ["ResourceLimitExceededException", "NatGatewayLimitExceeded", "ServiceLimitExceeded"])
def test_a_quota_that_nobody_asked_about_is_told_with_its_way_out(code: str) -> None:
    from meshctl.platforms.aws.words import FAILURE_HINTS

    assert "Service Quotas" in FAILURE_HINTS[code]
