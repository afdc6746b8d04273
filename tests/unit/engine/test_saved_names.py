"""Buckets keep the name that the state has."""

from meshctl.objects.object_access import with_saved_names
from tests.unit.deployments import deployment
from tests.unit.states import NOTHING, state


def test_a_bucket_that_exists_keeps_its_name_and_a_new_one_has_its_own() -> None:
    urn = "urn:pulumi:aws-east::llm-prod::meshaws:s3:Bucket::storage/weights:bucket"
    before = state({"urn": urn, "type": "meshaws:s3:Bucket", "inputs": {"Bucket": "old-name"}})
    made = with_saved_names(deployment("aws-east"), before)
    assert made.object_store("weights").bucket == "old-name"
    assert made.object_store("checkpoints").bucket == "llm-prod-aws-east-checkpoints"
    assert with_saved_names(deployment("aws-east"), NOTHING) == deployment("aws-east")
