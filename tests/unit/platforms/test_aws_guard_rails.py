"""What the keys `tags`, `permissionsBoundary` and `rolePath` of an environment on AWS refuse."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from meshctl.platforms.aws.environment import AwsEnvironment


def environment(**keys: object) -> AwsEnvironment:
    return AwsEnvironment.model_validate({"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a"], **keys})


def test_c5_what_aws_takes_is_taken() -> None:
    made = environment(
        tags={"cost centre": "a/b+c@d", "owner": ""},
        permissionsBoundary="arn:aws-us-gov:iam::123456789012:policy/teams/boundary",
        rolePath="/teams/genai/",
    )
    assert made.tags == {"cost centre": "a/b+c@d", "owner": ""}


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"tags": {"aws:owner": "x"}}, "AWS keeps names that begin with aws: for itself"),
        ({"tags": {"meshctl.dev/mesh": "x"}}, "meshctl sets it"),
        ({"tags": {"Name": "x"}}, "meshctl sets it"),
        ({"tags": {"": "x"}}, "1 to 128 characters"),
        ({"tags": {"owner": "x" * 257}}, "256 at most"),
        ({"tags": {"owner": "a;b"}}, "letters, digits, spaces"),
        ({"tags": {f"k{number}": "x" for number in range(41)}}, "40 at most"),
        ({"permissionsBoundary": "boundary"}, "not an IAM policy like"),
        ({"permissionsBoundary": "arn:aws:iam::123456789012:role/boundary"}, "not an IAM policy like"),
        ({"rolePath": "genai"}, "begins and ends with a slash"),
        ({"rolePath": "/genai"}, "begins and ends with a slash"),
        ({"rolePath": "//"}, "begins and ends with a slash"),
    ],
)
def test_c5_what_aws_would_refuse_is_refused_first(keys: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        environment(**keys)
