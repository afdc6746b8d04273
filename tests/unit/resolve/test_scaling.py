"""Replicas by load: what must have room, what the cluster must have, what it costs, and what roll-outs do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.model.deployment import Resolution
from meshctl.model.observed import Facts
from meshctl.model.served_apis import LEADER_WORKER_SET, POD_METRICS
from meshctl.resolve import report
from tests.unit.resolve.meshes import AWS, DC, gap, node, resolved
from tests.unit.resolve.test_resolve_fit import service

PRICES = {"prices": {"p": "2 USD/h"}}
SIXTEEN = {"cpu": {"cores": 16}}
QUEUE = {"scale": {"metric": "queue-depth", "target": 5}, "metrics": {"port": "http"}}
CPU = {"scale": {"metric": "cpu", "target": 70}}


def scaled(least: int, most: int, **changes: Any) -> dict[str, Any]:
    """Two fit on a node."""
    base = {**service(kind="inference"), "ports": {"http": 8000}, "resources": {"cpu": 7}, **QUEUE}
    return {**base, "replicas": {"min": least, "max": most}, **changes}


def with_pool(
    nodes: Any, workload: dict[str, Any], environment: dict[str, Any] | None = None, facts: Facts | None = None
) -> Resolution:
    return resolved({"p": {"nodes": nodes, **SIXTEEN}}, environment or AWS, facts, workloads={"chat": workload})


def test_the_least_is_what_runs_and_the_most_what_may() -> None:
    found = with_pool({"min": 1, "max": 3}, scaled(2, 6)).deployment
    assert found is not None
    chat = found.workload("chat")
    assert (chat.replicas, chat.most_replicas, chat.pods, chat.most_pods) == (2, 6, 2, 6)
    assert chat.scale is not None
    assert (chat.scale.metric, chat.scale.cooldown_s) == ("queue-depth", 300)


def test_a_range_of_one_number_is_that_number() -> None:
    found = with_pool(1, scaled(2, 2, scale=None)).deployment
    number = with_pool(1, scaled(2, 2, scale=None, replicas=2)).deployment
    assert found == number


def test_all_replicas_must_have_room_on_the_nodes_that_the_pool_may_have() -> None:
    missing = gap(with_pool({"min": 1, "max": 3}, scaled(2, 7)), "workload/chat")
    assert missing.wanted == "up to 7 replicas on pool p"
    assert missing.best.startswith("6 have room on the 3 nodes")
    assert missing.hint == "raise pools.p.nodes.max, or write `replicas: {min: 2, max: 6}`"
    assert gap(with_pool({"min": 1, "max": 9}, scaled(3, 7)), "workload/chat").wanted == "3 pods on pool p"


def test_where_more_nodes_must_come_check_says_so() -> None:
    notes = with_pool({"min": 1, "max": 3}, scaled(1, 6)).notes
    assert any("2 replicas of up to 6 fit on the 1 node that pool p starts with" in each for each in notes)
    assert not any("starts with" in each for each in with_pool(3, scaled(1, 6)).notes)


def test_a_range_that_nobody_of_ours_moves_is_said() -> None:
    notes = with_pool(3, scaled(1, 6, scale=None)).notes
    assert any("without `scale` meshctl does not change its replicas between 1 and 6" in each for each in notes)


def test_cpu_needs_a_cluster_that_measures_it() -> None:
    nodes = tuple(node(f"n{number}") for number in range(3))
    cpu = scaled(1, 2, **CPU)
    served, not_served = Facts(nodes=nodes, served_apis=(POD_METRICS,)), Facts(nodes=nodes, served_apis=())
    missing = gap(with_pool(1, cpu, DC, not_served), "workload/chat")
    assert missing.best == "the cluster does not measure it: it serves no metrics.k8s.io"
    for facts in (served, Facts(nodes=nodes), None):
        assert with_pool(1, cpu, DC, facts).gaps == ()
    assert with_pool(1, scaled(1, 2), DC, not_served).gaps == (), "what pods report needs nothing of the cluster"


@pytest.mark.parametrize(("served", "fits"), [((), False), ((LEADER_WORKER_SET,), True)])
def test_groups_follow_load_where_a_controller_keeps_them(served: tuple[str, ...], fits: bool) -> None:
    nodes = tuple(node(f"n{number}") for number in range(6))
    found = with_pool(6, scaled(1, 3, nodes=2), DC, Facts(nodes=nodes, served_apis=served))
    assert (found.deployment is not None) is fits
    if not fits:
        assert "LeaderWorkerSet" in gap(found, "workload/chat").best


ROUTED: dict[str, Any] = {
    "endpoints": {"chat": {"host": "chat.example.com", "routes": {"/": "chat/http"}}},
    "dns": {"provider": "route53", "zone": "example.com"},
}


def test_what_may_sleep_starts_with_one_replica_and_has_room_and_a_price_for_it() -> None:
    found = resolved({"p": {"nodes": 1, **SIXTEEN}}, AWS, workloads={"chat": scaled(0, 1)}, **ROUTED)
    assert found.deployment is not None
    chat = found.deployment.workload("chat")
    assert (chat.replicas, chat.most_replicas, chat.has_range, chat.lower_bound) == (1, 1, True, 0)
    assert chat.model_copy(update={"least_while_moving": 1}).lower_bound == 1
    (note,) = [each for each in found.notes if "scales to zero after 5m without requests" in each]
    assert "Its node stays, and costs" in note


def test_check_prices_the_least_and_the_most() -> None:
    found = with_pool({"min": 1, "max": 8}, scaled(2, 6), {**AWS, **PRICES})
    assert found.deployment is not None
    assert (found.deployment.hourly_usd, found.most_hourly_usd) == (2.0, 6.0), "three nodes for six replicas"
    assert "2.00 to 6.00 USD/h" in "".join(report.human("m", [found], count=1, verbose=False))
    document = json.loads("".join(report.JsonReport("m").pieces([found])))["environments"][found.environment]
    assert (document["hourly_usd"], document["hourly_usd_max"]) == (2.0, 6.0)


def test_a_number_of_replicas_has_one_price() -> None:
    found = with_pool({"min": 1, "max": 8}, scaled(2, 2, scale=None), {**AWS, **PRICES})
    assert found.most_hourly_usd == 2.0
    assert "2.00 USD/h" in "".join(report.human("m", [found], count=1, verbose=False))


@pytest.mark.parametrize(
    ("nodes", "rule"), [({"min": 2, "max": 2}, "new-first-unless-full"), ({"min": 4, "max": 4}, "")]
)
def test_a_roll_out_ends_a_pod_first_only_where_all_replicas_are_there(nodes: Any, rule: str) -> None:
    found = with_pool(nodes, scaled(1, 4)).deployment
    assert found is not None
    assert found.workload("chat").roll_out == rule
