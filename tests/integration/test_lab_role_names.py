"""Two environments of the same name in two regions of one account: the second takes nothing of the first."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards import preflight
from meshctl.model.questions import InPlace
from providers.aws.provider import AwsProvider
from providers.plugin.provider import ProviderError
from tests.integration.lab_aws_server import REGION, TRUST, Aws, make_network, use_in_this_process
from tests.unit.preflight.asking import deployment

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
