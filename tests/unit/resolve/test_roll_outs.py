"""How a roll-out replaces pods: a new one comes before an old one goes only where one more certainly has a place."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Resolution
from meshctl.resolve.placement.packing import Amounts, Pods
from meshctl.resolve.placement.spare_room import has_place
from tests.unit.resolve.meshes import AWS, CW, resolved
from tests.unit.resolve.test_resolve_fit import service

NODE_OF_8: dict[str, Any] = {"nodes": 1, "accelerator": {"model": "H100", "count": 8}}
TWO_OF_8 = {**NODE_OF_8, "nodes": 2}
PLAIN = {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}


def surges(resolution: Resolution) -> dict[str, tuple[int, int]]:
    """Workload -> (maxSurge, maxUnavailable) of its Deployment."""
    assert resolution.deployment is not None, resolution.gaps
    manifests = [
        item.manifest for item in render.platform_objects(resolution.deployment) if item.subject.startswith("workload/")
    ]
    strategies = {
        manifest["metadata"]["name"]: manifest["spec"]["strategy"]["rollingUpdate"]
        for manifest in manifests
        if manifest["kind"] == "Deployment"
    }
    return {name: (each["maxSurge"], each["maxUnavailable"]) for name, each in strategies.items()}


@pytest.mark.parametrize(
    ("pool", "workloads", "new_first"),
    [
        # GPUs: four pods of two fill a node of eight, three leave room for one more
        (NODE_OF_8, {"a": service(4, accelerators=2)}, set()),
        (NODE_OF_8, {"a": service(3, accelerators=2)}, {"a"}),
        (NODE_OF_8, {"a": service(1, accelerators=8)}, set()),
        (TWO_OF_8, {"a": service(1, accelerators=8)}, {"a"}),
        (TWO_OF_8, {"a": service(2, accelerators=8)}, set()),
        (TWO_OF_8, {"a": service(3, accelerators=4)}, {"a"}),
        (TWO_OF_8, {"a": service(4, accelerators=4)}, set()),
        # two GPUs on each node leave no eight together, although a packing has them
        (TWO_OF_8, {"a": service(3, accelerators=2), "b": service(1, accelerators=8)}, {"a"}),
        # CPU and memory run out as GPUs do
        (PLAIN, {"a": service(6, cpu=4)}, set()),
        (PLAIN, {"a": service(5, cpu=4)}, {"a"}),
        (PLAIN, {"a": service(4, memory="30GiB")}, set()),
        (PLAIN, {"a": service(40)}, {"a"}),
        # others of the pool count, jobs that run now too
        (NODE_OF_8, {"a": service(1, accelerators=4), "t": service(1, "training", accelerators=4)}, set()),
        (NODE_OF_8, {"a": service(1, accelerators=4), "t": service(1, "batch", accelerators=4)}, set()),
        (NODE_OF_8, {"a": service(1, accelerators=4), "t": service(1, "training", accelerators=3)}, set()),
        (TWO_OF_8, {"a": service(1, accelerators=4), "t": service(2, "training", accelerators=2)}, {"a"}),
        # both may be rolled by one `up`: the one hole is taken once, by that which has no other pod
        (NODE_OF_8, {"a": service(2, accelerators=2), "b": service(1, accelerators=2)}, {"b"}),
        (NODE_OF_8, {"a": service(2, accelerators=2), "b": service(1, accelerators=1)}, {"a", "b"}),
    ],
)
def test_one_more_pod_comes_first_only_where_it_certainly_fits(
    pool: dict[str, Any], workloads: dict[str, Any], new_first: set[str]
) -> None:
    expected = {
        name: (1, 0) if name in new_first else (0, 1) for name, w in workloads.items() if w["kind"] == "service"
    }
    assert surges(resolved({"p": pool}, AWS, workloads=workloads)) == expected
    if "accelerator" in pool:  # the machine without has more room on CoreWeave
        assert surges(resolved({"p": pool}, CW, workloads=workloads)) == expected


def test_no_pod_that_was_promised_a_place_can_be_shut_out() -> None:
    """Against all ways in which the others can stand on the nodes."""
    chance = random.Random(7)  # noqa: S311
    promised = shut_out = 0
    for _ in range(1500):
        nodes: list[Amounts] = [(chance.randint(2, 6), chance.randint(2, 6))] * chance.randint(1, 3)
        kinds = [
            Pods(
                chance.randint(1, 2),
                (chance.randint(0, 3), chance.randint(0, 3)),
                most_on_node=int(chance.random() < 0.2),
            )
            for _ in range(chance.randint(1, 2))
        ]
        one_more = (chance.randint(0, 3), chance.randint(1, 3))
        places = [any(_fits(one_more, free) for free in left) for left in _placements(kinds, nodes)]
        if has_place(one_more, tuple(kinds), ((nodes[0], len(nodes)),)):
            promised += 1
            assert all(places), (one_more, kinds, nodes)
        shut_out += not all(places)
    assert promised > 100
    assert shut_out > 100


def _placements(kinds: list[Pods], nodes: list[Amounts]) -> Iterator[list[Amounts]]:
    """What is left of the nodes, for every way in which all pods can stand on them."""
    pods = [(number, kind) for number, kind in enumerate(kinds) for _ in range(kind.count)]
    for places in itertools.product(range(len(nodes)), repeat=len(pods)):
        left = list(nodes)
        apart = [(number, place) for (number, kind), place in zip(pods, places, strict=True) if kind.most_on_node]
        for (_, kind), place in zip(pods, places, strict=True):
            left[place] = tuple(has - want for has, want in zip(left[place], kind.wants, strict=True))
        if len(set(apart)) == len(apart) and min(map(min, left)) >= 0:
            yield left


def _fits(wants: Amounts, free: Amounts) -> bool:
    return all(want <= has for want, has in zip(wants, free, strict=True))


@pytest.mark.parametrize(
    ("workload", "reason_given"),
    [
        (service(1, accelerators=8), "pool p may have no room for one more pod"),
        (service(1, accelerators=4), ""),
        (service(2, accelerators=4), ""),
        (service(1, "batch", accelerators=8), ""),
        ({**service(1, accelerators=2), "mounts": {"b": {"path": "/b"}}}, "the one volume goes from the old pod"),
    ],
)
def test_a_roll_out_that_leaves_a_workload_without_a_pod_is_told(workload: dict[str, Any], reason_given: str) -> None:
    storage = {"b": {"kind": "block", "size": "10GiB"}}
    resolution = resolved({"p": NODE_OF_8}, AWS, workloads={"a": workload}, storage=storage)
    notes = [note for note in resolution.notes if note.startswith("workload/a: each roll-out leaves it without a pod")]
    assert [reason_given in note for note in notes] == ([True] if reason_given else [])
