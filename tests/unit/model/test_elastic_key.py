"""What `elastic` of a training workload needs, with the messages where it is missing."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.files import references

GANG: dict[str, Any] = {
    "kind": "training",
    "pool": "train",
    "nodes": 4,
    "elastic": {"min": 2},
    "mounts": {"ckpt": {"path": "/ckpt"}},
    "checkpoint": {"storage": "ckpt"},
}


def mistakes(**changes: Any) -> list[tuple[str, str]]:
    workload = {key: value for key, value in {**GANG, **changes}.items() if value is not None}
    mesh = {
        "pools": {"train": {"nodes": {"min": 4, "max": 8}}, "rack": {"nodes": 18, "fabric": "rack"}},
        "fabrics": {"rack": {"nvlink": "rack"}},
        "storage": {"ckpt": {"kind": "object"}},
        "workloads": {"pretrain": workload},
    }
    return [(".".join(map(str, path[2:])), message) for path, message in references.check_mesh(mesh)]


def test_a_gang_with_a_checkpoint_may_be_elastic() -> None:
    assert mistakes() == []
    assert mistakes(elastic={"min": 1}, nodes=None) == []  # all nodes of the pool


@pytest.mark.parametrize(
    ("changes", "path", "message"),
    [
        (
            {"checkpoint": None},
            "elastic",
            "needs a checkpoint, from which the gang starts again with fewer nodes; write `checkpoint: {",
        ),
        ({"elastic": {"min": 4}}, "elastic.min", "must be less than the 4 nodes of the gang, got 4"),
        ({"elastic": {"min": 4}, "nodes": None}, "elastic.min", "must be less than the 4 nodes of the gang"),
        ({"elastic": {"min": 1}, "nodes": 1}, "elastic.min", "must be less than the 1 node"),
        ({"pool": "rack"}, "elastic", "has a ComputeDomain of its size, which can't change"),
        ({"kind": "batch", "nodes": None, "checkpoint": None}, "elastic", "only a training workload is a gang"),
        ({"kind": "service", "checkpoint": None}, "elastic", "replicas that follow load are `replicas: {min, max}`"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], path: str, message: str) -> None:
    (mistake,) = mistakes(**changes)
    assert mistake[0] == path
    assert message in mistake[1]
