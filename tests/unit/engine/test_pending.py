"""What a killed run had begun becomes resources that the engine can read."""

from __future__ import annotations

from typing import Any

from meshctl.engine import pending


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:cw::small::{kind}::{name}", "type": kind, "custom": True, **more}


CLUSTER = resource("meshaws:eks:Cluster", "cluster:eks", inputs={"name": "small"})
POD = resource("kubernetes:core/v1:Pod", "workload/a:pod", inputs={"metadata": {"namespace": "small", "name": "a"}})
SPACE = resource("kubernetes:core/v1:Namespace", "platform:namespace", inputs={"metadata": {"name": "small"}})


def begun(kind: str, *resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": kind, "resource": item} for item in resources]


def test_begun_creates_become_resources_with_an_id_to_look_for() -> None:
    found = pending.findable({"resources": [], "pending_operations": begun("creating", CLUSTER, POD, SPACE)})
    assert [item["id"] for item in found["resources"]] == [pending.UNANSWERED, "small/a", "small"]
    assert pending.urns(found) == sorted(item["urn"] for item in (CLUSTER, POD, SPACE))
    assert pending.findable(found) == found  # killed once more before they were read


def test_updates_and_deletes_are_read_where_they_are() -> None:
    state = {"resources": [{**CLUSTER, "id": "small"}], "pending_operations": begun("updating", CLUSTER)}
    found = pending.findable(state)
    assert found["resources"] == state["resources"]
    assert pending.urns(found) == [CLUSTER["urn"]]
    assert [operation["type"] for operation in found["pending_operations"]] == ["creating"]
    assert pending.settled(found) == {**state, "pending_operations": []}


def test_the_engines_own_are_not_read() -> None:
    provider = resource("pulumi:providers:kubernetes", "kubernetes", inputs={})
    component = resource("meshctl:Pool", "pool/web", custom=False)
    found = pending.findable({"resources": [], "pending_operations": begun("creating", provider, component)})
    assert (found["resources"], pending.urns(found)) == ([], [])
