"""What a run would lose, decided from values alone: what takes claims along, and what the platform calls things."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes.losses import (
    CLAIM,
    STATEFUL_SET,
    UNSEEN,
    Outcome,
    Seen,
    Volume,
    losses,
    outcome_of_destroy,
    outcome_of_up,
)
from meshctl.changes.steps import Step
from meshctl.model.deployment import Block, Deployment, FileSystem, Price
from meshctl.model.stack_state import Resource
from tests.unit.deployments import deployment
from tests.unit.states import NOTHING, state

PRICE = Price(subject="storage/x", usd_per_hour=None, source="unknown")
NAMESPACE, CLUSTER, EFS = "kubernetes:core/v1:Namespace", "meshaws:eks:Cluster", "meshaws:efs:FileSystem"


def made() -> Deployment:
    return deployment(
        file_systems=(FileSystem(name="home", service="efs", size_gib=1200, price=PRICE),),
        blocks=(Block(name="data", size_gib=5, storage_class="gp3", price=PRICE),),
    )


def resource(type_: str, name: str, id_: str = "", **inputs: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:aws-east::llm-prod::{type_}::{name}", "type": type_, "id": id_, "inputs": inputs}


def stateful_set(workload: str, block: str) -> dict[str, Any]:
    claim = {"metadata": {"name": block}, "spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    spec = {"replicas": 1, "volumeClaimTemplates": [claim]}
    return resource(STATEFUL_SET, f"workload/{workload}:statefulset", metadata={"name": workload}, spec=spec)


HOME = resource(
    CLAIM,
    "storage/home:claim",
    metadata={"name": "home"},
    spec={"volumeName": "llm-prod-home", "resources": {"requests": {"storage": "1200Gi"}}},
)
STATE = state(
    resource(CLUSTER, "cluster:eks"),
    resource(EFS, "storage/home:efs", "fs-0123"),
    resource(NAMESPACE, "platform:namespace"),
    HOME,
    stateful_set("site", "data"),
)
VOLUMES = (
    Volume("data-site-0", "pvc-1", "vol-1", "5Gi"),
    Volume("data-old-0", "pvc-2", "vol-2", "5Gi"),
    Volume("home", "llm-prod-home", "fs-0123", "1200Gi"),
)
SEEN = Seen(volumes=VOLUMES)


def steps(op: str, *types: str) -> list[Step]:
    return [Step(each.urn, each.type, op, each.inputs, each.inputs) for each in STATE.of_type(*types)]


@pytest.mark.parametrize("op", ["delete", "replace"])
@pytest.mark.parametrize("taken", [NAMESPACE, CLUSTER])
def test_a_namespace_or_a_cluster_takes_every_claim_along(op: str, taken: str) -> None:
    outcome = outcome_of_up(STATE, made(), made(), steps(op, taken))
    found = losses(STATE, made(), outcome, SEEN)
    assert [loss.subject for loss in found] == ["claim/data-old-0", "storage/data", "storage/home"]
    assert [loss.identity for loss in found] == [
        "claim data-old-0, volume pvc-2 (vol-2)",
        "claim data-site-0, volume pvc-1 (vol-1)",
        "claim home, volume llm-prod-home (fs-0123)",
    ]


def test_a_file_system_is_named_by_its_id_and_once() -> None:
    (_, _, home) = losses(STATE, made(), outcome_of_destroy(STATE), SEEN)
    assert (home.subject, home.kind, home.identity, home.size) == (
        "storage/home",
        "file system",
        "file system fs-0123",
        "1200 GiB",
    )


def test_a_stateful_set_that_is_replaced_finds_its_volumes_again() -> None:
    outcome = outcome_of_up(STATE, made(), made(), steps("replace", STATEFUL_SET))
    assert losses(STATE, made(), outcome, SEEN) == ()


def test_names_that_begin_alike_are_not_taken_for_each_other() -> None:
    """The claims of a workload `a` and of one `a-b`."""
    old, new = stateful_set("a-b", "data"), stateful_set("a", "data")
    before = state(old)
    goes = Step(old["urn"], STATEFUL_SET, "delete", old["inputs"])
    comes = Step(new["urn"], STATEFUL_SET, "create", {}, new["inputs"])
    outcome = outcome_of_up(before, made(), made(), [goes, comes])
    seen = Seen(volumes=(Volume("data-a-b-0", "pvc-1"),))
    assert [loss.subject for loss in losses(before, made(), outcome, seen)] == ["storage/data"]


def test_what_can_not_be_seen_counts() -> None:
    bucket = resource("meshaws:s3:Bucket", "storage/weights:bucket", Bucket="b-1")
    more = STATE.with_resources([Resource(bucket), *STATE.resources])
    found = losses(more, made(), outcome_of_destroy(more), Seen())
    sizes = {loss.subject: loss.size for loss in found}
    assert sizes == {"storage/weights": UNSEEN, "storage/home": "1200 GiB", "storage/data": "5Gi"}


def test_an_outcome_that_touches_nothing_loses_nothing() -> None:
    assert losses(STATE, made(), Outcome(frozenset()), SEEN) == ()
    assert losses(NOTHING, None, outcome_of_destroy(NOTHING), Seen()) == ()
