"""Jobs that are up say of their pods what they came up with: that nobody may move them, or nothing. PURE.

Called by `running_pods`. Versions up to 0.2 said nothing; and a pool gets a range, or loses it. A Job's pods can't be
changed, so another annotation would start the work anew. A Job that is made anew for another reason says what it is to.
"""

from __future__ import annotations

from meshctl.deploy import jobs_in_state
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import evictions
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import jobs, work


def as_they_are_up(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment whose Jobs say of their pods what the running ones do."""
    if not any(each.is_job for each in deployment.workloads):
        return deployment
    specs = jobs_in_state.specs(state)
    words = {
        each.name: evictions.say_that_they_stay(specs[each.name], each.annotations)
        for each in deployment.workloads
        if each.is_job and each.name in specs
    }
    return _with_words(deployment, words)


def where_made_anew(deployment: Deployment, wanted: Deployment, state: StackState) -> Deployment:
    """The deployment whose Jobs say what they are to, where they are made anew anyway. `wanted`: before
    `as_they_are_up`."""
    words = {
        each.name: each.stays_on_node
        for each in wanted.workloads
        if each.is_job and each.stays_on_node != deployment.workload(each.name).stays_on_node
    }
    specs = jobs_in_state.specs(state) if words else {}
    made_anew = {name for name in words if not _stays(deployment, deployment.workload(name), specs[name])}
    return _with_words(deployment, {name: words[name] for name in made_anew})


def _stays(deployment: Deployment, workload: Workload, before: jobs_in_state.Spec) -> bool:
    if workload.name in deployment.jobs_with_fewer_nodes:
        return True  # its Job is left as it is, whatever has changed: see `finished_jobs`
    return work.stays(before, jobs.job(deployment, workload).manifest["spec"])


def _with_words(deployment: Deployment, words: dict[str, bool]) -> Deployment:
    workloads = tuple(
        each.model_copy(update={"stays_on_node": words[each.name]}) if each.name in words else each
        for each in deployment.workloads
    )
    return deployment.model_copy(update={"workloads": workloads})
