"""An update of a node group renews the image of its nodes only when it is asked to."""

from __future__ import annotations

from typing import Any

import pytest

from providers.aws.rows.eks import NODEGROUP, pinned_release

LIVE = {"version": "1.35", "releaseVersion": "1.35.0-20261001", "amiType": "AL2023_x86_64_NVIDIA"}


@pytest.mark.parametrize(
    ("inputs", "live", "release"),
    [
        ({"version": "1.35"}, LIVE, "1.35.0-20261001"),
        ({}, LIVE, "1.35.0-20261001"),  # a version that nobody asked for
        ({"version": "1.36"}, LIVE, None),  # images are of one Kubernetes version: the newest of the new one
        ({"version": "1.35", "releaseVersion": "1.35.0-20261101"}, LIVE, "1.35.0-20261101"),
        ({"version": "1.35"}, {**LIVE, "amiType": "CUSTOM", "releaseVersion": "ami-1"}, None),
    ],
)
def test_c2_a_new_launch_template_brings_no_new_image(
    inputs: dict[str, Any], live: dict[str, Any], release: str | None
) -> None:
    assert pinned_release({"inputs": inputs, "answer": live}) == release


def test_c2_what_runs_is_asked_just_before_the_update() -> None:
    [setting] = [each for each in NODEGROUP.settings if "launchTemplate" in each.inputs]
    operations = [call.operation for call in setting.puts]
    update = operations.index("UpdateNodegroupVersion")
    assert operations[update - 1] == "DescribeNodegroup"
    assert setting.puts[update].params["releaseVersion"] is pinned_release
