"""When groups of pods are ready, and how long their end may take."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from providers.kubernetes import objects
from providers.kubernetes.waits import grace, groups, readiness, waiting
from providers.kubernetes.waits.waiting import Waiter
from tests.unit.providers.provider_clock import Time

GVK = objects.Gvk("leaderworkerset.x-k8s.io", "v1", "LeaderWorkerSet")
AVAILABLE = {"type": "Available", "status": "True"}
PROGRESSING = {"type": "Progressing", "status": "True"}
Object = dict[str, Any]


def live_set(status: Object, *, generation: int = 1, replicas: int = 2) -> Object:
    pod = {"spec": {"terminationGracePeriodSeconds": 900}}
    return {
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "llama", "namespace": "n", "generation": generation},
        "spec": {"replicas": replicas, "leaderWorkerTemplate": {"leaderTemplate": pod, "workerTemplate": pod}},
        "status": status,
    }


def status(updated: int, ready: int, condition: Object, replicas: int = 2) -> Object:
    counts = {"replicas": replicas, "updatedReplicas": updated, "readyReplicas": ready}
    return {**counts, "conditions": [condition]}


@pytest.mark.parametrize(
    ("seen", "message"),
    [
        ({}, "waiting for the controller of LeaderWorkerSets"),
        (status(1, 2, PROGRESSING), "1 of 2 groups are of the new version"),
        (status(2, 2, AVAILABLE, replicas=3), "old groups still run"),
        (status(2, 1, PROGRESSING), "1 of 2 groups are ready"),
        (status(2, 2, PROGRESSING), "2 of 2 groups are ready"),
    ],
)
def test_groups_are_not_ready_and_it_is_said_why(seen: Object, message: str) -> None:
    assert groups.leader_worker_set(live_set(seen)) == readiness.Verdict(ready=False, message=message)


def test_groups_are_ready_when_all_are_new_and_available() -> None:
    assert groups.leader_worker_set(live_set(status(2, 2, AVAILABLE))).ready
    assert groups.leader_worker_set(live_set({}, replicas=0)).ready


def test_its_own_rule_says_more_than_the_condition_that_it_asks_for() -> None:
    live = live_set(status(1, 2, AVAILABLE))
    live["metadata"]["annotations"] = {readiness.WAIT_FOR: "condition=Available"}
    rule = groups.rule(GVK, live)
    assert rule is not None
    assert not rule(live).ready


def waited(monkeypatch: pytest.MonkeyPatch, *seen: Object, generation: int, timeout_s: float = 60) -> tuple[Any, float]:
    """What a wait says that sees these states one after the other, the last one for ever, and how long it took."""
    clock, states = Time(), list(seen)
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=clock.monotonic))

    def get(*_: Any) -> Object:
        return live_set(states.pop(0) if len(states) > 1 else states[0], generation=generation)

    api = cast("Any", SimpleNamespace(get=get, items=lambda *_, **__: []))
    waiter = Waiter(api, cast("Any", clock))
    outcome = waiter.until_ready(GVK, get(), timeout_s=timeout_s, status=lambda _: None)
    return outcome, clock.now_s


def test_a_changed_set_is_not_taken_at_the_word_of_its_old_status(monkeypatch: pytest.MonkeyPatch) -> None:
    old, rolling, new = status(2, 2, AVAILABLE), status(0, 2, PROGRESSING), status(2, 2, AVAILABLE)
    outcome, took_s = waited(monkeypatch, old, old, rolling, rolling, new, generation=2)
    assert outcome.reasons == ()
    assert took_s > groups.SETTLING_S
    assert waited(monkeypatch, old, rolling, generation=2, timeout_s=30)[0].reasons


def test_a_new_set_is_ready_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, status(2, 2, AVAILABLE), generation=1) == (
        waiting.Outcome(live_set(status(2, 2, AVAILABLE))),
        0.0,
    )


def test_a_wait_that_ends_while_it_settles_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    assert waited(monkeypatch, status(2, 2, AVAILABLE), generation=2, timeout_s=1)[0].reasons == ()


def test_its_pods_are_found_and_have_their_time_to_end() -> None:
    assert groups.selector_of_pods(live_set({})) == "leaderworkerset.sigs.k8s.io/name=llama"
    assert grace.is_leaving({**live_set({}), "metadata": {"deletionTimestamp": "now"}})
    assert grace.deletion_timeout_s(0, {}, [live_set({})]) == 900 + grace.MARGIN_S
