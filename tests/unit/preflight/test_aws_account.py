"""What of an account stands in the way of an environment: regions, zones, names, roles, addresses."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer, Findings, InPlace
from tests.unit.preflight.asking import H100, MADE, NOTHING, asked, aws, deployment, findings, up_as
from tests.unit.resolve.meshes import AWS, resolved

SERVE = {"serve": {"nodes": 2, "accelerator": H100}}
SPOT = {"serve": {"nodes": 1, "accelerator": H100, "capacity": "spot"}}
DATA = {"storage": {"data": {"kind": "object", "size": "10GiB"}}}
LUSTRE = {"storage": {"shared": {"kind": "filesystem", "size": "1200GiB", "throughput": "1GB/s"}}}
EFS = {"storage": {"shared": {"kind": "filesystem", "size": "1200GiB"}}}
ZURICH: dict[str, Any] = {"region": "eu-central-2", "zones": ["eu-central-2a", "eu-central-2b"]}


def zones(**ids: str) -> ApiAnswer:
    described = [{"ZoneName": f"us-east-1{letter}", "ZoneId": zone_id} for letter, zone_id in ids.items()]
    return ApiAnswer({"AvailabilityZones": described})


def only_gap(made: Findings) -> tuple[str, str, str]:
    [gap] = made.gaps
    return gap.subject, gap.best, gap.hint


def test_a_region_that_is_not_enabled_is_told() -> None:
    wanted = deployment({"web": {"nodes": 2, "cpu": {"cores": 4}}}, **ZURICH)
    [question] = [each for each in aws().questions(wanted, NOTHING) if each.name == "region"]
    assert question.region == "us-east-1"  # the region itself refuses the keys
    answer = ApiAnswer({"Regions": [{"RegionName": "eu-central-2", "OptInStatus": "not-opted-in"}]})
    subject, best, hint = only_gap(findings(wanted, {"region": answer}))
    assert (subject, best) == ("environment", "the account has not enabled it")
    assert "aws account enable-region --region-name eu-central-2" in hint
    opted_in = ApiAnswer({"Regions": [{"RegionName": "eu-central-2", "OptInStatus": "opted-in"}]})
    assert findings(wanted, {"region": opted_in}).gaps == ()
    assert "region" not in asked(deployment(SERVE))


def test_more_networks_for_the_api_server_than_eks_takes_are_told_offline() -> None:
    networks = [f"203.0.113.{number}/32" for number in range(41)]
    web = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
    [gap] = resolved(web, {**AWS, "kubernetes": {"publicAccessCidrs": networks}}).gaps
    assert (gap.wanted, gap.best) == ("an API server that 41 networks can reach", "EKS takes 40")
    assert resolved(web, {**AWS, "kubernetes": {"publicAccessCidrs": networks[1:]}}).gaps == ()


def test_more_tags_than_a_resource_takes_are_told() -> None:
    """`tags` alone have room beside meshctl's, and labels of the mesh come on top."""
    web = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
    tags = {f"tag-{number}": "x" for number in range(40)}
    labels = {f"label-{number}": "x" for number in range(6)}
    wanted = deployment(web, {"labels": labels}, tags=tags)
    [gap] = [gap for gap in findings(wanted, {}).gaps if gap.subject == "environment"]
    assert gap.wanted == "51 tags on each resource: 6 labels of the mesh, 40 `tags` of e, 5 of meshctl"
    assert gap.hint == "take 1 away from `labels` of mesh.yaml or from `tags`"
    fits = deployment(web, {"labels": dict(list(labels.items())[1:])}, tags=tags)
    assert findings(fits, {}).gaps == ()
    assert findings(wanted, {}, up_as(wanted)).gaps == ()


def test_a3_a_private_cluster_is_refused_while_its_vpc_is_not_there() -> None:
    private: dict[str, Any] = {"kubernetes": {"publicAccessCidrs": []}}
    subject, best, hint = only_gap(findings(deployment(SERVE, **private), {}))
    assert (subject, best) == ("cluster", "nobody is inside a VPC that is only about to be made")
    assert "publicAccessCidrs: [203.0.113.7/32]" in hint
    office = {"kubernetes": {"publicAccessCidrs": ["203.0.113.7/32"]}}
    assert findings(deployment(SERVE, **office), {}).gaps == ()
    assert findings(deployment(SERVE, **private), {}, up_as(deployment(SERVE))).gaps == ()
    no_cluster_yet = InPlace((), {"meshaws:ec2:Vpc": 1})  # somebody may be inside by now
    assert findings(deployment(SERVE, **private), {}, no_cluster_yet).gaps == ()


def test_a3_check_says_offline_that_a_new_private_cluster_is_refused() -> None:
    [note] = [each for each in resolved(SERVE, {**AWS, "kubernetes": {"publicAccessCidrs": []}}).notes if "VPC" in each]
    assert "A new environment is refused" in note
    assert "whole internet" not in note


def test_a1_a_zone_that_the_account_does_not_have_is_told() -> None:
    subject, best, hint = only_gap(findings(deployment(SERVE), {"zones": zones(a="use1-az1", c="use1-az2")}))
    assert (subject, best) == ("network", "the account has no such zone")
    assert "us-east-1a, us-east-1c" in hint


def test_a1_a_zone_without_control_planes_may_not_be_among_the_first_two() -> None:
    ids = {"a": "use1-az3", "b": "use1-az1", "c": "use1-az2"}
    subject, best, hint = only_gap(findings(deployment(SERVE), {"zones": zones(**ids)}))
    assert (subject, best) == ("cluster", "EKS has none there (use1-az3)")
    assert "before us-east-1a" in hint
    last = deployment(SERVE, zones=["us-east-1b", "us-east-1c", "us-east-1a"])
    assert findings(last, {"zones": zones(**ids)}).gaps == ()


@pytest.mark.parametrize(
    ("answer", "is_gap"),
    [
        (ApiAnswer(code="ResourceNotFoundException"), False),
        (ApiAnswer({"cluster": {"name": "m-e"}}), True),
        (ApiAnswer({"cluster": {"tags": {"meshctl.dev/mesh": "m", "meshctl.dev/environment": "other"}}}), True),
        (ApiAnswer({"cluster": {"tags": {"meshctl.dev/mesh": "m", "meshctl.dev/environment": "e"}}}), False),
    ],
)
def test_the_name_of_a_cluster_of_somebody_else(answer: ApiAnswer, is_gap: bool) -> None:
    made = findings(deployment(SERVE), {"cluster": answer})
    assert bool(made.gaps) == is_gap
    assert made.notes == ()


IN_A_REGION = {"x-amz-bucket-region": "us-east-1"}  # S3 says it of a bucket that exists, whoever asks


@pytest.mark.parametrize(
    ("code", "headers", "is_gap"),
    [("404", {}, False), ("", {}, False), ("403", IN_A_REGION, True), ("301", IN_A_REGION, True), ("403", {}, False)],
)
def test_a_bucket_of_another_account(code: str, headers: dict[str, str], is_gap: bool) -> None:
    wanted = deployment(SERVE, DATA)
    [name] = [name for name, operation in asked(wanted).items() if operation == "head_bucket"]
    made = findings(wanted, {name: ApiAnswer({"ResponseMetadata": {"HTTPHeaders": headers}}, code=code)})
    assert [gap.subject for gap in made.gaps] == ["storage/data"] * is_gap
    up = InPlace(wanted.pools, {**MADE, "meshaws:s3:Bucket": 1})
    assert asked(wanted, up) == {}


def test_b6_an_account_that_never_had_spot_instances_is_told_to_make_their_role() -> None:
    wanted = deployment(SPOT)
    assert asked(wanted)["spot-role"] == "get_role"
    subject, _, hint = only_gap(findings(wanted, {"spot-role": ApiAnswer(code="NoSuchEntity")}))
    assert subject == "account"
    assert "aws iam create-service-linked-role --aws-service-name spot.amazonaws.com" in hint
    assert findings(wanted, {"spot-role": ApiAnswer({"Role": {}})}) == Findings()
    [note] = findings(wanted, {"spot-role": ApiAnswer(code="AccessDenied")}).notes
    assert "it refused the question (AccessDenied)" in note
    assert "spot-role" not in asked(deployment(SERVE))


@pytest.mark.parametrize(("storage", "service"), [(LUSTRE, "fsx-lustre"), (EFS, "efs")])
def test_a_file_system_whose_service_a_zone_may_not_have(storage: dict[str, Any], service: str) -> None:
    wanted = deployment(SERVE, storage)
    assert asked(wanted)[service] == "describe_vpc_endpoint_services"
    elsewhere = ApiAnswer({"ServiceDetails": [{"AvailabilityZones": ["us-east-1c"]}]})
    [note] = findings(wanted, {service: elsewhere}).notes
    assert "us-east-1a" in note
    both = ApiAnswer({"ServiceDetails": [{"AvailabilityZones": ["us-east-1a", "us-east-1b"]}]})
    assert findings(wanted, {service: both}).notes == ()


def head_bucket(code: str, owner: ApiAnswer | None) -> Findings:
    """What S3 says of the bucket, and of the account's own buckets."""
    wanted = deployment(SERVE, DATA)
    [question] = [each for each in aws().questions(wanted, NOTHING) if each.operation == "head_bucket"]
    answer = ApiAnswer({"ResponseMetadata": {"HTTPHeaders": IN_A_REGION}}, code=code)
    further = question.then(answer) if question.then else ()
    assert [each.operation for each in further] == ["list_buckets"] * (code == "403")
    owners = {each.name: owner for each in further if owner is not None}
    return findings(wanted, {question.name: answer, **owners})


def test_a_bucket_of_the_own_account_that_refuses_is_a_missing_right() -> None:
    """HeadBucket says 403 of somebody else's bucket, and of one's own without s3:ListBucket."""
    bucket = deployment(SERVE, DATA).object_stores[0].bucket
    subject, best, hint = only_gap(head_bucket("403", ApiAnswer({"Buckets": [{"Name": bucket}]})))
    assert subject == "storage/data"
    assert best == "the account has it already, and refuses s3:ListBucket on it"
    assert "allow s3:ListBucket" in hint
    _, best, _ = only_gap(head_bucket("403", ApiAnswer({"Buckets": [{"Name": f"{bucket}-2"}]})))
    assert best == "the name is taken, by another account or in another region"


@pytest.mark.parametrize("owner", [None, ApiAnswer(code="AccessDenied")])
def test_where_nobody_says_whose_the_bucket_is_both_are_said(owner: ApiAnswer | None) -> None:
    _, best, hint = only_gap(head_bucket("403", owner))
    assert best == "it is another account's, or the account's own without the right to s3:ListBucket"
    assert "another name" in hint
    assert "allow s3:ListBucket" in hint


def test_a_bucket_in_another_region_is_taken_whosever_it_is() -> None:
    assert only_gap(head_bucket("301", None))[1] == "the name is taken, by another account or in another region"


def subnets(wanted: Deployment, free: int) -> ApiAnswer:
    assert wanted.network is not None
    described = [
        {"SubnetId": f"subnet-{each.name}", "CidrBlock": each.cidr, "AvailableIpAddressCount": free}
        for each in wanted.network.subnets
    ]
    return ApiAnswer({"Subnets": described})


def test_b4_a_pool_that_grows_asks_for_free_addresses() -> None:
    wanted, before = deployment({"serve": {"nodes": 8, "accelerator": H100}}), up_as(deployment(SERVE))
    assert asked(wanted, before)["subnets"] == "describe_subnets"
    assert findings(wanted, {"subnets": subnets(wanted, 6)}, before).gaps == ()
    made = findings(wanted, {"subnets": subnets(wanted, 5)}, before)
    assert [(gap.wanted, gap.best) for gap in made.gaps] == [
        ("6 addresses for new nodes in us-east-1a", "the subnet subnet-private-a has 5 left"),
        ("6 addresses for new nodes in us-east-1b", "the subnet subnet-private-b has 5 left"),
    ]


def test_nodes_whose_pods_have_blocks_take_whole_ones() -> None:
    data = {"storage": {"data": {"kind": "filesystem", "size": "20TiB", "engine": "neuralmesh", "pool": "store"}}}
    store = {"nodes": 6, "cpu": {"cores": 48, "memory": "384GiB"}, "scratch": "30TB"}
    before, wanted = (deployment({"store": {**store, "nodes": nodes}}, data) for nodes in (6, 7))
    storage = wanted.pool("store").storage
    assert storage is not None
    needed = 1 + storage.network_interfaces + 1 + 16
    assert findings(wanted, {"subnets": subnets(wanted, needed)}, up_as(before)).gaps == ()
    [made] = findings(wanted, {"subnets": subnets(wanted, needed - 1)}, up_as(before)).gaps
    assert made.wanted == f"{needed} addresses for new nodes in us-east-1a"


def test_an_environment_that_is_up_asks_nothing_of_all_this() -> None:
    assert asked(deployment(SERVE), up_as(deployment(SERVE))) == {}
