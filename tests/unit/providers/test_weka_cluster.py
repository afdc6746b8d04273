"""When a WEKA cluster is ready, and what is said until then."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.engine.failures import failure_of
from providers.kubernetes import apply, objects
from providers.kubernetes.waits import groups, readiness, waiting
from providers.kubernetes.waits.readiness import Verdict
from providers.kubernetes.waits.waiting import Waiter
from tests.unit.providers.provider_clock import Time

GVK = objects.Gvk("weka.weka.io", "v1alpha1", "WekaCluster")
ANNOTATIONS = {"pulumi.com/waitFor": "jsonpath={.status.status}=Ready", "pulumi.com/timeoutSeconds": "600"}
Object = dict[str, Any]


def live(phase: str, health: str = "OK", drives: Object | None = None, **status: Any) -> Object:
    return {
        "apiVersion": "weka.weka.io/v1alpha1",
        "kind": "WekaCluster",
        "metadata": {"name": "m", "namespace": "m", "annotations": ANNOTATIONS},
        "spec": {"image": "quay.io/weka.io/weka-in-container:4.4.21.2"},
        "status": {"status": phase, "stats": {"clusterStatus": health, "drives": drives or {}}, **status},
    }


def counted(active: int | str, desired: int | str = 24, *failed: str) -> Object:
    counters = {"active": active, "created": active, "desired": desired}
    return {"counters": counters, "failures": [{"serialId": serial, "wekaDriveId": "7"} for serial in failed]}


def verdict(cluster: Object) -> Verdict:
    rule = groups.rule(GVK, cluster)
    assert rule is not None
    return rule(cluster)


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({**live(""), "status": {}}, "waiting for WEKA's operator"),
        (live("Init"), "Init"),
        (live("WaitForDrives", drives=counted(8)), "WaitForDrives: 8 of 24 drives are active"),
        (live("WaitForDrives", drives=counted("8", "24")), "WaitForDrives: 8 of 24 drives are active"),
        (live("WaitForDrives", printer={"drives": "8/10/24"}), "WaitForDrives: 8 of 24 drives are active"),
        (
            live("StartingIO", drives=counted(23, 24, "S123")),
            "StartingIO: 23 of 24 drives are active; drive S123 failed",
        ),
    ],
)
def test_a_cluster_is_not_ready_and_it_is_said_why(cluster: Object, message: str) -> None:
    assert verdict(cluster) == Verdict(ready=False, message=message)


def test_a_cluster_that_rebuilds_serves_and_is_ready() -> None:
    assert verdict(live("Ready", drives=counted(24))).ready
    assert verdict(live("Ready", "REBUILDING", counted(23, 24, "S123"))).ready
    assert verdict(live("Ready", lastAppliedImage="quay.io/weka.io/weka-in-container:4.4.10")).ready


@pytest.mark.parametrize("phase", ["GracePeriod", "Destroying", "Deallocating"])
def test_one_that_is_deleted_is_not_waited_for(phase: str) -> None:
    assert verdict(live(phase)) == Verdict(
        ready=False, message=f"its deletion has begun ({phase})", failed=True, code="WekaLeaving"
    )
    deleted = live("")
    deleted["metadata"]["deletionTimestamp"] = "2026-11-29T20:00:00Z"
    assert verdict(deleted).failed


def waited(monkeypatch: pytest.MonkeyPatch, cluster: Object) -> tuple[str, ...]:
    """The reasons after the wait that the annotation allows."""
    clock = Time()
    monkeypatch.setattr(waiting, "time", SimpleNamespace(monotonic=clock.monotonic))
    api = SimpleNamespace(get=lambda *_: cluster, items=lambda *_, **__: [])
    waiter = Waiter(cast("Any", api), cast("Any", clock))
    timeout_s = readiness.timeout_s(0, cluster, GVK)
    return waiter.until_ready(GVK, cluster, timeout_s=timeout_s, status=lambda _: None).reasons


def test_after_ten_minutes_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (reason,) = waited(monkeypatch, live("WaitForDrives", drives=counted(8)))
    expected = "WekaCluster m/m is not ready after 600 s: WaitForDrives: 8 of 24 drives are active"
    assert reason == f"{expected} [code=Timeout]"
    failure = failure_of("urn:pulumi:e::m::kubernetes:weka.weka.io/v1alpha1:WekaCluster::neuralmesh:cluster", reason)
    assert (failure.code, failure.message, failure.subject) == ("WekaDrives", expected, "neuralmesh")
    assert "wekapolicies" in failure.hint
    (reason,) = waited(monkeypatch, live("Init"))
    failure = failure_of("urn:pulumi:e::m::kubernetes:weka.weka.io/v1alpha1:WekaCluster::neuralmesh:cluster", reason)
    assert (failure.code, "within ten minutes" in failure.hint) == ("WekaNotReady", True)
    (reason,) = waited(monkeypatch, live("GracePeriod"))
    failure = failure_of("urn:pulumi:e::m::kubernetes:weka.weka.io/v1alpha1:WekaCluster::neuralmesh:cluster", reason)
    assert (failure.code, "cancelDeletion" in failure.hint) == ("WekaLeaving", True)


def test_an_update_takes_its_template_for_no_pods() -> None:
    cluster = {**live("Ready"), "spec": {"template": "dynamic"}}
    assert apply.with_live_flavor(cluster, cluster) is cluster
