"""The lab's AWS API holds each call to its service's own model: what botocore sends all the same, AWS refuses."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from werkzeug.test import EnvironBuilder

from meshctl.lab.aws import constraints, rules
from meshctl.lab.aws.call import Call, identify
from meshctl.lab.aws.errors import ApiError


class _SentError(Exception):
    def __init__(self, request: Any) -> None:
        super().__init__(request.url)
        self.request = request


def call(service: str, operation: str, **parameters: Any) -> Call:
    """As the lab gets it over HTTP."""
    session = botocore.session.Session()
    session.set_credentials("AKIALABDEFAULT000001", "secret")
    client: Any = session.create_client(service, region_name="us-east-1", endpoint_url="http://127.0.0.1:1")

    def keep(request: Any, **_: Any) -> None:
        raise _SentError(request)

    client.meta.events.register("before-send", keep)
    method = next(name for name, each in client.meta.method_to_api_mapping.items() if each == operation)
    with pytest.raises(_SentError) as sent:
        getattr(client, method)(**parameters)
    request = sent.value.request
    headers = {name: value if isinstance(value, str) else value.decode() for name, value in request.headers.items()}
    builder = EnvironBuilder(request.url, method=request.method, headers=headers, data=request.body)
    return identify(builder.get_environ())


ROLE = {"RoleName": "nodes", "AssumeRolePolicyDocument": "{}"}
LABELS = {"nodegroupName": "web", "clusterName": "c"}


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (
            call("iam", "CreateRole", **{**ROLE, "RoleName": "r" * 65}),
            "Value 'rrr",
        ),
        (
            call("iam", "CreateRole", **{**ROLE, "RoleName": "a role"}),
            "1 validation error detected: Value 'a role' at 'RoleName' failed to satisfy constraint: Member must"
            r" satisfy regular expression pattern: [\w+=,.@-]+",
        ),
        (
            call("eks", "UpdateNodegroupConfig", **LABELS, labels={"addOrUpdateLabels": {"k": "v" * 64}}),
            "at 'labels.addOrUpdateLabels.k.value' failed to satisfy constraint: Member must have length less than or"
            " equal to 63",
        ),
        (
            call("eks", "UpdateNodegroupConfig", **LABELS, taints={"addOrUpdateTaints": [{"effect": "NoSchedule"}]}),
            "at 'taints.addOrUpdateTaints.1.member.effect' failed to satisfy constraint: Member must satisfy enum",
        ),
        (
            call("eks", "UpdateNodegroupConfig", **LABELS, updateConfig={"maxUnavailablePercentage": 101}),
            "Member must have value less than or equal to 100",
        ),
        (
            call("logs", "CreateLogGroup", logGroupName="/aws/eks/a b"),
            "Value '/aws/eks/a b' at 'logGroupName'",
        ),
        (
            call("iam", "CreateRole", **ROLE, Tags=[{"Key": "cost;centre", "Value": ""}]),
            r"Value 'cost;centre' at 'Tags.1.member.Key' failed to satisfy constraint",
        ),
    ],
)
def test_what_the_model_does_not_allow_is_refused(made: Call, text: str) -> None:
    with pytest.raises(ApiError) as refused:
        constraints.check(made)
    assert text in refused.value.message
    assert refused.value.rule is rules.MODEL


def test_the_code_is_the_services_own() -> None:
    codes = {}
    for made, own in (
        (call("iam", "CreateRole", **{**ROLE, "RoleName": "a role"}), ""),
        (call("logs", "CreateLogGroup", logGroupName="a b"), ""),
        (call("efs", "CreateFileSystem", CreationToken="t", ThroughputMode="fast"), ""),
        (call("eks", "CreateCluster", name="_c", roleArn="r", resourcesVpcConfig={}), "InvalidParameterException"),
    ):
        with pytest.raises(ApiError) as refused:
            constraints.check(made, own)
        codes[made.service] = refused.value.code
    assert codes == {
        "iam": "ValidationError",
        "logs": "InvalidParameterException",
        "efs": "ValidationException",
        "eks": "InvalidParameterException",
    }


@pytest.mark.parametrize(
    "made",
    [
        call("iam", "CreateRole", **ROLE, Tags=[{"Key": "équipe génai", "Value": "münchen: 1/2 = a+b@c"}]),
        call("ec2", "RunInstances", MinCount=1, MaxCount=1, InstanceType="p9.48xlarge"),  # newer than botocore
        call("sts", "GetCallerIdentity"),
        call("autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=["eks-web-1"]),
        call(
            "ec2",
            "CreateCapacityReservation",
            InstanceType="p5.48xlarge",
            InstancePlatform="Linux/UNIX",
            InstanceCount=1,
            PlacementGroupArn="arn:aws:ec2:us-east-1:123456789012:placement-group/reserved",
        ),
    ],
)
def test_all_else_passes(made: Call) -> None:
    constraints.check(made)
