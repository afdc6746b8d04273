"""What a plan says of the way in which pods are replaced."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.deploy.runs import plans
from meshctl.model.deployment import Deployment
from tests.unit.deployments import deployment

DEPLOYMENT = "kubernetes:apps/v1:Deployment"
STRATEGY = "spec.strategy.rollingUpdate"
IMAGE = "spec.template.spec.containers[0].image"


def step(*paths: str, old: Any = None, new: Any = None) -> Step:
    urn = f"urn:pulumi:dc1::llm-prod::{DEPLOYMENT}::workload/chat:deployment"
    return Step(urn, DEPLOYMENT, "update", old or {}, new or {}, tuple(map(PropertyChange, paths)))


def strategy(surge: int) -> dict[str, Any]:
    return {"spec": {"strategy": {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": 1 - surge}}}}


@pytest.mark.parametrize(
    ("surge", "text"),
    [
        (0, "roll-outs end a pod before they start its successor: the pool may have no room for one more pod"),
        (1, "roll-outs start a new pod before they end the old one: the pool has room for one more pod"),
    ],
)
def test_another_order_is_said_once_with_its_reason_and_no_pod_is_rolled(surge: int, text: str) -> None:
    change = step(f"{STRATEGY}.maxSurge", f"{STRATEGY}.maxUnavailable", old=strategy(1 - surge), new=strategy(surge))
    assert [field.text() for field in fields(change)] == [f"{text} (no pod is replaced for this)"]


def chat(**changes: Any) -> Deployment:
    made = deployment("dc1")
    workloads = [w.model_copy(update=changes) if w.name == "chat" else w for w in made.workloads]
    return made.model_copy(update={"workloads": tuple(workloads)})


@pytest.mark.parametrize(
    ("path", "changes", "is_noted"),
    [
        (IMAGE, {"replicas": 1}, True),
        (f"{STRATEGY}.maxSurge", {"replicas": 1}, True),
        ("spec.replicas", {"replicas": 1}, False),
        (IMAGE, {"replicas": 2}, False),
        (IMAGE, {"replicas": 1, "roll_out": "new-first"}, False),
        (IMAGE, {"replicas": 1, "paused": True}, False),
    ],
)
def test_a_plan_that_replaces_the_only_pod_says_that_there_is_none_meanwhile(
    path: str, changes: dict[str, Any], is_noted: bool
) -> None:
    plan = plans.plan_of_preview(chat(**changes), [step(path)], None, ())
    notes = [note for note in plan.notes if note.startswith("workload/chat: each roll-out leaves it without a pod")]
    assert len(notes) == is_noted
