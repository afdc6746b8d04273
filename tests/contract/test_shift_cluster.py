"""A shift against a real API server with its controllers: budgets are asked, and labels go back to who owned them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl import render
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.engine.state_store import StateStore
from meshctl.errors import ShiftError
from meshctl.model.deployment import Deployment, Taint
from meshctl.model.keys import elastic
from meshctl.shift.cluster_gateway import ClusterGateway
from meshctl.shift.gateway import Budget, Gang
from meshctl.shift.planning.plan import Request
from meshctl.shift.shifts import Shifts
from meshwire.kubernetes import requests
from tests.contract.kubernetes_recording.control_plane import ControlPlane
from tests.unit.shift.world import declared
from tests.waiting import wait_until

MESH = "shifted"
NODE = "/api/v1/nodes/gd-0"
PODS = f"/api/v1/namespaces/{MESH}/pods"
GANG = "elastic"  # the mesh of the other test, in a namespace of its own
JOB = f"/apis/batch/v1/namespaces/{GANG}/jobs/pretrain"
SIZES = f"/api/v1/namespaces/{GANG}/configmaps/pretrain-gang"
RANKS = f"/api/v1/namespaces/{GANG}/pods"
BUDGETS = f"/apis/policy/v1/namespaces/{MESH}/poddisruptionbudgets"
ENGINE = "the-engine"  # stands for the manager under which `up` sets labels
OWN_TAINT = {"key": "train", "value": "yes", "effect": "NoSchedule"}


def deployment() -> Deployment:
    made = declared()
    taints = {
        "train": (Taint.model_validate(OWN_TAINT),),
        "serve": (Taint(key="serve", value="", effect="NoSchedule"),),
    }
    pools = tuple(pool.model_copy(update={"taints": taints[pool.name]}) for pool in made.pools)
    workloads = tuple(workload.model_copy(update={"pool": "train"}) for workload in made.workloads)
    return made.model_copy(update={"mesh": MESH, "pools": pools, "workloads": workloads})


def applied(plane: ControlPlane, labels: dict[str, str]) -> None:
    """As `up` does, which owns just these labels then."""
    body = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gd-0", "labels": labels}}
    plane.call("PATCH", f"{NODE}?fieldManager={ENGINE}&force=true", body, requests.APPLY)


def pod() -> dict[str, Any]:
    labels = {"app.kubernetes.io/name": "chat", "app.kubernetes.io/managed-by": "meshctl"}
    spec = {"nodeName": "gd-0", "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 1}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chat-1", "labels": labels}, "spec": spec}


def budget() -> dict[str, Any]:
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": "chat"}}}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "chat"}, "spec": spec}


def changed_by_a_shift(plane: ControlPlane) -> tuple[Any, ...]:
    node = plane.call("GET", NODE)
    pools = [
        (entry["manager"], entry["operation"])
        for entry in node["metadata"]["managedFields"]
        if "f:meshctl.dev/pool" in entry["fieldsV1"].get("f:metadata", {}).get("f:labels", {})
    ]
    return node["metadata"]["labels"], node["spec"].get("taints"), node["spec"].get("unschedulable"), pools


def test_budgets_are_asked_and_labels_go_back_to_who_owned_them(plane: ControlPlane, tmp_path: Path) -> None:
    (tmp_path / "kubeconfig").write_text(json.dumps(plane.config()))
    access = ClusterAccess("dc1", str(tmp_path / "kubeconfig"), "")
    made = deployment()
    shifts = Shifts(made, ClusterGateway(access, made, lambda: ""), StateStore(MemoryStore()))
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": MESH}})
    applied(plane, made.node_labels("train"))
    plane.call("PATCH", NODE, {"spec": {"taints": [OWN_TAINT]}}, requests.MERGE_PATCH)
    try:
        accounts = f"/api/v1/namespaces/{MESH}/serviceaccounts"  # no pod without that of its namespace
        wait_until(lambda: plane.call("GET", accounts)["items"])
        plane.call("POST", PODS, pod())
        plane.call("POST", BUDGETS, budget())
        wait_until(lambda: plane.call("GET", f"{BUDGETS}/chat").get("status", {}).get("expectedPods"))
        wait_until(lambda: plane.call("GET", f"{PODS}/chat-1")["status"]["phase"] == "Running")
        assert shifts.gateway.budgets() == [Budget({"app.kubernetes.io/name": "chat"}, pods=1, needed=1)]
        before = changed_by_a_shift(plane)
        assert before[3] == [(ENGINE, "Apply")]
        with pytest.raises(ShiftError, match="chat-1 on gd-0: "):
            shifts.plan(Request("train", "serve", 1))
        assert changed_by_a_shift(plane) == before
        plane.call("DELETE", f"{BUDGETS}/chat")
        plan = shifts.plan(Request("train", "serve", 1))
        assert plane.call("GET", f"{PODS}/chat-1")["metadata"].get("deletionTimestamp") is None
        assert shifts.start(plan).state == "in-force"
        # a taint of the node controller goes a moment after the node is uncordoned
        wait_until(lambda: [taint["key"] for taint in changed_by_a_shift(plane)[1]] == ["serve"])
        labels, _, unschedulable, owners = changed_by_a_shift(plane)
        assert (labels["meshctl.dev/pool"], unschedulable) == ("serve", None)
        assert owners == [("meshctl-shift", "Update")]
        assert plane.call("GET", PODS)["items"] == []
        assert shifts.undo().state == "undone"
        wait_until(lambda: changed_by_a_shift(plane) == before)
        applied(plane, {})  # as `destroy` does: it gives up what it owns
        assert made.node_labels("train").keys().isdisjoint(plane.call("GET", NODE)["metadata"]["labels"])
    finally:
        applied(plane, {})
        nothing = {"metadata": {"labels": {"meshctl.dev/pool": None}}, "spec": {"taints": None, "unschedulable": None}}
        plane.call("PATCH", NODE, nothing, requests.MERGE_PATCH)
        plane.call("DELETE", f"/api/v1/namespaces/{MESH}")


def elastic_gang(plane: ControlPlane) -> tuple[Deployment, dict[str, Any]]:
    """A gang of three ranks whose Job and ConfigMap are in the cluster as an `up` applies them; and the Job."""
    made = declared(gang=3, least=1).model_copy(update={"mesh": GANG})
    items = {item.name: item.manifest for item in render.platform_objects(made)}
    job, sizes = items["workload/pretrain:job"], items["workload/pretrain:gang"]
    template = job["spec"]["template"]["spec"]
    for key in ("serviceAccountName", "priorityClassName"):
        template.pop(key)
    plane.call("PATCH", f"{JOB}?fieldManager={ENGINE}", job, requests.APPLY)
    plane.call("PATCH", f"{SIZES}?fieldManager={ENGINE}", sizes, requests.APPLY)
    return made, job


def ranks(plane: ControlPlane) -> list[str]:
    return sorted(each["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for each in live_pods(plane))


def live_pods(plane: ControlPlane) -> list[dict[str, Any]]:
    return [each for each in plane.call("GET", RANKS)["items"] if not each["metadata"].get("deletionTimestamp")]


def test_the_job_of_a_gang_takes_another_size_and_the_one_of_the_mesh_again(
    plane: ControlPlane, tmp_path: Path
) -> None:
    (tmp_path / "kubeconfig").write_text(json.dumps(plane.config()))
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": GANG}})
    try:
        made, job = elastic_gang(plane)
        gateway = ClusterGateway(ClusterAccess("dc1", str(tmp_path / "kubeconfig"), ""), made, lambda: "")
        assert gateway.gang("nobody") is None
        wait_until(lambda: ranks(plane) == ["0", "1", "2"])
        for nodes in (2, 3):
            assert gateway.suspend("pretrain", suspended=True)
            wait_until(lambda: not live_pods(plane))
            assert gateway.gang("pretrain") == Gang({2: 3, 3: 2}[nodes], is_suspended=True, has_ended=False)
            gateway.resize("pretrain", nodes)
            assert gateway.gang("pretrain") == Gang(nodes, is_suspended=False, has_ended=False)
            assert plane.call("GET", SIZES)["data"] == elastic.data("pretrain", nodes)
            wait_until(lambda count=nodes: len(ranks(plane)) == count)  # type: ignore[misc]
        assert ranks(plane) == ["0", "1", "2"]
        plane.call("PATCH", f"{JOB}?fieldManager={ENGINE}", job, requests.APPLY)  # no conflict: the values are the same
    finally:
        plane.call("DELETE", f"{JOB}?propagationPolicy=Foreground")
        plane.call("DELETE", f"/api/v1/namespaces/{GANG}")
