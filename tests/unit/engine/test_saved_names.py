"""Buckets keep the name that the state has."""

from typing import Any

from meshctl.engine.object_access import with_saved_names
from tests.unit.deployments import deployment


def test_a_bucket_that_exists_keeps_its_name_and_a_new_one_has_its_own() -> None:
    urn = "urn:pulumi:aws-east::llm-prod::meshaws:s3:Bucket::storage/weights:bucket"
    state: dict[str, Any] = {"resources": [{"urn": urn, "type": "meshaws:s3:Bucket", "inputs": {"Bucket": "old-name"}}]}
    made = with_saved_names(deployment("aws-east"), state)
    assert made.object_store("weights").bucket == "old-name"
    assert made.object_store("checkpoints").bucket == "llm-prod-aws-east-checkpoints"
    assert with_saved_names(deployment("aws-east"), {}) == deployment("aws-east")
