"""What a killed run had begun becomes marked resources that the engine can look for, and stays so until it was."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.engine import pending
from meshwire.marks import UNANSWERED
from tests.unit.states import read, state


def resource(kind: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:cw::small::{kind}::{name}", "type": kind, "custom": True, **more}


CLUSTER = resource("meshaws:eks:Cluster", "cluster:eks", inputs={"name": "small"})
POD = resource("kubernetes:core/v1:Pod", "workload/a:pod", inputs={"metadata": {"namespace": "small", "name": "a"}})
SPACE = resource("kubernetes:core/v1:Namespace", "platform:namespace", inputs={"metadata": {"name": "small"}})


def begun(kind: str, *resources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": kind, "resource": item} for item in resources]


def test_begun_creates_become_placeholders_with_an_id_to_look_for() -> None:
    marked = pending.with_interruption_marks(state(pending_operations=begun("creating", CLUSTER, POD, SPACE)))
    assert [item.id for item in marked.resources] == [UNANSWERED, "small/a", "small"]
    assert pending.placeholders(marked) == sorted(item["urn"] for item in (CLUSTER, POD, SPACE))


def test_marks_stay_when_the_engine_drops_the_operations() -> None:
    """As `pulumi stack import` does; a second kill comes before anything was read."""
    marked = pending.with_interruption_marks(state(pending_operations=begun("creating", CLUSTER, POD, SPACE)))
    dropped = read({key: value for key, value in marked.written().items() if key != "pending_operations"})
    assert pending.is_interrupted(dropped)
    assert pending.interrupted_urns(dropped) == sorted(item["urn"] for item in (CLUSTER, POD, SPACE))
    assert pending.with_interruption_marks(dropped).resources == marked.resources


@pytest.mark.parametrize("kind", ["updating", "deleting"])
def test_updates_and_deletes_are_marked_where_they_are(kind: str) -> None:
    marked = pending.with_interruption_marks(state({**CLUSTER, "id": "small"}, pending_operations=begun(kind, CLUSTER)))
    assert (pending.interrupted_urns(marked), pending.placeholders(marked)) == ([CLUSTER["urn"]], [])
    assert marked.written() == {
        "resources": [{**CLUSTER, "id": "small", "initErrors": [pending.CHANGE_INTERRUPTED]}],
        "pending_operations": [],
    }


def test_the_other_half_of_a_replacement_is_looked_for_beside_what_lives() -> None:
    lives = {**CLUSTER, "id": "old"}
    marked = pending.with_interruption_marks(state(lives, pending_operations=begun("creating", CLUSTER)))
    kept, placeholder = marked.resources
    assert kept.record == lives
    assert (placeholder.id, placeholder.is_to_be_deleted) == (f"{UNANSWERED}!old", True)
    assert pending.is_placeholder(placeholder)


def test_a_create_after_a_delete_takes_the_place_of_what_was_deleted() -> None:
    user = {**POD, "id": "small/a", "outputs": {"metadata": {"name": "a", "uid": "u1"}}}
    deleted = {**CLUSTER, "id": "old", "pendingReplacement": True}
    marked = pending.with_interruption_marks(state(deleted, user, pending_operations=begun("creating", CLUSTER)))
    assert [item.id for item in marked.resources] == [UNANSWERED, "small/a"]
    assert not marked.resources[0].is_deleted_for_replacement


def test_an_object_that_is_made_anew_under_its_name_is_looked_at_once() -> None:
    lives = {**POD, "id": "small/a", "outputs": {"metadata": {"name": "a", "uid": "u1"}}}
    marked = pending.with_interruption_marks(state(lives, pending_operations=begun("creating", POD)))
    assert [item.id for item in marked.resources] == ["small/a"]
    assert pending.interrupted_urns(marked) == [POD["urn"]]


def test_placeholders_that_3634e6b_left_without_a_mark_are_known_by_what_they_hold() -> None:
    poisoned = state(
        {**CLUSTER, "id": "unanswered", "outputs": CLUSTER["inputs"]},
        {**POD, "id": "small/a", "outputs": POD["inputs"]},
        {**SPACE, "id": "small", "outputs": {"metadata": {"name": "small", "uid": "u2"}}},
    )
    assert pending.is_interrupted(poisoned)
    assert pending.placeholders(poisoned) == sorted([CLUSTER["urn"], POD["urn"]])


def test_a_secret_that_the_state_keeps_encrypted_is_no_placeholder() -> None:
    envelope = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
    assert not pending.is_interrupted(state({**POD, "id": "small/a", "outputs": {"metadata": envelope}}))


def test_the_engines_own_are_not_read() -> None:
    provider = resource("pulumi:providers:kubernetes", "kubernetes", inputs={})
    component = resource("meshctl:Pool", "pool/web", custom=False)
    marked = pending.with_interruption_marks(state(pending_operations=begun("creating", provider, component)))
    assert (marked.resources, pending.interrupted_urns(marked)) == ((), [])
