"""The JSON documents that the AWS stack hands to other programs."""

import json

from stacks.aws.cluster import kubeconfig_text
from stacks.aws.storage import bucket_policy
from tests.unit.deployments import deployment


def test_the_kubeconfig_holds_no_secret_and_calls_for_tokens() -> None:
    made = deployment("aws-east", profile="prod")
    config = json.loads(kubeconfig_text(made, name="llm-prod-aws-east", endpoint="https://x", authority="Q0E="))
    assert config["current-context"] == "aws-east"
    plugin = config["users"][0]["user"]["exec"]
    assert plugin["args"] == [
        *["eks-token", "--cluster-name", "llm-prod-aws-east", "--region", "us-east-1", "--profile", "prod"]
    ]
    assert set(config["users"][0]["user"]) == {"exec"}


def test_pods_may_use_the_meshs_buckets_and_no_others() -> None:
    statements = json.loads(bucket_policy(deployment("aws-east")))["Statement"]
    buckets = ["arn:aws:s3:::llm-prod-aws-east-weights", "arn:aws:s3:::llm-prod-aws-east-checkpoints"]
    assert statements[0]["Resource"] == buckets
    assert statements[1]["Resource"] == [f"{bucket}/*" for bucket in buckets]
    assert not any("*" in action for statement in statements for action in statement["Action"])
