"""A plan says where work is done again."""

from __future__ import annotations

from typing import Any

from meshctl.changes import PropertyChange, Step, group

JOB = "kubernetes:batch/v1:Job"
CONTAINER = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "acme/embed:1"}]}}}}


def summary(op: str, new: dict[str, Any], type_: str = JOB, path: str = "spec.template.spec.nodeSelector") -> str:
    urn = f"urn:pulumi:cw::m::{type_}::workload/embed:job"
    step = Step(urn, type_, op, CONTAINER, new, (PropertyChange(path, forces_replace=op == "replace"),))
    plan = group([step], environment="cw", digest="", hourly_usd_before=None, hourly_usd_after=None)
    return plan.changes[0].summary


def test_a_job_that_is_made_anew_runs_again() -> None:
    assert summary("replace", CONTAINER).endswith("1 resource to replace, runs again")


def test_one_that_stays_suspended_or_is_changed_in_place_does_not() -> None:
    suspended = {"spec": {**CONTAINER["spec"], "suspend": True}}
    assert "runs again" not in summary("replace", suspended)
    assert "runs again" not in summary("update", CONTAINER, path='metadata.labels["team"]')
    assert "runs again" not in summary("replace", CONTAINER, type_="kubernetes:apps/v1:StatefulSet")
