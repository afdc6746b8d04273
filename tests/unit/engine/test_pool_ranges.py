"""What an `up` does about the nodes of a pool that the platform's autoscaler moves: nothing, within the range."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from meshctl import render
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.fields import live_objects, ownership
from meshctl.deploy.fields.ownership import Ownership
from meshctl.errors import OwnedFieldsError
from meshctl.model.deployment import Cluster, Deployment
from tests.unit.deployments import deployment
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.states import state

SERVE, TOKEN = "pool/serve:nodepool", "kubernetes:compute.coreweave.com/v1alpha1:NodePool"
STACK: dict[str, Any] = {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:cw::m::pulumi:pulumi:Stack::m-cw"}
TARGET = render.live_value_name(SERVE, "spec.targetNodes")


def with_range(tmp_path: Path, least: int, most: int) -> Deployment:
    declared = deployment("cw", cluster=Cluster(name="cw", kubeconfig=str(tmp_path / "kubeconfig")))
    bounds = {"nodes": least, "nodes_min": least, "nodes_max": most, "machine": "gd-8xh100ib-i128"}
    pools = (each.model_copy(update=bounds) if each.name == "serve" else each for each in declared.pools)
    return declared.model_copy(update={"pools": tuple(pools)})


def owned(
    monkeypatch: pytest.MonkeyPatch,
    declared: Deployment,
    nodes: int,
    manager: str = "cluster-autoscaler",
    up: Deployment | None = None,
) -> Ownership:
    """With a live NodePool of so many nodes, which `manager` has ordered. `up`: what the last `up` declared."""
    (item,) = [each for each in render.node_objects(declared) if each.name == SERVE]
    live: dict[str, Any] = copy.deepcopy(item.manifest)
    live["spec"]["targetNodes"] = nodes
    entry = {"manager": manager, "operation": "Update", "fieldsV1": {"f:spec": {"f:targetNodes": {}}}}
    live["metadata"]["managedFields"] = [entry]
    name = item.manifest["metadata"]["name"]
    monkeypatch.setattr(live_objects, "read", lambda _client, wanted, *_: {r: live for r in wanted if r.name == name})
    monkeypatch.setattr(live_objects, "autoscalers", lambda *_: {})
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({})))
    resources: list[dict[str, Any]] = [{"urn": f"urn:pulumi:cw::llm-prod::{TOKEN}::{SERVE}", "type": TOKEN}]
    if up is not None:
        resources.append({**STACK, "outputs": {"deployment": up.model_dump(mode="json")}})
    return ownership.read_ownership(declared, state(*resources))


@pytest.mark.parametrize(("least", "nodes"), [(2, 2), (2, 4), (2, 6), (0, 0)])
def test_within_the_range_the_number_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, least: int, nodes: int
) -> None:
    found = owned(monkeypatch, with_range(tmp_path, least, 6), nodes)
    assert found.decisions == ()
    assert found.kept_values(preview=True)[TARGET] == nodes
    assert found.kept_values(preview=False)[TARGET] is None, "it may change until the engine comes to it"
    assert found.left_paths(SERVE) == ["spec.targetNodes"], "it is neither drift nor a change of the plan"
    assert found.forecasts(()) == ((f"pool/serve: {nodes} nodes now, {least}..6",) if nodes != least else ())


def test_a_number_that_is_meshctls_own_is_declared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = owned(monkeypatch, with_range(tmp_path, 2, 6), 3, "pulumi-kubernetes-1")
    assert found.kept_values(preview=False)[TARGET] == 3


@pytest.mark.parametrize(("least", "most", "wanted"), [(4, 6, 4), (1, 2, 2)])
def test_a_pool_beyond_its_range_is_brought_to_the_nearest_bound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, least: int, most: int, wanted: int
) -> None:
    """The autoscaler does neither: it orders no number beyond the bounds, and repairs none."""
    found = owned(monkeypatch, with_range(tmp_path, least, most), 3, up=with_range(tmp_path, 1, 6))
    assert [each.report for each in found.decisions] == [
        f"takes over .spec.targetNodes of nodepool llm-prod-serve from cluster-autoscaler (3 -> {wanted})"
    ]
    assert found.kept_values(preview=False)[TARGET] == wanted
    assert found.left_paths(SERVE) == []


def test_a_number_in_place_of_a_range_is_the_meshs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = owned(monkeypatch, with_range(tmp_path, 3, 3), 4, up=with_range(tmp_path, 2, 6))
    assert [each.report for each in found.decisions] == [
        "takes over .spec.targetNodes of nodepool llm-prod-serve from cluster-autoscaler (4 -> 3)"
    ]
    assert TARGET not in found.kept_values(preview=False)


@pytest.mark.parametrize(("least", "most"), [(1, 4), (1, 2), (3, 3)])
def test_more_nodes_than_the_mesh_has_ever_said_are_asked_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, least: int, most: int
) -> None:
    """As older versions left a number that somebody had set in the portal: the autoscaler orders none above `max`."""
    found = owned(monkeypatch, with_range(tmp_path, least, most), 8, "portal", up=with_range(tmp_path, 1, 4))
    with pytest.raises(OwnedFieldsError):
        found.refuse("up")


def test_the_number_of_a_pool_without_a_range_is_asked_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = owned(monkeypatch, with_range(tmp_path, 3, 3), 4, "kubectl-edit")
    with pytest.raises(OwnedFieldsError):
        found.refuse("up")
