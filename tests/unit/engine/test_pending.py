"""What a killed run had begun becomes marked resources that the engine can look for, and stays so until it was."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.engine import pending


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:cw::small::{kind}::{name}", "type": kind, "custom": True, **more}


CLUSTER = resource("meshaws:eks:Cluster", "cluster:eks", inputs={"name": "small"})
POD = resource("kubernetes:core/v1:Pod", "workload/a:pod", inputs={"metadata": {"namespace": "small", "name": "a"}})
SPACE = resource("kubernetes:core/v1:Namespace", "platform:namespace", inputs={"metadata": {"name": "small"}})


def begun(kind: str, *resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": kind, "resource": item} for item in resources]


def test_begun_creates_become_placeholders_with_an_id_to_look_for() -> None:
    state = pending.marked({"resources": [], "pending_operations": begun("creating", CLUSTER, POD, SPACE)})
    assert [item["id"] for item in state["resources"]] == [pending.UNANSWERED, "small/a", "small"]
    assert pending.placeholders(state) == sorted(item["urn"] for item in (CLUSTER, POD, SPACE))


def test_marks_stay_when_the_engine_drops_the_operations() -> None:
    """As `pulumi stack import` does; a second kill comes before anything was read."""
    state = pending.marked({"resources": [], "pending_operations": begun("creating", CLUSTER, POD, SPACE)})
    dropped = {key: value for key, value in state.items() if key != "pending_operations"}
    assert pending.is_unsettled(dropped)
    assert pending.unsettled(dropped) == sorted(item["urn"] for item in (CLUSTER, POD, SPACE))
    assert pending.marked(dropped)["resources"] == state["resources"]


@pytest.mark.parametrize("kind", ["updating", "deleting"])
def test_updates_and_deletes_are_marked_where_they_are(kind: str) -> None:
    state = pending.marked({"resources": [{**CLUSTER, "id": "small"}], "pending_operations": begun(kind, CLUSTER)})
    assert state["resources"] == [{**CLUSTER, "id": "small", "initErrors": [pending.CHANGE_INTERRUPTED]}]
    assert (pending.unsettled(state), pending.placeholders(state)) == ([CLUSTER["urn"]], [])
    assert state["pending_operations"] == []


def test_the_other_half_of_a_replacement_is_looked_for_beside_what_lives() -> None:
    lives = {**CLUSTER, "id": "old"}
    state = pending.marked({"resources": [lives], "pending_operations": begun("creating", CLUSTER)})
    kept, placeholder = state["resources"]
    assert kept == lives
    assert (placeholder["id"], placeholder["delete"]) == (f"{pending.UNANSWERED}!old", True)
    assert pending.is_placeholder(placeholder)


def test_a_create_after_a_delete_takes_the_place_of_what_was_deleted() -> None:
    user = {**POD, "id": "small/a", "outputs": {"metadata": {"name": "a", "uid": "u1"}}}
    deleted = {**CLUSTER, "id": "old", "pendingReplacement": True}
    state = pending.marked({"resources": [deleted, user], "pending_operations": begun("creating", CLUSTER)})
    assert [item["id"] for item in state["resources"]] == [pending.UNANSWERED, "small/a"]
    assert not state["resources"][0].get("pendingReplacement")


def test_an_object_that_is_made_anew_under_its_name_is_looked_at_once() -> None:
    lives = {**POD, "id": "small/a", "outputs": {"metadata": {"name": "a", "uid": "u1"}}}
    state = pending.marked({"resources": [lives], "pending_operations": begun("creating", POD)})
    assert [item["id"] for item in state["resources"]] == ["small/a"]
    assert pending.unsettled(state) == [POD["urn"]]


def test_placeholders_that_3634e6b_left_without_a_mark_are_known_by_what_they_hold() -> None:
    poisoned = {
        "resources": [
            {**CLUSTER, "id": "unanswered", "outputs": CLUSTER["inputs"]},
            {**POD, "id": "small/a", "outputs": POD["inputs"]},
            {**SPACE, "id": "small", "outputs": {"metadata": {"name": "small", "uid": "u2"}}},
        ]
    }
    assert pending.is_unsettled(poisoned)
    assert pending.placeholders(poisoned) == sorted([CLUSTER["urn"], POD["urn"]])


def test_a_secret_that_the_state_keeps_encrypted_is_no_placeholder() -> None:
    envelope = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
    state = {"resources": [{**POD, "id": "small/a", "outputs": {"metadata": envelope}}]}
    assert not pending.is_unsettled(state)


def test_the_engines_own_are_not_read() -> None:
    provider = resource("pulumi:providers:kubernetes", "kubernetes", inputs={})
    component = resource("meshctl:Pool", "pool/web", custom=False)
    state = pending.marked({"resources": [], "pending_operations": begun("creating", provider, component)})
    assert (state["resources"], pending.unsettled(state)) == ([], [])
