"""Steps that bring up and destroy environments, and wait for workloads to be ready. EDGE: through `Gateway` alone.

Called by `actions`; `health` and `stopping` have the steps that watch and stop workloads, `checks` the first ones.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from meshctl.deploy.guards.protection import refused_by_migration_destroy
from meshctl.deploy.jobs import held_jobs
from meshctl.errors import MigrationError
from meshctl.migrate.planning import jobs
from meshctl.migrate.steps.context import DONE, NOT_DONE, Observation, State, StepContext
from meshctl.migrate.steps.order.step import Step
from meshctl.model.deployment import utc_text
from meshctl.model.observed import DeployState, JobState, PodState
from meshctl.render.pod import probes

_READY_MARGIN_S = 1200  # beyond what `up` waits for a pod: images and weights of a large model
FINISHING = "meshctl migrations finish"
DESTROYING = "meshctl migrations rollback --destroy-target"


def observe_up(context: StepContext) -> Observation:
    """AMBIGUOUS if something else has changed the environment. Never DONE: an `up` that failed leaves the same outputs
    as one that succeeded, and repeating an `up` creates nothing twice."""
    observation = _observe_deployed(context)
    return NOT_DONE if observation.state is State.DONE else observation


def act_up(context: StepContext) -> dict[str, Any]:
    """An `up`. A job that failed at the target in an earlier try of this step is run again.

    Raises: MigrationError, NoCapacityError where the target has no nodes yet, or none any more, before anything is
    stopped at the source.
    """
    failed = failed_jobs(context) if context.step.phase == "start" else {}
    result = context.gateway.up(context.deployment, context.say)
    if _needs_nodes(context.step) and result.starts:
        raise _no_nodes_yet(context.deployment.environment, result.starts)
    if _needs_nodes(context.step) and result.ended_blocks is not None:
        raise result.ended_blocks
    for name in failed:
        context.say(f"{name} had failed; running it again")
        context.gateway.rerun_job(context.deployment, name, context.say)
    return {"run_again": sorted(failed)} if failed else {}


def _needs_nodes(step: Step) -> bool:
    """What stops at the target needs none: a rollback may well be away from a block that has ended. Neither do replicas
    that follow load again, once names lead where they are to lead."""
    return step.side == "target" and step.action == "up" and bool(step.workloads or step.name == "provision/target")


def _no_nodes_yet(environment: str, starts: Mapping[str, str]) -> MigrationError:
    pools = ", ".join(f"pool {name} ({utc_text(moment)})" for name, moment in starts.items())
    return MigrationError(
        f"{environment} has no nodes yet for {pools}",
        why="their capacity reservation begins then, and what moves there could not run before",
        hint="`meshctl migrations resume` after that goes on; `meshctl migrations rollback` gives the migration up",
    )


def verify_up(context: StepContext) -> dict[str, Any]:
    if _observe_deployed(context).state is not State.DONE:
        raise MigrationError(
            f"{context.deployment.environment} is not what was brought up", why=_observe_deployed(context).reason
        )
    names = ", ".join(sorted(context.step.workloads)) or "nothing"
    hint = f"`meshctl status {context.deployment.environment}` shows why"
    passed_over: set[str] = set()
    ready = f"{names} to be ready in {context.deployment.environment}"
    context.wait_until(ready, lambda: _not_ready(context, passed_over), _ready_limit_s(context), hint)
    return {"ready": {name: len(_ready_pods(context, name)) for name in sorted(context.step.workloads)}}


def _ready_limit_s(context: StepContext) -> int:
    """As long as the slowest of the step's workloads may take to start, and a margin."""
    workloads = [context.deployment.workload(name) for name in context.step.workloads]
    return max(map(probes.ready_s, workloads), default=0) + _READY_MARGIN_S


def _observe_deployed(context: StepContext) -> Observation:
    planned = context.deployment
    deployed = context.gateway.deployed(planned.environment)
    if deployed is None:
        return NOT_DONE
    deployed = deployed.placed_as(planned)
    if deployed.unshifted == planned.unshifted:
        return DONE
    if deployed.bare == planned.bare or context.step.name == "provision/target":
        return NOT_DONE
    if context.step.side == "target" and {each.name for each in deployed.workloads} == context.plan.serving:
        return NOT_DONE  # what the expansion had brought up: `provision/target` was stopped before it changed anything
    return Observation(
        State.AMBIGUOUS,
        reason=f"something else has changed {planned.environment} since the migration was planned",
        ask=f"whether the migration may undo that change: `meshctl status {planned.environment}`",
    )


def _own_pods(context: StepContext, workload: str) -> list[PodState]:
    """Those that are waited for: not the ones on nodes that other pools lend."""
    return [pod for pod in context.gateway.pods(context.deployment, workload) if not pod.is_lent]


def _ready_pods(context: StepContext, workload: str) -> list[str]:
    return [pod.name for pod in _own_pods(context, workload) if pod.ready or pod.phase == "Succeeded"]


def _not_ready(context: StepContext, passed_over: set[str]) -> str:
    """What is still missing, in words. A failed job gets no more pods, so it is not waited for; `passed_over` are the
    failed jobs that were already reported.

    Raises: MigrationError for a failed job. Not in a rollback: there a job may have failed long before the migration,
    which must not prevent the rollback.
    """
    failed = failed_jobs(context)
    if context.step.phase != "rollback":
        refuse_failed(context, failed)
    for name in sorted(failed.keys() - passed_over):
        context.say(f"not waiting for {name}, which has failed in {context.deployment.environment}: {failed[name].why}")
    passed_over.update(failed)
    return missing_pods(context, but=failed.keys())


def refuse_failed(context: StepContext, failed: Mapping[str, JobState]) -> None:
    """Raises: MigrationError for the first of the jobs. The next run repeats the step that starts it, which runs the
    job again (`act_up`)."""
    for name, state in failed.items():
        raise MigrationError(
            f"the job of {name} has failed in {context.deployment.environment}",
            why=state.why,
            hint="fix the cause, then `meshctl migrations resume` runs the job again",
        )


def failed_jobs(context: StepContext) -> dict[str, JobState]:
    """The step's jobs that have failed."""
    names = sorted(name for name in context.step.workloads if context.deployment.workload(name).is_job)
    states = context.gateway.jobs(context.deployment) if names else {}
    return {name: states[name] for name in names if jobs.has_failed(states, name)}


def missing_pods(context: StepContext, but: Collection[str] = ()) -> str:
    """The first of the step's workloads (without `but`) that has too few ready pods, in words; "" if there is none."""
    deployment = context.deployment
    names = [name for name in sorted(context.step.workloads) if name not in but and deployment.workload(name).runs]
    without_pods: frozenset[str] = frozenset()  # jobs whose pods may already be deleted, or that wait for others
    if context.has_jobs(names):
        states = context.gateway.jobs(deployment)
        without_pods = jobs.completed_jobs(deployment, states) | held_jobs.waiting_jobs(deployment, states).keys()
    for name in (name for name in names if name not in without_pods):
        wanted = deployment.workload(name).pods
        ready = len(_ready_pods(context, name))
        if ready < wanted:
            pods = _own_pods(context, name)
            reason = next((f": {pod.name}: {pod.reason}" for pod in pods if not pod.ready and pod.reason), "")
            return f"{name} has {ready} of {wanted} pods ready{reason}"
    return ""


def before_destroy(context: StepContext) -> dict[str, Any]:
    """The data that will be deleted, for the journal. Raises: ProtectedDataError with the data that the user has not
    agreed to lose."""
    lost = context.gateway.losses_by_destroy(context.planned_side(context.step.side), keep_data=_keeps_data(context))
    not_agreed = context.history.not_agreed(lost)
    if not_agreed:
        raise refused_by_migration_destroy(
            context.planned_side(context.step.side).environment, not_agreed, _command(context)
        )
    return {"data_losses": [loss.document() for loss in lost]} if lost else {}


def act_destroy(context: StepContext) -> dict[str, Any]:
    """Always run, whatever exists: nodes are deleted after the namespace, and kept buckets are adopted last."""
    keep_data = _keeps_data(context)
    context.gateway.destroy(
        context.planned_side(context.step.side),
        keep_data=keep_data,
        allow_data_loss=context.history.allows_data_loss,
        command=_command(context),
        say=context.say,
    )
    return {"data_kept": keep_data}


def _command(context: StepContext) -> str:
    """The command that destroys the side. It needs no id: the open migration is always the newest."""
    return FINISHING if context.step.side == "source" else DESTROYING


def verify_destroy(context: StepContext) -> dict[str, Any]:
    left = context.gateway.deploy_state(context.deployment.environment)
    may_stay = (DeployState.NOTHING, DeployState.STORAGE) if _keeps_data(context) else (DeployState.NOTHING,)
    if left not in may_stay:
        raise MigrationError(
            f"{context.deployment.environment} still exists after it was destroyed",
            hint=f"`meshctl status {context.deployment.environment}` shows what is left",
        )
    return {"data_kept": left is DeployState.STORAGE}


def _keeps_data(context: StepContext) -> bool:
    return not context.history.options.get("delete_data") or context.step.side == "target"
