"""When an add-on of EKS is ready (finding A11), over the lab's own EKS, called in this process."""

from __future__ import annotations

import copy
import json
import time
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from meshctl.engine.failures import failure_of
from meshctl.lab.aws.eks.nodegroup_state import Nodegroup
from meshctl.lab.aws.eks.state import Addon
from providers.aws.rows import addon_nodes
from providers.aws.rows.eks_addons import ADDON
from providers.aws.rows_engine import live
from providers.plugin.provider import CreatedNotReady, Diff
from tests.unit.providers.provider_clock import Time
from tests.unit.providers.test_one_way import GROUP, Bench, cluster

__all__ = ["cluster"]  # the fixture

DNS = {"clusterName": "c", "addonName": "coredns", "resolveConflicts": "OVERWRITE"}
TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NO_SCHEDULE"}
SOFT = TAINT | {"effect": "PREFER_NO_SCHEDULE"}
ISSUE = "InsufficientNumberOfReplicas: The add-on is unhealthy because it doesn't have the desired number of replicas."
DENIED = ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "ListNodegroups")


class Replicas:
    """What the lab's controllers would write: so many pods of the add-on run, after so many seconds."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name
        self.ready_from_s = float("inf")
        self.clock = Time()

    def write(self) -> None:
        ready = 2 if self.clock.now_s >= self.ready_from_s else 0
        counts = {"addons": {f"c/{self.name}": {"ready": ready, "wanted": 2}}}
        (self.root / "addons.json").write_text(json.dumps(counts))

    def wait(self, seconds: float) -> bool:
        self.clock.wait(seconds)
        self.write()
        return False

    def is_set(self) -> bool:
        return False


def add_on(bench: Bench, root: Path, name: str = "coredns", **group: Any) -> Bench:
    """The add-on, whose pods do not run, and one group with two nodes, or what `group` says of it."""
    eks = bench.client.service
    described: dict[str, Any] = copy.deepcopy(GROUP) | {
        "status": "ACTIVE",
        "nodegroupArn": "a",
        "tags": {},
        "updateConfig": {},
    }
    described |= {"instanceTypes": ["m7i.xlarge"], "labels": {}, "taints": [], "capacityType": "ON_DEMAND"} | group
    eks.clusters["c"].nodegroups["web"] = Nodegroup(described, ["us-east-1a"], {})
    (root / "nodes.json").write_text(json.dumps({"nodegroups": {"c/web": described["scalingConfig"]["desiredSize"]}}))
    addon: dict[str, Any] = {
        "addonName": name,
        "clusterName": "c",
        "addonVersion": "v1",
        "addonArn": "addon",
        "status": "DEGRADED",
    }
    addon |= {"health": {"issues": []}, "tags": {}, "podIdentityAssociations": []}
    eks.clusters["c"].addons[name] = Addon(addon, 0, degraded_from=time.monotonic())
    made = Bench(eks, "meshaws:eks:Addon", f"c|{name}", DNS | {"addonName": name})
    made.client.hidden = ("clusterName", "addonName")
    return made


@pytest.fixture
def replicas(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replicas:
    made = Replicas(tmp_path, "coredns")
    monkeypatch.setattr(live, "time", made.clock)
    made.write()
    return made


def tagged(bench: Bench, replicas: Replicas, *, unfinished: bool = True) -> dict[str, Any]:
    """The add-on after an update that changes its tags, and the wait that follows; `unfinished`: its creation has not
    come to its end. Raises: what the provider raises."""
    before = {"addonArn": "addon"} | ({"meshctlUnfinished": True} if unfinished else {})
    bench.provider.cancelled = replicas  # type: ignore[assignment]
    outputs: dict[str, Any] = bench.provider.update(
        bench.token, urn="urn:it", id=bench.id, old_inputs=bench.inputs, old_outputs=before,
        news=bench.inputs | {"Tags": {"a": "b"}}, timeout_s=0, preview=False, ignore_changes=[],
    )  # fmt: skip
    return outputs


def test_a11_dns_with_nodes_that_take_it_is_waited_for(cluster: Bench, tmp_path: Path, replicas: Replicas) -> None:
    replicas.ready_from_s = 300
    assert tagged(add_on(cluster, tmp_path), replicas)["status"] == "ACTIVE"
    assert replicas.clock.now_s >= 300


def test_a11_dns_that_does_not_come_fails_with_what_eks_says(
    cluster: Bench, tmp_path: Path, replicas: Replicas
) -> None:
    with pytest.raises(CreatedNotReady) as caught:
        tagged(add_on(cluster, tmp_path), replicas)
    [reason] = caught.value.reasons
    assert ISSUE in reason
    assert "c|coredns is still DEGRADED after 12" in reason
    failure = failure_of("urn:pulumi:e::m::meshaws:eks:Addon::cluster:addon-coredns", reason, "aws")
    assert failure.code == "InsufficientNumberOfReplicas"
    assert "kubectl" in failure.hint


@pytest.mark.parametrize(
    "group",
    [
        {"taints": [TAINT]},
        {"scalingConfig": {"minSize": 0, "maxSize": 8, "desiredSize": 0}},
        {"status": "CREATING", "scalingConfig": {"minSize": 2, "maxSize": 8, "desiredSize": 3}},
    ],
    ids=["tainted", "empty", "not yet"],
)
def test_a11_dns_that_has_no_node_to_run_on_is_waited_for_by_nobody(
    cluster: Bench, tmp_path: Path, replicas: Replicas, group: dict[str, Any]
) -> None:
    bench = add_on(cluster, tmp_path, **group)
    if "status" in group:
        (tmp_path / "nodes.json").write_text('{"nodegroups": {}}')
    assert tagged(bench, replicas)["status"] == "DEGRADED"
    assert replicas.clock.now_s < 30


def test_a11_a_taint_that_keeps_no_pod_away_is_none(cluster: Bench, tmp_path: Path, replicas: Replicas) -> None:
    with pytest.raises(CreatedNotReady) as caught:
        tagged(add_on(cluster, tmp_path, taints=[SOFT]), replicas)
    assert "InsufficientNumberOfReplicas" in caught.value.reasons[0]


@pytest.mark.parametrize("name", ["vpc-cni", "aws-ebs-csi-driver", "aws-efs-csi-driver"])
def test_a11_an_add_on_that_not_all_need_is_waited_for_by_nobody(
    cluster: Bench, tmp_path: Path, replicas: Replicas, name: str
) -> None:
    """One broken node of many makes it `DEGRADED`, or a second replica that has no second node."""
    replicas.name = name
    replicas.write()
    assert tagged(add_on(cluster, tmp_path, name), replicas)["status"] == "DEGRADED"
    assert replicas.clock.now_s < 30


def test_a11_dns_that_lacked_the_same_before_an_update_does_not_hold_it_up(
    cluster: Bench, tmp_path: Path, replicas: Replicas
) -> None:
    assert tagged(add_on(cluster, tmp_path), replicas, unfinished=False)["status"] == "DEGRADED"
    assert replicas.clock.now_s < 30


@pytest.mark.parametrize(
    ("status", "codes"), [("ACTIVE", []), ("DEGRADED", ["AccessDenied"])], ids=["nothing", "something else"]
)
def test_a11_dns_that_lacked_no_replicas_before_an_update_is_waited_for(
    cluster: Bench, tmp_path: Path, status: str, codes: list[str]
) -> None:
    before = {"status": status, "health": {"issues": [{"code": code} for code in codes]}}
    now = {"status": "DEGRADED", "health": {"issues": [{"code": "InsufficientNumberOfReplicas"}]}}
    client = add_on(cluster, tmp_path).client
    assert addon_nodes.is_worth_a_wait(client, {"parts": ["c", "coredns"], "before": before, "outputs": now})


def test_a11_who_may_not_look_at_node_groups_goes_on(
    cluster: Bench, tmp_path: Path, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = add_on(cluster, tmp_path)

    def denied(*_: Any) -> Any:
        raise DENIED

    monkeypatch.setattr(bench.client.service, "list_nodegroups", denied, raising=False)
    assert tagged(bench, replicas)["status"] == "DEGRADED"


def test_a11_what_failed_so_is_mended_without_another_wait(
    cluster: Bench, tmp_path: Path, replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next `up` brings the settings by which DNS comes: it does not wait for DNS before it sends them."""
    sent_s: list[float] = []
    bench = add_on(cluster, tmp_path)
    update = bench.client.service.update_addon

    def update_addon(*given: Any) -> Any:
        sent_s.append(replicas.clock.now_s)
        return update(*given)

    monkeypatch.setattr(bench.client.service, "update_addon", update_addon)
    bench.provider.cancelled = replicas  # type: ignore[assignment]
    with pytest.raises(CreatedNotReady):
        bench.provider.update(
            bench.token, urn="urn:it", id=bench.id, old_inputs=bench.inputs, news=bench.inputs, timeout_s=0,
            old_outputs={"addonArn": "addon", "meshctlUnfinished": True}, preview=False, ignore_changes=[],
        )  # fmt: skip
    replicas.ready_from_s = replicas.clock.now_s + 60
    started_s = replicas.clock.now_s
    mended = bench.provider.update(
        bench.token, urn="urn:it", id=bench.id, old_inputs=bench.inputs, timeout_s=0,
        news=bench.inputs | {"configurationValues": '{"replicaCount": 1}'}, preview=False, ignore_changes=[],
        old_outputs={"addonArn": "addon", "meshctlUnfinished": True},
    )  # fmt: skip
    assert bench.client.sent[0]["configurationValues"] == '{"replicaCount": 1}'
    assert (mended["status"], sent_s) == ("ACTIVE", [started_s])


def test_an_add_on_that_is_up_changes_nothing(cluster: Bench, tmp_path: Path, replicas: Replicas) -> None:
    """It has no input of ours for this: the node groups are looked at while it waits."""
    bench = add_on(cluster, tmp_path)
    assert bench.diff(bench.inputs, bench.inputs) == Diff(changes=False)
    assert ADDON.extra_inputs == ("kubernetesVersion",)
