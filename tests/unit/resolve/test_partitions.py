"""Finding A10: nodes outside the commercial partition of AWS can't pull from its registries."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.pods import own_images
from meshctl.render import platform_objects
from tests.unit.resolve.meshes import AWS, resolved

EFA: dict[str, Any] = {
    "pools": {"train": {"nodes": 2, "accelerator": {"model": "A100", "count": 8}, "fabric": "backend"}},
    "fabrics": {"backend": {"kind": "rdma"}},
}


@pytest.mark.parametrize(
    ("region", "registry"),
    [
        ("us-east-1", "602401143452.dkr.ecr.us-west-2.amazonaws.com"),
        ("us-gov-west-1", "013241004608.dkr.ecr.us-gov-west-1.amazonaws.com"),
        ("us-gov-east-1", "151742754352.dkr.ecr.us-gov-east-1.amazonaws.com"),
        ("cn-north-1", "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("cn-northwest-1", "961992271922.dkr.ecr.cn-northwest-1.amazonaws.com.cn"),
    ],
)
def test_a10_the_efa_plugin_comes_from_a_registry_of_the_partition(region: str, registry: str) -> None:
    environment = {**AWS, "region": region, "zones": [f"{region}a", f"{region}b"], "offered": ["p4d.24xlarge"]}
    deployment = resolved(EFA["pools"], environment, fabrics=EFA["fabrics"]).deployment
    assert deployment is not None
    texts = [str(each.manifest) for each in platform_objects(deployment)]
    assert [text for text in texts if f"{registry}/eks/aws-efa-k8s-device-plugin" in text]
    assert own_images.efa_plugin(region) in own_images.of(deployment)


@pytest.mark.parametrize("region", ["us-east-1", "us-gov-west-1", "cn-north-1"])
def test_a10_a_mirror_of_its_usual_name_holds_in_every_partition(region: str) -> None:
    mirror = {own_images.EFA_REGISTRY: "registry.example.com/eks"}
    environment = {**AWS, "region": region, "zones": [f"{region}a", f"{region}b"], "offered": ["p4d.24xlarge"]}
    found = resolved(EFA["pools"], {**environment, "images": mirror}, fabrics=EFA["fabrics"])
    assert found.deployment is not None
    texts = [str(each.manifest) for each in platform_objects(found.deployment)]
    assert [text for text in texts if "registry.example.com/eks/eks/aws-efa-k8s-device-plugin" in text]
    assert not [note for note in found.notes if note.startswith("images.")]
