"""What `meshctl status` prints."""

from collections import Counter
from dataclasses import replace
from typing import Any, cast

import pytest

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.session import Session
from meshctl.errors import NewerVersionError, UnreachableError
from meshctl.model.deployment import Deployment, Elsewhere
from meshctl.model.dns_splits import Side, Split
from meshctl.model.environment import Environments
from meshctl.model.keys import gateway_shares
from meshctl.model.keys.gateway_shares import RequestCount
from meshctl.model.observed import JobState, PodState, ShiftsInForce
from meshctl.model.releases import LiveAddon, LivePlatform, LivePool
from meshctl.model.stack_state import StackState, as_outputs
from meshctl.operate import pool_status
from meshctl.operate import shares as share_counts
from meshctl.operate.endpoint_status import EndpointStatus, with_counts
from meshctl.operate.pool_status import PoolStatus
from meshctl.operate.shares import ShareStatus
from meshctl.operate.status import (
    EnvironmentStatus,
    WorkloadStatus,
    collect,
    collect_all,
    status_text,
    workload_status,
)
from meshwire.marks import UNKNOWN_STRING
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.migrate.test_expansion_by_gateway import with_gateway
from tests.unit.resolve.lending_meshes import serving_on_lent_nodes
from tests.unit.states import state


def test_a_degraded_environment_says_what_is_missing_and_why() -> None:
    status = EnvironmentStatus(
        "cw",
        "degraded",
        (PoolStatus("train", "gd-8xh100ib-i128", 3, 4),),
        (WorkloadStatus("chat", "inference", 1, 2, 0, 3, "chat-0: ImagePullBackOff"),),
        (EndpointStatus("chat", "chat.example.com", "10.9.9.9", "aws-east", "10.0.0.1"),),
    )
    assert status_text(status) == (
        "cw: degraded\n"
        "  pool      train  3/4 nodes ready  gd-8xh100ib-i128\n"
        "  workload  chat   1/2 ready, 3 restarts  (chat-0: ImagePullBackOff)\n"
        "  endpoint  chat   chat.example.com -> aws-east  10.0.0.1  (10.9.9.9 here)\n"
    )


IMAGE, NEWER = "1.35.0-20261101", "1.35.0-20261120"


def scaling() -> Deployment:
    """With a pool that may grow."""
    up = deployment()
    web = up.pool("train").model_copy(update={"name": "web", "nodes": 2, "nodes_min": 2, "nodes_max": 6})
    return up.model_copy(update={"pools": (up.pool("train"), web)})


def test_c2_a13_status_shows_releases_newer_ones_and_live_counts() -> None:
    live = LivePlatform(
        pools=(LivePool("train", 4, IMAGE, IMAGE), LivePool("web", 3, IMAGE, NEWER)),
        addons=(LiveAddon("coredns", "v1.12.4-eksbuild.1", "v1.12.9-eksbuild.1"), LiveAddon("vpc-cni", "v1", "")),
    )
    shown = pool_status.pools(scaling(), {"train": 4, "web": 3}, live, ShiftsInForce())
    status = EnvironmentStatus("e", "up", shown, addons=pool_status.addons(live), notes=("AWS was not asked about it",))
    assert status_text(status) == (
        "e: up\n"
        f"  pool      train    4/4 nodes ready  p5.48xlarge  (image {IMAGE})\n"
        f"  pool      web      3/3 nodes ready  p5.48xlarge  (3 nodes now, 2..6; image {IMAGE}, {NEWER} is newer)\n"
        "  add-on    coredns  v1.12.4-eksbuild.1, v1.12.9-eksbuild.1 is newer\n"
        "  add-on    vpc-cni  v1\n"
        "  note: AWS was not asked about it\n"
    )


def test_a13_nodes_beyond_the_least_are_seen_in_any_cluster() -> None:
    [_, pool] = pool_status.pools(scaling(), {"web": 5}, LivePlatform(), ShiftsInForce())
    assert (pool.ready, pool.nodes, pool.wanted) == (5, 5, 2)


def test_an_api_that_does_not_answer_is_unknown_not_absent() -> None:
    status = EnvironmentStatus("cw", "unknown", error="cw: the Kubernetes API server does not answer: timed out")
    assert status_text(status).splitlines()[0] == "cw: unknown"


def pretrain_pod(number: int, phase: str, *, ready: bool = False, reason: str = "") -> PodState:
    return PodState(f"pretrain-{number}", "pretrain", phase, ready, "node", 0, reason)


def test_a_pod_that_waits_for_a_lent_node_is_no_fault_and_hides_none() -> None:
    waiting = PodState("chat-lent-1", "chat", "Pending", False, "", 0, "waits for a node", is_lent=True)
    ready, broken = (
        PodState(f"chat-{n}", "chat", "Running", n == 1, "node", 0, "" if n == 1 else "bad") for n in (1, 2)
    )
    up = serving_on_lent_nodes()
    status = workload_status(up, "chat", [waiting, ready])
    assert (status.is_short, status.ready, status.wanted, status.reason) == (False, 1, 1, "")
    assert workload_status(up, "chat", [waiting, ready, broken]).reason == "chat-2: bad"
    on_lent_node = replace(waiting, ready=True, phase="Running", node="node", reason="")
    grown = workload_status(up, "chat", [ready, on_lent_node])
    assert (grown.is_short, grown.ready, grown.wanted, grown.lent) == (False, 2, 2, 1)
    assert "2/2 ready (1 to 4), 1 on lent nodes" in status_text(EnvironmentStatus("e", "up", workloads=(grown,)))
    crashing = replace(on_lent_node, ready=False, reason="CrashLoopBackOff")
    shown = workload_status(up, "chat", [ready, crashing])
    assert (shown.is_short, shown.reason) == (False, "chat-lent-1: CrashLoopBackOff")
    hidden = workload_status(up, "chat", [broken, on_lent_node])
    assert (hidden.is_short, hidden.ready, hidden.wanted, hidden.reason) == (True, 1, 2, "chat-2: bad")


def test_what_a_job_has_done_is_not_missing() -> None:
    pods = [pretrain_pod(0, "Succeeded"), *(pretrain_pod(number, "Running", ready=True) for number in (1, 2, 3))]
    found = workload_status(deployment(), "pretrain", pods)
    assert (found.ready, found.done, found.wanted) == (3, 1, 4)
    text = status_text(EnvironmentStatus("cw", "up", workloads=(found,)))
    assert text == "cw: up\n  workload  pretrain  3/4 ready, 1 done\n"


def test_a_failed_pod_counts_as_long_as_nothing_took_its_place() -> None:
    failed = pretrain_pod(0, "Failed", reason="main ended with exit code 1")
    running = [pretrain_pod(number, "Running", ready=True) for number in (1, 2, 3)]
    said = "pretrain-0: main ended with exit code 1"
    assert workload_status(deployment(), "pretrain", [failed, *running]).reason == said
    again = pretrain_pod(9, "Running", ready=True)
    assert workload_status(deployment(), "pretrain", [failed, *running, again]).reason == ""


def test_a_failed_job_says_why_and_how_it_runs_again() -> None:
    failed = pretrain_pod(0, "Failed", reason="main ended with exit code 1")
    job = JobState("pretrain", "failed", "BackoffLimitExceeded: no more", "pretrain-0: no data")
    found = workload_status(deployment(), "pretrain", [failed], job)
    assert found.job == "failed"
    assert found.reason == (
        "the job failed: BackoffLimitExceeded: no more; pretrain-0: no data; fix the cause "
        "(`meshctl up aws-east` first if mesh.yaml or environments.yaml changed), then `meshctl restart pretrain --env"
        " aws-east`"
    )


def test_a_complete_job_is_done_also_when_its_pods_are_gone_with_their_nodes() -> None:
    found = workload_status(deployment(), "pretrain", [], JobState("pretrain", "complete"))
    assert (found.done, found.wanted, found.job) == (4, 4, "complete")


def test_a_job_that_ended_elsewhere_is_told_so_and_not_missed() -> None:
    found = workload_status(deployment().finished({"pretrain": "cw"}), "pretrain", [], JobState("pretrain"))
    assert (found.wanted, found.job) == (0, "finished in cw")
    text = status_text(EnvironmentStatus("aws-east", "up", workloads=(found,)))
    assert text == "aws-east: up\n  workload  pretrain  0/0 ready, finished in cw\n"


def test_a_name_that_points_here_is_told_once() -> None:
    here = EndpointStatus("chat", "chat.example.com", "10.0.0.1", "cw", "10.0.0.1")
    line = status_text(EnvironmentStatus("cw", "up", endpoints=(here,))).splitlines()[1]
    assert line == "  endpoint  chat  chat.example.com -> cw  10.0.0.1"
    unset = EndpointStatus("chat", "chat.example.com", "10.0.0.1", "")
    line = status_text(EnvironmentStatus("cw", "up", endpoints=(unset,))).splitlines()[1]
    assert line == "  endpoint  chat  chat.example.com (no DNS record)  10.0.0.1 here"


class Saved:
    """A session with this state, and no cluster to ask."""

    environments = Environments.model_construct(api_version="meshctl/v1", kind="Environments", environments={})

    def __init__(self, *names: str, **outputs: Any) -> None:
        stack = {"urn": "urn:pulumi:aws-east::m::pulumi:pulumi:Stack::m", "type": "pulumi:pulumi:Stack"}
        self.resources: list[dict[str, Any]] = [{**stack, "outputs": outputs}]
        for name in names:
            type_ = "meshaws:s3:Bucket" if name.endswith(":bucket") else "meshaws:eks:Cluster"
            urn = f"urn:pulumi:aws-east::m::{type_}::{name}"
            self.resources.append({"urn": urn, "type": type_, "custom": True})

    def state(self, _environment: str) -> StackState:
        return state(*self.resources)

    def shifts_in_force(self, _environment: str) -> ShiftsInForce:
        return ShiftsInForce()

    def status(self) -> EnvironmentStatus:
        return collect(cast("Session", self), "aws-east")


def test_what_a_failed_up_left_is_not_absent() -> None:
    assert Saved().status() == EnvironmentStatus("aws-east", "absent")
    made = deployment("aws-east").model_dump(mode="json")
    for outputs in ({}, {"deployment": made}, {"deployment": made, "kubeconfig": UNKNOWN_STRING}):
        found = Saved("storage/weights:bucket", "cluster:eks", **outputs).status()
        assert found.state == "degraded"
        assert found.error.startswith("the last `up` or `destroy` did not finish: 2 resources exist;")


class Newer(Saved):
    """A session with a state that a newer meshctl wrote."""

    def __init__(self) -> None:
        super().__init__(meshctl={"schema": 99, "made_by": "9.1.0"})


def test_one_state_that_can_not_be_read_hides_no_other() -> None:
    found = [collect_all(cast("Session", session), ["aws-east"])[0] for session in (Newer(), Saved())]
    assert [status.state for status in found] == ["unknown", "absent"]
    assert "was made by meshctl 9.1.0" in found[0].error
    assert "install meshctl 9.1.0 or a newer version" in found[0].error


def test_a_state_that_can_not_be_read_is_an_error_where_it_was_asked_for() -> None:
    with pytest.raises(NewerVersionError):
        collect(cast("Session", Newer()), "aws-east")


def test_storage_alone_is_told_as_such() -> None:
    found = Saved("storage/weights:bucket", deployment=deployment("aws-east").model_dump(mode="json")).status()
    assert (found.state, found.error) == ("storage", "nothing is up but the object storage: weights")


def test_a_job_that_waits_says_for_what_and_is_not_missing() -> None:
    waits_for = "waits for prepdata, which has not ended yet"
    found = workload_status(deployment(), "pretrain", [], JobState("pretrain", suspended=True), waits_for)
    assert (found.job, found.ready, found.wanted, found.reason) == ("waiting", 0, 4, waits_for)
    text = status_text(EnvironmentStatus("cw", "up", workloads=(found,)))
    assert text == f"cw: up\n  workload  pretrain  0/4 ready  ({waits_for})\n"


def scaled_chat(*pods: PodState, in_cluster: int = 0, **changes: Any) -> WorkloadStatus:
    """Two to six replicas that follow load. `in_cluster`: how many of them its Deployment is to have."""
    plain, ranged = deployment(), {"most_replicas": 6, **changes}
    workloads = tuple(w.model_copy(update=ranged) if w.name == "chat" else w for w in plain.workloads)
    return workload_status(plain.model_copy(update={"workloads": workloads}), "chat", list(pods), replicas=in_cluster)


def chat_pod(number: int, *, ready: bool = True, reason: str = "", stopping: bool = False) -> PodState:
    return PodState(f"chat-{number}", "chat", "Running", ready, "node", 0, reason, stopping=stopping)


def test_replicas_that_follow_load_are_as_many_as_there_are_now() -> None:
    found = scaled_chat(*map(chat_pod, range(4)), chat_pod(4, stopping=True))
    assert (found.wanted, found.least, found.most, found.is_short) == (4, 2, 6, False)
    text = status_text(EnvironmentStatus("cw", "up", workloads=(scaled_chat(*map(chat_pod, range(4))),)))
    assert text == "cw: up\n  workload  chat  4/4 ready (2 to 6)\n"


def test_what_sleeps_misses_no_pod_and_what_wakes_does() -> None:
    asleep = scaled_chat(replicas=1, sleeps=True)
    assert (asleep.wanted, asleep.least, asleep.most, asleep.is_short) == (0, 0, 6, False)
    text = status_text(EnvironmentStatus("cw", "up", workloads=(asleep,)))
    assert text == "cw: up\n  workload  chat  0/0 ready (0 to 6)\n"
    assert scaled_chat(chat_pod(0, ready=False), replicas=1, sleeps=True).is_short


def test_what_is_woken_and_gets_no_pod_is_short() -> None:
    """A quota or a webhook of the cluster may refuse the pods: there are none that could say so."""
    woken = scaled_chat(in_cluster=1, replicas=1, sleeps=True)
    assert (woken.ready, woken.wanted, woken.most, woken.is_short) == (0, 1, 6, True)
    text = status_text(EnvironmentStatus("cw", "degraded", workloads=(woken,)))
    assert text == "cw: degraded\n  workload  chat  0/1 ready (0 to 6)\n"
    assert not scaled_chat(chat_pod(0), in_cluster=3, replicas=1, sleeps=True).is_short


def test_the_cluster_is_asked_how_many_replicas_there_are_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"app.kubernetes.io/name": "chat"}
    server: dict[str, Any] = {"metadata": {"name": "chat", "labels": labels}, "spec": {"replicas": 3}}
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({"deployments": [server]})))
    assert clusters.replica_counts(ClusterAccess("dc1"), "m") == {"chat": 3}


def test_one_more_that_is_not_ready_yet_is_shown_and_no_trouble_and_too_few_are() -> None:
    coming = scaled_chat(chat_pod(0), chat_pod(1), chat_pod(2, ready=False, reason="no node has room"))
    assert (coming.ready, coming.wanted, coming.reason) == (2, 3, "chat-2: no node has room")
    assert not coming.is_short
    lacking = scaled_chat(chat_pod(0))
    assert (lacking.ready, lacking.wanted, lacking.is_short) == (1, 2, True)


def test_a_shared_host_is_shown_with_its_weights_and_what_its_name_servers_answer() -> None:
    shared = EndpointStatus(
        "chat",
        "chat.example.com",
        "10.0.0.1",
        "east+west",
        "_split.chat.example.com",
        (ShareStatus("east", 153, True, 121, 200), ShareStatus("west", 102, False)),
    )
    text = status_text(EnvironmentStatus("east", "up", (), (), (shared,)))
    assert "-> east 60.0%, 121 of 200 resolutions; west 40.0%  (10.0.0.1 here)" in text


def test_resolutions_are_counted_by_where_they_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address has a name of its own, a load balancer its name."""
    answers = Counter({"_east.chat.example.com": 120, "lb.example.net": 80})
    monkeypatch.setattr(share_counts, "cnames", lambda _name, _resolutions: answers)
    split = Split("demo 1", (Side("east", "10.0.0.1", 153), Side("west", "lb.example.net.", 102)))
    assert [(share.measured, share.resolutions) for share in share_counts.shares("chat.example.com", split)] == [
        (120, 200),
        (80, 200),
    ]


def test_a_name_server_that_does_not_answer_hides_no_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(_name: str, _resolutions: int) -> Counter[str]:
        raise UnreachableError("DNS does not answer")

    monkeypatch.setattr(share_counts, "cnames", unreachable)
    split = Split("demo 1", (Side("east", "10.0.0.1", 153),))
    assert share_counts.shares("chat.example.com", split) == (ShareStatus("east", 153, has_check=False),)


def test_a_gateway_that_leads_elsewhere_is_shown_with_its_share_of_requests() -> None:
    elsewhere = Elsewhere(environment="west", weight=102, addresses=("192.0.2.2",), port=443)
    requests = share_counts.request_shares("east", elsewhere)
    by_dns = (ShareStatus("east", 255, True, 200, 200), ShareStatus("west", 0, True, 0, 200))
    endpoint = EndpointStatus("chat", "chat.example.com", "10.0.0.1", "east+west", "", by_dns, requests)
    text = status_text(EnvironmentStatus("east", "up", (), (), (endpoint,)))
    assert "west 0.0%, 0 of 200 resolutions; of its requests here: east 60.0%; west 40.0%  (10.0.0.1 here)" in text
    assert share_counts.request_shares("east", None) == ()
    (counted,) = with_counts([endpoint], {"chat": RequestCount(own=2401, passed_on=1599)})
    assert EnvironmentStatus("east", "up", endpoints=(counted,)).document()["endpoints"][0]["requests"] == (
        {"environment": "east", "weight": 153, "measured": 2401, "requests": 4000},
        {"environment": "west", "weight": 102, "measured": 1599, "requests": 4000},
    )
    text = status_text(EnvironmentStatus("east", "up", (), (), (counted,)))
    assert "of its requests here: east 60.0%, 2401 of the last 4000; west 40.0%, 1599 of the last 4000  (" in text
    assert with_counts([endpoint], {}) == (endpoint,)


class Led(Saved):
    """A session with an environment whose gateway leads 40% of its requests to west."""

    def __init__(self) -> None:
        elsewhere = Elsewhere(environment="west", weight=102, addresses=("192.0.2.2",), port=443, is_counted=True)
        led = gateway_shares.with_shares(with_gateway("east"), {"chat": elsewhere})
        super().__init__("platform:namespace", **as_outputs(led))
        self.dns_records = self

    def current(self) -> dict[str, Any]:
        return {}


def test_the_status_of_a_shared_gateway_has_what_its_pods_have_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pods = [gateway_pod(name) for name in ("one", "two")]
    log = "meshctl-share 102 here\n" * 3 + "meshctl-share 102 elsewhere\n" * 2
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({"pods": pods}, logs={"one": log})))
    found = Led().status()
    (endpoint,) = found.endpoints
    assert [(share.measured, share.requests) for share in endpoint.requests] == [(3, 5), (2, 5)]
    assert [note for note in found.notes if note.startswith("the requests of two are not in the measured split")]


def gateway_pod(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "chat-gateway"}},
        "spec": {"nodeName": "n"},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    }
