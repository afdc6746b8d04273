"""How much of an environment a state has, so that nothing that costs money is called absent."""

from __future__ import annotations

from typing import Any

from meshctl.deploy.deploy_state import deploy_state, stores_with_buckets, unfinished_text
from meshctl.engine import pending
from meshctl.model.observed import DeployState
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
    assert deploy_state(NOTHING) is DeployState.NOTHING
    assert deploy_state(of()) is DeployState.NOTHING
    assert deploy_state(of(BUCKET)) is DeployState.STORAGE
    assert deploy_state(of(BUCKET, CLUSTER)) is DeployState.PART
    assert deploy_state(of(BUCKET, CLUSTER, NAMESPACE)) is DeployState.WHOLE


def test_what_a_killed_run_had_begun_may_be_there() -> None:
    assert deploy_state(of(begun=CLUSTER)) is DeployState.PART
    assert deploy_state(of(BUCKET, begun=CLUSTER)) is DeployState.PART
    assert deploy_state(of(BUCKET, NAMESPACE, begun=CLUSTER)) is DeployState.WHOLE
    assert unfinished_text(of(BUCKET, begun=CLUSTER)) == "1 resource exists, 1 operation was interrupted"


def test_what_may_not_exist_makes_nothing_whole() -> None:
    """A second run was killed before it had found out."""
    marked = pending.with_interruption_marks(of(BUCKET, begun=NAMESPACE))
    assert deploy_state(marked) is DeployState.PART
    assert unfinished_text(marked) == "1 resource exists, 1 operation was interrupted"


def test_what_is_there_is_named() -> None:
    assert stores_with_buckets(of(BUCKET, CLUSTER)) == ["assets"]
    assert unfinished_text(of(BUCKET)) == "1 resource exists"
    assert unfinished_text(of(BUCKET, CLUSTER)) == "2 resources exist"


def test_what_was_said_last_is_told() -> None:
    said = ["no m7i in us-east-1a\n [code=InsufficientInstanceCapacity]"]
    group = resource("pool/web:nodegroup", "meshaws:eks:Nodegroup", initErrors=said)
    assert unfinished_text(of(CLUSTER, group)) == "pool/web:nodegroup: no m7i in us-east-1a"
