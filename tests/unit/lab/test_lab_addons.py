"""EKS add-ons with replicas are Deployments, and their health is that of the replicas."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.lab.controllers.eks_addons import CONTROLLERS, manifest

COREDNS = {"version": "v1.12.4-eksbuild.1", "configuration": ""}


def pod_of(addon: str, **described: str) -> dict[str, Any]:
    spec: dict[str, Any] = manifest(addon, COREDNS | described, "us-east-1")["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("addon", sorted(CONTROLLERS))
def test_no_addon_runs_on_gpu_nodes_by_itself(addon: str) -> None:
    """finding A11"""
    assert not any(each.get("key") == "nvidia.com/gpu" for each in pod_of(addon)["tolerations"])
    assert not any("key" not in each and each["effect"] != "NoExecute" for each in pod_of(addon)["tolerations"])


def test_what_the_configuration_says_goes_before() -> None:
    everywhere = [{"operator": "Exists"}]
    of_dns = json.dumps({"tolerations": everywhere, "replicaCount": 3})
    assert pod_of("coredns", configuration=of_dns)["tolerations"] == everywhere
    assert manifest("coredns", COREDNS | {"configuration": of_dns}, "us-east-1")["spec"]["replicas"] == 3
    of_driver = json.dumps({"controller": {"tolerations": everywhere}})
    assert pod_of("aws-ebs-csi-driver", configuration=of_driver)["tolerations"] == everywhere


def test_another_version_is_another_image() -> None:
    old, new = (manifest("coredns", COREDNS | {"version": version}, "us-east-1") for version in ("v1", "v2"))
    assert old["metadata"]["annotations"] != new["metadata"]["annotations"]
    assert new["spec"]["template"]["spec"]["containers"][0]["image"].endswith("/eks/coredns:v2")
