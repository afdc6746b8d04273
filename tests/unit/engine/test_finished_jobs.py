"""A job that has ended is run again when somebody asks, and for no other reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs, unchanged_jobs, with_finished_marks
from meshctl.errors import UnreachableError
from meshctl.model.deployment import Deployment, Mount
from meshctl.model.observed import Facts, JobState
from meshctl.model.served_apis import CLUSTER_QUEUE
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.engine.job_meshes import changed, state
from tests.unit.render.sample import sample
from tests.unit.resolve.lending_meshes import NODES, chat, sweep
from tests.unit.resolve.meshes import DC, H100, resolved

COMPLETE = {"embed": JobState("embed", "complete"), "pretrain": JobState("pretrain", "complete")}


def stays(after: Deployment, before: StackState, ended: Mapping[str, JobState] = COMPLETE) -> UnchangedJobs:
    return unchanged_jobs(after, before, lambda: ended)


def test_nothing_is_asked_of_the_cluster_where_no_job_would_be_made_anew() -> None:
    def look() -> Mapping[str, JobState]:
        raise AssertionError("asked")

    before = state(sample("coreweave"))
    assert unchanged_jobs(sample("coreweave"), before, look) == UnchangedJobs()
    assert unchanged_jobs(sample("coreweave"), states.NOTHING, look) == UnchangedJobs()
    paused = sample("coreweave").paused(frozenset({"embed", "pretrain"}))
    assert unchanged_jobs(paused, before, look) == UnchangedJobs()


@pytest.mark.parametrize(
    "fields",
    [{"pool": "serve"}, {"cpu": 8}, {"image_pull_secrets": ("ghcr",)}],
    ids=lambda fields: next(iter(fields)),
)
def test_a_finished_job_stays_where_what_it_runs_is_the_same(fields: dict[str, Any]) -> None:
    found = stays(changed("embed", **fields), state(sample("coreweave")))
    assert found.paths == {"embed": ("spec.template",)}
    (note,) = found.notes
    assert "workload/embed has finished and is left unchanged" in note
    assert "`meshctl restart embed --env coreweave-1` runs it again" in note


def test_a_finished_training_is_not_trained_again_by_another_grace() -> None:
    given = sample("coreweave").workload("pretrain").checkpoint
    assert given is not None
    after = changed("pretrain", checkpoint=given.model_copy(update={"grace_s": 600}))
    assert list(stays(after, state(sample("coreweave"))).paths) == ["pretrain"]


@pytest.mark.parametrize(
    "fields",
    [
        {"image": "acme/embed:2"},
        {"command": ("embed",)},
        {"args": ("--all",)},
        {"env": {"SHARDS": "4"}},
        {"secrets": {"TOKEN": "hf-token"}},
        {"replicas": 2},
        {"mounts": ()},
        {"mounts": (Mount(storage="checkpoints", kind="object", path="/out"),)},
        {"mounts": (Mount(storage="shared", kind="filesystem", path="/elsewhere", read_only=True),)},
    ],
    ids=lambda fields: f"{next(iter(fields))}",
)
def test_a_change_of_what_it_runs_asks_for_it(fields: dict[str, Any]) -> None:
    assert stays(changed("embed", **fields), state(sample("coreweave"))) == UnchangedJobs()


def test_a_variable_that_goes_asks_for_it_and_one_of_the_platform_does_not() -> None:
    with_variable = changed("embed", env={"SHARDS": "4"})
    assert stays(sample("coreweave"), state(with_variable)) == UnchangedJobs()
    older = state(with_variable)
    (job,) = [resource for resource in older.resources if resource.name == "workload/embed:job"]
    main = job.inputs["spec"]["template"]["spec"]["containers"][0]
    main["env"] = [*main["env"], {"name": "NCCL_OF_AN_OLDER_MESHCTL", "value": "1"}]
    assert list(stays(with_variable, older).paths) == ["embed"]


def test_what_was_asked_for_in_a_run_that_failed_is_still_asked_for() -> None:
    """The outputs of such a run have the new deployment, while the job is still the old one."""
    after = changed("embed", image="acme/embed:2")
    assert stays(after, state(after, ran=sample("coreweave"))) == UnchangedJobs()


@pytest.mark.parametrize("ended", ["", "failed"])
def test_a_job_that_has_not_finished_is_made_anew_as_ever(ended: Any) -> None:
    after = changed("embed", pool="serve")
    assert stays(after, state(sample("coreweave")), {"embed": JobState("embed", ended)}) == UnchangedJobs()
    assert stays(after, state(sample("coreweave")), {}) == UnchangedJobs()


def test_one_that_a_killed_run_has_deleted_is_made() -> None:
    before = state(sample("coreweave"), pendingReplacement=True)
    assert stays(changed("embed", pool="serve"), before) == UnchangedJobs()


def test_without_an_answer_nothing_is_run_again_by_a_guess() -> None:
    def look() -> Mapping[str, JobState]:
        raise UnreachableError("cw: the Kubernetes API server does not answer")

    found = unchanged_jobs(changed("embed", pool="serve"), state(sample("coreweave")), look)
    assert list(found.paths) == ["embed"]
    assert "can't read whether it has finished (cw: the Kubernetes API server does not answer)" in found.notes[0]


# what a migration leaves

MARKED = sample("coreweave").finished({"embed": "aws-east"})


def test_a_job_that_ended_elsewhere_is_suspended_and_stays_so() -> None:
    (job,) = [item for item in render.platform_objects(MARKED) if item.name == "workload/embed:job"]
    assert job.manifest["spec"]["suspend"] is True
    assert with_finished_marks(sample("coreweave"), state(MARKED)) == MARKED
    assert with_finished_marks(changed("embed", pool="serve"), state(MARKED)).marks == {"embed": "aws-east"}
    marked = state(MARKED)
    not_made_yet = marked.with_resources(each for each in marked.resources if not each.name.endswith(":job"))
    assert with_finished_marks(sample("coreweave"), not_made_yet) == MARKED
    assert with_finished_marks(changed("embed", args=("--all",)), not_made_yet).marks == {}


def test_a_mark_goes_with_a_change_of_what_the_job_runs() -> None:
    assert with_finished_marks(changed("embed", image="acme/embed:2"), state(MARKED)).marks == {}


def test_a_mark_goes_with_a_job_that_was_made_to_run() -> None:
    """As after a restart that was killed before it wrote its outputs."""
    assert with_finished_marks(sample("coreweave"), state(MARKED, ran=sample("coreweave"))).marks == {}


def test_a_deployment_without_marks_is_written_as_it_always_was() -> None:
    written = sample("coreweave").model_dump(mode="json")
    assert all("finished_in" not in workload for workload in written["workloads"])
    assert "finished_in" not in sample("coreweave").model_dump_json()
    assert Deployment.model_validate(written) == sample("coreweave")
    assert Deployment.model_validate(MARKED.model_dump(mode="json")) == MARKED
    assert MARKED.digest != sample("coreweave").digest


def written_by_an_older_meshctl(deployment: Deployment) -> StackState:
    """Jobs whose texts stand in the state as the mesh has them, with the variables in the order of their names."""
    before = state(deployment)
    for resource in before.of_type("kubernetes:batch/v1:Job"):
        main = resource.inputs["spec"]["template"]["spec"]["containers"][0]
        workload = deployment.workload(main_name(resource.name))
        main.update({key: list(getattr(workload, key)) for key in ("command", "args") if getattr(workload, key)})
        env = [{**entry, "value": workload.env[entry["name"]]} if entry["name"] in workload.env else entry
               for entry in main["env"] if entry["name"] not in ("MESH_HOSTS", "MESH_ADDRESS")]  # fmt: skip
        main["env"] = sorted(env, key=lambda entry: str(entry["name"]))
    return before


def main_name(logical_name: str) -> str:
    return logical_name.removeprefix("workload/").removesuffix(":job")


TEXTS: dict[str, Any] = {
    "args": ("echo $$ $(HOME)",),
    "command": ("sh", "-c", "exec $(MESH_HOSTS) $$"),
    "env": {"A": "$(MESH_LEADER)", "Z": "$$"},
}


def test_a_job_whose_texts_alone_are_written_in_another_way_stays() -> None:
    """Whether it runs or not: a newer meshctl does not end a training."""

    def look() -> Mapping[str, JobState]:
        raise AssertionError("asked")

    deployment = changed("pretrain", **TEXTS)
    before = written_by_an_older_meshctl(deployment)
    found = unchanged_jobs(deployment, before, look)
    assert found.paths == {"pretrain": ("spec.template",)}
    (note,) = found.notes
    assert "workload/pretrain is left unchanged, as an older meshctl made it" in note
    assert "`meshctl restart pretrain --env coreweave-1`" in note


@pytest.mark.parametrize(
    "fields",
    [
        {"args": ("echo $ $(HOME)",)},
        {"args": ("echo $$$$ $(HOME)",)},
        {"env": {"A": "$(MESH_LEADER)", "Z": "$$$$"}},
        {"env": {"A": "$(MESH_LEADER)"}},
        {"env": {**TEXTS["env"], "B": "1"}},
        {"image": "acme/train:2"},
    ],
)
def test_a_change_of_a_text_that_an_older_meshctl_wrote_asks_for_it(fields: dict[str, Any]) -> None:
    before = written_by_an_older_meshctl(changed("pretrain", **TEXTS))
    assert stays(changed("pretrain", **{**TEXTS, **fields}), before) == UnchangedJobs()


def test_a_finished_job_with_older_texts_stays_when_its_pool_changes() -> None:
    before = written_by_an_older_meshctl(changed("embed", args=("$$",)))
    found = stays(changed("embed", args=("$$",), pool="serve"), before)
    assert found.paths == {"embed": ("spec.template",)}
    assert "has finished and is left unchanged" in found.notes[0]


def test_a_mark_stays_with_a_job_whose_texts_an_older_meshctl_wrote() -> None:
    deployment = changed("embed", args=("$$",)).finished({"embed": "dc1"})
    before = written_by_an_older_meshctl(deployment)
    assert with_finished_marks(changed("embed", args=("$$",)), before).marks == {"embed": "dc1"}


def test_a_gang_that_runs_with_fewer_nodes_is_left_as_it_is() -> None:
    """To make it anew would give it the size that the state has, for which there are not enough nodes."""
    elastic = changed("pretrain", replicas=2, least_nodes=1)
    small = elastic.shifted((), (), {"pretrain": 1})
    running = {"pretrain": JobState("pretrain")}
    unchanged = stays(small, state(elastic), running)
    assert unchanged == UnchangedJobs({"pretrain": ("spec.completions", "spec.parallelism")})
    new_image = changed("pretrain", small, image="acme/train:2")
    unchanged = stays(new_image, state(elastic), running)
    assert unchanged.paths == {"pretrain": ("spec.completions", "spec.parallelism", "spec.template")}
    (note,) = unchanged.notes
    assert "its changes wait for `meshctl shift coreweave-1 --undo`" in note


def with_spare(*, lends: bool) -> Deployment:
    """`sweep` of the pool `train` may borrow from `serve`, and from `spare` where that lends."""
    spare = {**H100, "nodes": 1, **({"lend": {"upTo": 1}} if lends else {})}
    pools = {"serve": {**H100, "nodes": 2, "lend": {"upTo": 1}}, "train": {**H100, "nodes": 1}, "spare": spare}
    facts = Facts(nodes=NODES, served_apis=(CLUSTER_QUEUE,))
    deployment = resolved(pools, DC, facts, workloads={"chat": chat(), "sweep": sweep()}).deployment
    assert deployment is not None
    return deployment


@pytest.mark.parametrize(("before", "after"), [(False, True), (True, False)])
@pytest.mark.parametrize("ended", ["", "failed"])
def test_a_started_job_is_not_lost_because_a_pool_lends_or_lends_no_more(before: bool, after: bool, ended: Any) -> None:
    jobs = {"sweep": JobState("sweep", ended)}
    unchanged = stays(with_spare(lends=after), state(with_spare(lends=before)), jobs)
    assert unchanged.paths == {"sweep": ("spec.template",)}
    (note,) = unchanged.notes
    now, then = ("train, serve, spare", "train, serve") if before else ("train, serve", "train, serve, spare")
    why = "as it has failed" if ended else f"until it ends it runs on nodes of {now}"
    assert f"{why}; `meshctl restart sweep --env e` runs it again, on nodes of {then}" in note


def test_a_job_that_waits_in_its_queue_may_start_on_the_nodes_of_a_new_lender() -> None:
    waiting = {"sweep": JobState("sweep", suspended=True)}
    assert stays(with_spare(lends=True), state(with_spare(lends=False)), waiting) == UnchangedJobs()


def test_a_job_whose_own_pool_or_work_changes_with_its_lenders_is_made_anew() -> None:
    running = {"sweep": JobState("sweep")}
    after = with_spare(lends=True)
    for other in ({"image": "acme/sweep:2"}, {"pool": "spare"}):
        made = changed("sweep", after, **other)
        assert stays(made, state(with_spare(lends=False)), running) == UnchangedJobs()


def test_without_an_answer_a_job_with_other_lenders_stays() -> None:
    def unknown() -> Mapping[str, JobState]:
        raise UnreachableError("e can't be reached")

    unchanged = unchanged_jobs(with_spare(lends=True), state(with_spare(lends=False)), unknown)
    assert list(unchanged.paths) == ["sweep"]
