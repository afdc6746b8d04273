"""Which regions are no part of the partition `aws`. PURE.

Called by `account` and `service_prices`, which every command imports: `stacks.aws.arns`, which has the names of the
partitions, brings the Pulumi SDK with it.
"""

from __future__ import annotations

from typing import Final

# How the regions of the other partitions begin (botocore/data/partitions.json, `regionRegex`)
_OTHERS: Final = ("cn-", "us-gov-", "us-iso", "eu-isoe", "eusc-")


def is_commercial(region: str) -> bool:
    """Whether it is of the partition `aws`."""
    return not region.startswith(_OTHERS)
