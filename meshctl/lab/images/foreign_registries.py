"""Private registries of ECR that nodes in one region can't pull from: those of other partitions of AWS. PURE.

Called by `meshctl.lab.clusters`, for what the simulator leaves alone, and by `meshctl.lab.pods`, which lets the pull
fail. A node's credentials end at its partition ("Amazon Resource Names", AWS General Reference, partitions; ECR user
guide, "Private registry authentication").
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from botocore.loaders import create_loader

from meshctl.lab import images

_HOST = r"[0-9]{12}[.]dkr[.-]ecr(-fips)?[.]"


@cache
def _regions() -> dict[str, str]:
    """Partition -> a regular expression for the names of its regions."""
    partitions: list[dict[str, Any]] = create_loader().load_data("endpoints")["partitions"]
    return {each["partition"]: str(each["regionRegex"]).strip("^$").replace("\\-", "-") for each in partitions}


def partition_of(region: str) -> str:
    """The region's partition; "" for what is no region of AWS."""
    return next((name for name, regions in _regions().items() if re.fullmatch(regions, region)), "")


@cache
def pattern(region: str) -> str:
    """A regular expression, for Go and Python, for the beginnings of such images; "" for no region of AWS."""
    own = partition_of(region)
    others = "|".join(regions for name, regions in _regions().items() if name != own)
    return f"^{_HOST}({others})[.]" if own else ""


def is_foreign(image: str, region: str) -> bool:
    return bool(pattern(region) and re.match(pattern(region), image))


def jq_of_the_lab(region: str) -> str:
    """For a kwok Stage selector, as `images.JQ_ALL_KNOWN`: whether the lab itself plays a pod on nodes of the region.
    A pod with an image that can't be pulled starts nowhere, whatever its other images are."""
    if not pattern(region):
        return images.JQ_ALL_KNOWN
    foreign = pattern(region).replace("\\", "\\\\")
    each_image = "[.spec.initContainers[]?, .spec.containers[]] | map(.image)"
    return f'(({each_image} | any(test("{foreign}"))) or ({images.JQ_ALL_KNOWN} == "true")) | tostring'
