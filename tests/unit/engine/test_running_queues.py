"""A job that is up stays with its scheduler and in its queue: its pods can't change, and it would run anew."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.guards.running.pods import running_queues
from meshctl.model.deployment import Deployment, KaiScheduler
from meshctl.model.keys import lending
from meshctl.model.observed import Facts
from meshctl.render.controllers import work
from tests.unit import states
from tests.unit.engine.job_meshes import state
from tests.unit.render.test_kai_queues import GANG, TWO_NODES, deployed
from tests.unit.resolve.lending_meshes import NODES, SERVE, TRAIN, chat, sweep
from tests.unit.resolve.meshes import DC, resolved
from tests.unit.resolve.test_kai import KAI_DC, WITH_KAI

NOT_LENDING = {**SERVE, "lend": None}


def with_jobs(**more: Any) -> Deployment:
    return deployed(pretrain=GANG, train=TWO_NODES, **more)


def queue_of(deployment: Deployment, workload: str) -> str:
    return deployment.workload(workload).kai_queue


def job_specs(deployment: Deployment) -> dict[str, Any]:
    objects = [item for item in render.platform_objects(deployment) if item.kind == "Job"]
    return {item.name: item.manifest["spec"] for item in objects}


def test_a_job_that_runs_as_the_pool_begins_to_lend_goes_on_and_is_counted_later() -> None:
    before, now = with_jobs(serve=NOT_LENDING, sweep=None), with_jobs()
    running = running_pods.with_running_pods(now, state(before))
    assert queue_of(now, "pretrain") == "m.train"
    assert queue_of(running, "pretrain") == ""
    assert running.workload("pretrain").held_together == before.workload("pretrain").held_together
    assert job_specs(running)["workload/pretrain:job"] == job_specs(before)["workload/pretrain:job"]
    (note,) = running_queues.notes(now, running)
    assert note == (
        "workload/pretrain keeps running; KAI Scheduler counts it only after its next start:"
        " `meshctl restart pretrain --env e` runs it again, in the queue m.train"
    )


def test_a_job_that_is_made_anew_is_counted_at_once() -> None:
    before = with_jobs(serve=NOT_LENDING, sweep=None)
    now = with_jobs(serve=SERVE)
    changed = tuple(
        each.model_copy(update={"image": "ghcr.io/acme/train:2"}) if each.name == "pretrain" else each
        for each in now.workloads
    )
    running = running_queues.as_they_are_up(now.model_copy(update={"workloads": changed}), state(before))
    assert queue_of(running, "pretrain") == "m.train"
    assert queue_of(running_queues.as_they_are_up(now, states.NOTHING), "pretrain") == "m.train"


def test_queues_stay_for_jobs_that_are_in_them_when_nothing_is_lent_any_more() -> None:
    before, now = with_jobs(), with_jobs(serve=NOT_LENDING)
    assert now.kai is None
    running = running_queues.as_they_are_up(now, state(before))
    assert queue_of(running, "sweep") == "m.serve.lent"
    made = {item.name: item for item in render.platform_objects(running)}
    lent = made["pool/serve:kai-lent-queue"].manifest["spec"]["resources"]["gpu"]
    assert lent == {"quota": 0, "limit": 0, "overQuotaWeight": 1}, "nothing more is lent"
    assert "pool/serve:kai-lent-queue" in made["workload/sweep:job"].depends_on
    # what serves is the cluster's own scheduler's again
    assert queue_of(running, "chat") == ""
    assert "keeps the queue m.serve.lent" in " ".join(running_queues.notes(now, running))
    without_jobs = deployed(serve=NOT_LENDING, sweep=None, chat=chat())
    gone = running_queues.as_they_are_up(without_jobs, state(before))
    assert gone.kai is None
    assert not [item.name for item in render.platform_objects(gone) if "kai" in item.name]


@pytest.mark.parametrize("lenders", [1, 2])
def test_the_queue_of_a_lender_that_left_the_mesh_stays_for_the_job_in_it(lenders: int) -> None:
    """Alone, or beside another pool that lends."""
    more = {"other": TRAIN | {"lend": {"upTo": 1}}} if lenders > 1 else {}
    before, facts = with_jobs(), Facts(nodes=NODES, served_apis=WITH_KAI)
    now = resolved({"train": TWO_NODES, **more}, KAI_DC, facts, workloads={"sweep": sweep(), "pretrain": GANG})
    assert now.deployment is not None, now.gaps
    running = running_pods.with_running_pods(now.deployment, state(before))
    assert queue_of(running, "sweep") == "m.serve.lent"
    made = {item.name: item for item in render.platform_objects(running)}
    lent = made["pool/serve:kai-lent-queue"]
    assert lent.manifest["metadata"]["name"] == "m.serve.lent"
    assert lent.manifest["spec"]["resources"]["gpu"] == {"quota": 0, "limit": 0, "overQuotaWeight": 1}
    assert lent.depends_on == ("platform:kai-queue",)
    assert "platform:kai-queue" in made
    assert "pool/serve:kai-lent-queue" in made["workload/sweep:job"].depends_on
    assert "pool/serve:kai-queue" not in made


def test_from_kueue_to_kai_no_job_runs_anew() -> None:
    before, now = with_jobs(environment=DC), with_jobs()
    running = running_pods.with_running_pods(now, state(before))
    assert queue_of(running, "pretrain") == queue_of(running, "sweep") == ""
    assert queue_of(running, "chat") == "m.serve"


def test_from_kai_to_kueue_no_job_runs_anew() -> None:
    before, now = with_jobs(), with_jobs(environment=DC)
    running = running_pods.with_running_pods(now, state(before))
    assert queue_of(running, "pretrain") == "m.train"
    assert queue_of(running, "sweep") == "m.serve.lent"
    assert "restart sweep --env e` runs it again in the queue train of Kueue" in "".join(
        running_queues.notes(now, running)
    )


def test_from_kai_to_kueue_what_serves_has_its_queue_while_jobs_are_in_those_of_kai() -> None:
    """Kueue holds its pods back for as long as it has none."""
    running = running_pods.with_running_pods(with_jobs(environment=DC), state(with_jobs()))
    made = {item.name: item for item in render.platform_objects(running)}
    (queue,) = [item.manifest for item in made.values() if item.kind == "LocalQueue" and "/serve:" in item.name]
    assert queue["metadata"]["name"] == running.workload("chat").queue == "serve"
    lent = made["pool/serve:kai-lent-queue"].manifest["spec"]["resources"]["gpu"]
    assert lent == {"quota": 0, "limit": 0, "overQuotaWeight": 1}, "it is Kueue that lends"
    assert lending.counter(running) == "Kueue"
    again = running_pods.with_running_pods(with_jobs(environment=DC), state(running))
    assert again == running
    assert running_pods.with_running_pods(running, state(running)) == running
    back = running_pods.with_running_pods(with_jobs(), state(running))
    assert lending.counter(back) == "KAI Scheduler"
    assert not [item.name for item in render.platform_objects(back) if item.kind == "LocalQueue"]


@pytest.mark.parametrize("begins", [True, False])
def test_where_a_pool_with_a_range_begins_or_ends_to_lend_no_job_runs_anew(begins: bool) -> None:
    """The same edit changes whether an autoscaler may move the pods of those that borrow."""
    ranged = {**SERVE, "nodes": {"min": 1, "max": 3}}
    before, now = with_jobs(serve={**ranged, "lend": None}), with_jobs(serve=ranged)
    assert now.workload("sweep").stays_on_node
    assert not before.workload("sweep").stays_on_node
    if not begins:
        before, now = now, before
    running = running_pods.with_running_pods(now, state(before))
    assert queue_of(running, "sweep") == queue_of(before, "sweep")
    specs = job_specs(before)["workload/sweep:job"], job_specs(running)["workload/sweep:job"]
    assert work.stays(*specs), "who may lend to it is no matter for the Job: see `work`"


@pytest.mark.parametrize(("before", "now"), [("", "gpus"), ("gpus", ""), ("gpus", "gpus")])
def test_another_node_pool_runs_jobs_anew_and_it_is_said(before: str, now: str) -> None:
    def in_node_pool(name: str) -> Deployment:
        return with_jobs().model_copy(update={"kai": KaiScheduler(node_pool=name)})

    wanted, up = in_node_pool(now), state(in_node_pool(before))
    running = running_pods.with_running_pods(wanted, up)
    where = "into the node pool gpus" if now else "out of its node pool"
    assert running_pods.notes(wanted, running, up) == tuple(
        f"workload/{name}: is started again, because `lending.nodePool` moves it and its queue {where} of KAI Scheduler"
        for name in ("sweep", "pretrain")
        if before != now
    )


def test_without_kai_nothing_is_looked_at() -> None:
    before = with_jobs(environment=DC)
    assert running_queues.as_they_are_up(before, state(before)) is before
