"""In how many batches EKS replaces the nodes of a group."""

from __future__ import annotations

import pytest

from meshctl.lab.aws.eks.rollout import batches


@pytest.mark.parametrize(
    ("nodes", "update_config", "count"),
    [
        (0, {"maxUnavailable": 1}, 0),
        (20, {}, 20),
        (20, {"maxUnavailable": 3}, 7),
        (20, {"maxUnavailablePercentage": 33}, 3),
        (3, {"maxUnavailablePercentage": 10}, 3),
        (250, {"maxUnavailablePercentage": 100}, 3),
    ],
)
def test_batches(nodes: int, update_config: dict[str, int], count: int) -> None:
    assert batches(nodes, update_config) == count
