"""Why the pods of a gang wait, in what `status`, `up` and migrations say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, cast

from meshctl.clients.kubernetes.clusters import pod_state
from meshctl.deploy.jobs import held_gangs
from meshctl.engine.failures import failure_of
from meshctl.model.keys import gangs, lending
from meshctl.model.observed import PodState
from meshctl.operate.status import workload_status
from meshwire.kubernetes.objects import Pod
from tests.unit.engine.test_running_gangs import with_hold

GATED = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "SchedulingGated",
    "message": "Scheduling is blocked due to non-empty scheduling gates",
}
ROOM = "waits for room for 1 more of its pods: pool train has room for 3 of 4 now"


def pod(rank: int, *gates: str, waits: str = "", labels: Mapping[str, str] = MappingProxyType({})) -> PodState:
    annotations = {gangs.WAITS: waits} if waits else {}
    fields: dict[str, Any] = {
        "metadata": {
            "name": f"pretrain-{rank}",
            "namespace": "m",
            "labels": {"app.kubernetes.io/name": "pretrain", **labels},
            "annotations": annotations,
        },
        "spec": {"schedulingGates": [{"name": name} for name in gates]},
        "status": {"phase": "Pending", "conditions": [GATED]},
    }
    return pod_state(cast("Pod", fields))


def program(*, ready: bool, reason: str = "") -> PodState:
    return PodState(f"{gangs.PROGRAM}-x", gangs.PROGRAM, "Running", ready, "node", 0, reason)


def gang(waits: str = ROOM) -> list[PodState]:
    return [pod(rank, gangs.GATE, waits=waits) for rank in range(4)]


def test_a_held_pod_says_what_its_gang_waits_for() -> None:
    assert pod(0, gangs.GATE, waits=ROOM).reason == f"its gang {ROOM}"
    assert pod(0, gangs.GATE).reason == (
        "held until all pods of its gang can start: `kubectl logs -n m deploy/meshctl-gang-hold` shows what is done"
    )
    assert pod(0, gangs.GATE).is_held
    other = pod(0, "acme.example/gate")
    assert not other.is_held
    assert other.reason.endswith("before somebody removes its scheduling gates acme.example/gate")


def test_a_pod_that_kueue_has_not_admitted_says_what_it_waits_for() -> None:
    in_queue = pod(0, lending.GATE)
    assert (in_queue.reason, in_queue.is_lent) == ("waits for room in its queue of Kueue", False)
    lent = pod(0, lending.GATE, labels={lending.LENT_LABEL: "true"})
    assert (lent.reason, lent.is_lent) == ("waits for a node that another pool lends", True)


def test_a_gang_that_is_held_as_a_whole_waits() -> None:
    deployment = with_hold(True)
    pods = [*gang(), program(ready=True)]
    waiting = held_gangs.waiting_gangs(deployment, pods)
    assert waiting == {"pretrain": f"its gang {ROOM}"}
    status = workload_status(deployment, "pretrain", pods, None, waiting["pretrain"])
    assert (status.job, status.is_short, status.reason) == ("waiting", False, f"its gang {ROOM}")
    started = [PodState("pretrain-9", "pretrain", "Running", True, "n", 0)]
    assert held_gangs.waiting_gangs(deployment, [*pods, *started]) == {}, "a gang with a part of its pods is broken"
    assert held_gangs.waiting_gangs(with_hold(False), pods) == {}
    assert held_gangs.waiting_gangs(deployment, [*gang(waits=""), program(ready=True)]) == {}, "it is about to start"


def test_where_the_program_does_not_run_that_is_said() -> None:
    deployment = with_hold(True)
    pods = [*gang(), program(ready=False, reason="ImagePullBackOff")]
    assert held_gangs.waiting_gangs(deployment, pods) == {}
    reason = held_gangs.explained(deployment, pods)[0].reason
    assert "which releases gangs, does not run (meshctl-gang-hold-x: ImagePullBackOff)" in reason
    assert "`meshctl up coreweave-1` brings it back" in reason
    assert "(it has no pod)" in held_gangs.explained(deployment, gang())[0].reason
    assert held_gangs.explained(with_hold(True, paused=True), gang())[0].reason == f"its gang {ROOM}"


def test_up_has_a_hint_for_a_pod_that_is_held() -> None:
    message = f"pod pretrain-0: {GATED['message']} [code=SchedulingGated]; 0 of 1 [Timeout]"
    failure = failure_of("urn:pulumi:e::m::kubernetes:apps/v1:StatefulSet::workload/pretrain:x", message)
    assert failure.code == "SchedulingGated"
    assert "`meshctl status` says what it waits for" in failure.hint


def test_groups_of_what_serves_that_are_held_are_short_of_pods_and_no_job_that_waits() -> None:
    deployment = with_hold(True, kind="inference", replicas=2, nodes_per_replica=2)
    pods = [replace(each, group=number // 2, rank=number % 2) for number, each in enumerate(gang())]
    assert held_gangs.waiting_gangs(deployment, [*pods, program(ready=True)]) == {}
    status = workload_status(deployment, "pretrain", pods)
    assert (status.is_short, status.job) == (True, "")
    assert ROOM in status.reason
