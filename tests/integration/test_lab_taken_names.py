"""Names that another environment of the account has: the second environment is refused, and takes nothing of the first.

Roles of an environment of the same name in another region; what a pool is made of, of the same region."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards import preflight
from meshctl.model.questions import InPlace
from providers.aws.provider import AwsProvider
from providers.plugin.provider import ProviderError
from tests.integration.lab_aws_server import REGION, TRUST, Aws, make_network, use_in_this_process
from tests.unit.preflight.asking import H100, deployment

OTHER = "eu-central-1"
TAGS = {"meshctl.dev/mesh": "m", "meshctl.dev/environment": "e"}
ROLE = "meshaws:iam:Role"
URN = f"urn:pulumi:e::m::{ROLE}::cluster:role-cluster"
WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
PLACE: dict[str, Any] = {"region": OTHER, "zones": [f"{OTHER}a", f"{OTHER}b"]}


@pytest.fixture
def account(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> Aws:
    use_in_this_process(aws, monkeypatch)
    return aws


def stack_in(aws: Aws, region: str) -> AwsProvider:
    provider = AwsProvider()
    endpoint = f"http://127.0.0.1:{aws.port}"
    provider.configure({"region": region, "endpointUrl": endpoint, "defaultTags": TAGS})
    return provider


def make(provider: AwsProvider) -> str:
    inputs, failures = provider.check(
        ROLE, urn=URN, news={"RoleName": "m-e-cluster", "AssumeRolePolicyDocument": TRUST}, olds={}
    )
    assert failures == []
    return provider.create(ROLE, urn=URN, inputs=inputs, timeout_s=60, preview=False).id


def role_of(aws: Aws) -> dict[str, Any]:
    described: dict[str, Any] = aws.client("iam").get_role(RoleName="m-e-cluster")["Role"]
    return described


def test_the_second_is_refused_before_anything_is_made_and_the_first_keeps_its_roles(account: Aws) -> None:
    assert make(stack_in(account, REGION)) == "m-e-cluster"
    before = role_of(account)
    [gap] = [each for each in preflight.ask(deployment(WEB, **PLACE), InPlace()).gaps if "role" in each.wanted]
    assert gap.best == f"an environment of the same name in {REGION} has it"
    with pytest.raises(ProviderError, match=f"a stack in {REGION}") as caught:  # of two at the same moment
        make(stack_in(account, OTHER))
    assert caught.value.code.startswith("EntityAlreadyExists")
    assert role_of(account) == before
    assert not preflight.ask(deployment(WEB), InPlace()).gaps, "its own first `up` goes on after it was killed"
    assert make(stack_in(account, REGION)) == "m-e-cluster"


def test_a_role_of_an_older_version_is_told_by_where_its_cluster_is(account: Aws) -> None:
    iam, eks = account.client("iam"), account.client("eks")
    make(stack_in(account, REGION))
    iam.untag_role(RoleName="m-e-cluster", TagKeys=["meshctl:region"])
    wanted = deployment(WEB, **PLACE)
    assert not preflight.ask(wanted, InPlace()).gaps, "nobody has used it"
    subnets = make_network(account)["subnets"]
    arn = role_of(account)["Arn"]
    eks.create_cluster(name="m-e", roleArn=arn, resourcesVpcConfig={"subnetIds": subnets}, tags=TAGS)
    assert role_of(account)["RoleLastUsed"]["Region"] == REGION
    [gap] = preflight.ask(wanted, InPlace()).gaps
    assert gap.best == f"an environment of the same name in {REGION} has it"


def test_what_a_pool_of_another_environment_is_made_of_is_told(account: Aws) -> None:
    """The pool `x-web` of m-e and the pool `web` of m-e-x want the same names."""
    ec2 = account.client("ec2")
    ours = [{"Key": key, "Value": value} for key, value in TAGS.items()]
    theirs = [*ours[:1], {"Key": "meshctl.dev/environment", "Value": "e-x"}]
    rdma = {"fabrics": {"f": {"kind": "rdma", "bandwidth": "400Gbps", "placement": "cluster"}}}
    wanted = deployment({"x-web": {"nodes": 2, "accelerator": H100, "fabric": "f"}}, rdma)
    data = {"InstanceType": "m7i.4xlarge"}
    for tags, subjects in ((theirs, {"pool/x-web"}), (ours, set[str]())):
        group, template = ({"ResourceType": kind, "Tags": tags} for kind in ("placement-group", "launch-template"))
        ec2.create_placement_group(GroupName="m-e-x-web", Strategy="cluster", TagSpecifications=[group])
        ec2.create_launch_template(
            LaunchTemplateName="m-e-x-web", LaunchTemplateData=data, TagSpecifications=[template]
        )
        gaps = [each for each in preflight.ask(wanted, InPlace()).gaps if each.wanted.endswith("named m-e-x-web")]
        assert {each.subject for each in gaps} == subjects
        assert len(gaps) == 2 * len(subjects)
        ec2.delete_placement_group(GroupName="m-e-x-web")
        ec2.delete_launch_template(LaunchTemplateName="m-e-x-web")
