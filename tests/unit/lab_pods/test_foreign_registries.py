"""Finding A10: nodes of one partition of AWS have no credentials for registries of another."""

from __future__ import annotations

import re

import pytest
import yaml

from meshctl.lab import clusters, images
from meshctl.lab.images import foreign_registries
from meshctl.lab.pods import lifecycle, runner
from meshctl.model.pods import own_images

OF_OTHERS = "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/aws-efa-k8s-device-plugin:v0.5.20"
REGIONS = ["us-east-1", "eu-central-1", "us-gov-west-1", "us-gov-east-1", "cn-north-1", "cn-northwest-1"]


def pod(*images_of_pod: str) -> dict[str, object]:
    return {"spec": {"nodeName": "n", "containers": [{"image": image} for image in images_of_pod]}}


@pytest.mark.parametrize("region", REGIONS)
def test_a10_the_efa_plugin_can_be_pulled_where_it_is_meant_for(region: str) -> None:
    assert lifecycle.why_not_pulled(own_images.efa_plugin(region), region) == ""


@pytest.mark.parametrize("region", REGIONS)
def test_a10_an_image_of_another_partition_can_not_be_pulled(region: str) -> None:
    is_foreign = not region.startswith(("us-east-", "eu-"))
    assert ("no basic auth credentials" in lifecycle.why_not_pulled(OF_OTHERS, region)) == is_foreign
    assert runner.is_ours(pod(OF_OTHERS, "quay.io/acme/unknown:1"), region) == is_foreign


@pytest.mark.parametrize("region", ["US-EAST-04A", "dc1", ""])
def test_a10_clusters_outside_aws_have_no_partition(region: str) -> None:
    assert lifecycle.why_not_pulled(OF_OTHERS, region) == ""
    assert foreign_registries.jq_of_the_lab(region) == images.JQ_ALL_KNOWN


@pytest.mark.parametrize("region", REGIONS)
def test_a10_the_simulator_leaves_such_pods_to_the_lab(region: str) -> None:
    stages = clusters._with_images("spec: {selector: {matchExpressions: [{key: IMAGES_OF_THE_LAB}]}}", region)
    [expression] = yaml.safe_load(stages)["spec"]["selector"]["matchExpressions"]
    match = re.search(r'any\(test\("(.*?)"\)\)', expression["key"])
    assert match is not None
    of_jq = match[1].replace("\\\\", "\\")
    assert bool(re.search(of_jq, OF_OTHERS)) == foreign_registries.is_foreign(OF_OTHERS, region)
    assert not re.search(of_jq, own_images.efa_plugin(region))
