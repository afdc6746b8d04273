"""What a mesh may write under `after`, and which jobs never run at the same time."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Workload
from meshctl.model.files import references
from meshctl.model.keys import job_order
from tests.unit.deployments import deployment


def problems(**after: Any) -> dict[str, str]:
    """The problems of a mesh of batch jobs and one service, by place."""
    jobs = {name: {"kind": "batch", "pool": "web", "after": names} for name, names in after.items()}
    mesh = {"pools": {"web": {}}, "workloads": {**jobs, "site": {"kind": "service", "pool": "web"}}}
    return {".".join(map(str, path)): message for path, message in references.check_mesh(mesh)}


def test_jobs_that_follow_each_other_are_taken() -> None:
    assert problems(first=[], second=["first"], third=["first", "second"]) == {}


@pytest.mark.parametrize(
    ("after", "place", "words"),
    [
        ({"first": [], "second": ["frist"]}, "second.after.0", 'no workload named "frist"; did you mean "first"?'),
        ({"first": ["site"]}, "first.after.0", '"site" is a service workload, which never ends'),
        ({"first": ["first"]}, "first.after.0", "a job can't come after itself"),
        ({"first": ["second"], "second": ["first"]}, "first.after.0", "first after second after first"),
        (
            {"a": ["b"], "b": ["c"], "c": ["a"]},
            "a.after.0",
            "these jobs wait for each other, and none would ever start: a after b after c after a",
        ),
        ({"first": [], "second": ["first", "first"]}, "second.after.1", '"first" is named twice'),
    ],
)
def test_what_could_never_start_is_refused(after: dict[str, list[str]], place: str, words: str) -> None:
    assert words in problems(**after)[f"workloads.{place}"]


def test_what_stays_up_comes_after_nothing() -> None:
    mesh = {"pools": {"web": {}}, "workloads": {"site": {"kind": "service", "pool": "web", "after": ["site"]}}}
    ((path, message),) = references.check_mesh(mesh)
    assert path == ("workloads", "site", "after")
    assert "only jobs (training, batch) come after others" in message


def test_a_workload_can_not_have_the_name_of_another_ones_release() -> None:
    (message,) = problems(**{"first": [], "second": ["first"], "second-release": []}).values()
    assert 'its ServiceAccount would be called "second-release"' in message


def gang(name: str, *after: str) -> Workload:
    return Workload(name=name, kind="training", pool="train", replicas=1, image="acme/train:1", after=after)


def test_only_jobs_that_may_run_together_are_counted_together() -> None:
    first, second, third = gang("first"), gang("second", "first"), gang("third")
    groups = job_order.at_the_same_time([first, second, third], [first, second, third])
    assert [[job.name for job in group] for group in groups] == [["first", "third"], ["second", "third"]]


def test_jobs_that_follow_in_two_chains_may_all_run_together() -> None:
    """Both may be released at once, although neither of them runs beside what it comes after."""
    jobs = [gang("pre1"), gang("ft1", "pre1"), gang("pre2"), gang("ft2", "pre2")]
    groups = {tuple(job.name for job in group) for group in job_order.at_the_same_time(jobs, jobs)}
    assert groups == {("pre1", "pre2"), ("pre1", "ft2"), ("ft1", "pre2"), ("ft1", "ft2")}


def test_jobs_of_another_pool_between_two_jobs_order_them_too() -> None:
    first, between, last = gang("first"), gang("between", "first"), gang("last", "between")
    assert job_order.at_the_same_time([first, last], [first, between, last]) == [[first], [last]]


def test_without_after_all_of_them_run_together() -> None:
    jobs = [gang("first"), gang("second")]
    assert job_order.at_the_same_time(jobs, jobs) == [jobs]


def test_a_job_that_has_ended_elsewhere_holds_nobody_back() -> None:
    made = deployment(workloads=(gang("first"), gang("second", "first")))
    assert job_order.is_held(made, made.workload("second"))
    ended = made.finished({"first": "cw"})
    assert not job_order.is_held(ended, ended.workload("second"))
    paused = made.paused(frozenset({"second"}))
    assert not job_order.is_held(paused, paused.workload("second"))
