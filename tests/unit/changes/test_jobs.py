"""A plan says where work is done again."""

from __future__ import annotations

from typing import Any

from meshctl.changes import PropertyChange, Step, group

JOB = "kubernetes:batch/v1:Job"
CONTAINER = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "acme/embed:1"}]}}}}


def summary(
    op: str,
    new: dict[str, Any],
    type_: str = JOB,
    path: str = "spec.template.spec.nodeSelector",
    name: str = "workload/embed:job",
) -> str:
    urn = f"urn:pulumi:cw::m::{type_}::{name}"
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


def test_one_that_another_program_starts_runs_again_as_well() -> None:
    """It is suspended only until the jobs before it have ended, or until Kueue has room for it."""
    suspended = {"spec": {**CONTAINER["spec"], "suspend": True}}
    after = {**suspended, "metadata": {"annotations": {"meshctl.dev/after": "prepdata"}}}
    queued = {**suspended, "metadata": {"labels": {"kueue.x-k8s.io/queue-name": "genai"}}}
    assert summary("replace", after).endswith("runs again")
    assert summary("replace", queued).endswith("runs again")


def test_what_starts_a_job_is_no_work_and_its_fields_are_not_told() -> None:
    said = summary("replace", CONTAINER, path="spec.template.spec.containers[0].args", name="workload/embed:release")
    assert said == "1 resource to replace"


def test_the_order_of_jobs_is_called_as_in_the_mesh() -> None:
    new = {**CONTAINER, "metadata": {"annotations": {"meshctl.dev/after": "prepdata"}}}
    assert summary("update", new, path='metadata.annotations["meshctl.dev/after"]') == "after none -> prepdata"
