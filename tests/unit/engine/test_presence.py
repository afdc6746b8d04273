"""How much of an environment a state has, so that nothing that costs money is called absent."""

from __future__ import annotations

from typing import Any

from meshctl.deploy.presence import presence, stores, unfinished
from meshctl.engine import pending
from meshctl.model.observed import Presence
from meshctl.model.stack_state import StackState
from tests.unit.states import NOTHING, state


def resource(name: str, type_: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:cw::small::{type_}::{name}", "type": type_, "custom": True, **more}


STACK = {**resource("small-cw", "pulumi:pulumi:Stack"), "custom": False}
PROVIDER = resource("aws", "pulumi:providers:meshaws")
BUCKET = resource("storage/assets:bucket", "meshaws:s3:Bucket")
CLUSTER = resource("cluster:eks", "meshaws:eks:Cluster")
NAMESPACE = resource("platform:namespace", "kubernetes:core/v1:Namespace")


def of(*resources: dict[str, Any], begun: dict[str, Any] | None = None) -> StackState:
    operations = [{"type": "creating", "resource": begun}] if begun else []
    return state(STACK, PROVIDER, *resources, pending_operations=operations)


def test_how_much_is_there() -> None:
    assert presence(NOTHING) is Presence.NOTHING
    assert presence(of()) is Presence.NOTHING
    assert presence(of(BUCKET)) is Presence.STORAGE
    assert presence(of(BUCKET, CLUSTER)) is Presence.PART
    assert presence(of(BUCKET, CLUSTER, NAMESPACE)) is Presence.WHOLE


def test_what_a_killed_run_had_begun_may_be_there() -> None:
    assert presence(of(begun=CLUSTER)) is Presence.PART
    assert presence(of(BUCKET, begun=CLUSTER)) is Presence.PART
    assert presence(of(BUCKET, NAMESPACE, begun=CLUSTER)) is Presence.WHOLE
    assert unfinished(of(BUCKET, begun=CLUSTER)) == "1 resource is there, 1 operation had begun when it was cut off"


def test_what_may_not_exist_makes_nothing_whole() -> None:
    """A second run was killed before it had found out."""
    marked = pending.marked(of(BUCKET, begun=NAMESPACE))
    assert presence(marked) is Presence.PART
    assert unfinished(marked) == "1 resource is there, 1 operation had begun when it was cut off"


def test_what_is_there_is_named() -> None:
    assert stores(of(BUCKET, CLUSTER)) == ["assets"]
    assert unfinished(of(BUCKET)) == "1 resource is there"
    assert unfinished(of(BUCKET, CLUSTER)) == "2 resources are there"


def test_what_was_said_last_is_told() -> None:
    said = ["no m7i in us-east-1a\n [code=InsufficientInstanceCapacity]"]
    group = resource("pool/web:nodegroup", "meshaws:eks:Nodegroup", initErrors=said)
    assert unfinished(of(CLUSTER, group)) == "pool/web:nodegroup: no m7i in us-east-1a"
