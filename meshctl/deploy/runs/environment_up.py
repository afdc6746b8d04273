"""Brings an environment up: checks, mends the state's drift, runs the engine, and writes the DNS records. EDGE.

Called by `session`. What it returns is printed by `cli.up`, or read by a migration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field

from meshctl.changes import Plan
from meshctl.changes.losses import Loss
from meshctl.clients.kubernetes import clusters
from meshctl.deploy import rewritten
from meshctl.deploy.capacity import idle_cost, scarce_pools, scheduled_pools
from meshctl.deploy.endpoints import endpoint_answers
from meshctl.deploy.ends import group_ends, weka_ends
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import (
    cluster_identity,
    deleted_entries,
    pod_fields,
    preconditions,
    preflight,
    protection,
    shared_proofs,
    volume_sizes,
)
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.guards.running.pods import changed_groups, given_fabrics
from meshctl.deploy.guards.running.pools import running_zones
from meshctl.deploy.jobs import finished_jobs, gone_jobs, held_jobs, job_states, paused_jobs
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.jobs.unchanged_jobs import read_unchanged_jobs
from meshctl.deploy.runs import begun_pools, drift_check, early_context, environment_plan, plans
from meshctl.deploy.runs.drift_check import DriftCheck
from meshctl.deploy.runs.stack_runs import StackRuns
from meshctl.deploy.secrets import secret_revisions
from meshctl.dns import records
from meshctl.engine import pending
from meshctl.engine.events import Recorder
from meshctl.engine.run import StackRun
from meshctl.errors import (
    JobsFailedError,
    MeshError,
    NewerVersionError,
    NoCapacityError,
    ResourcesFailedError,
    UnreadableError,
)
from meshctl.model.deployment import Deployment
from meshctl.model.questions import Findings
from meshctl.model.stack_state import StackOutputs, StackState
from stacks.edge import DnsRecord


@dataclass(frozen=True)
class UpResult:
    """What an `up` did: the addresses by endpoint, all outputs, and the changes as a plan.

    `failed_jobs` is the error with which the command is to end although everything was deployed. `waiting_jobs` are up
    and have not started: what each of them waits for, by workload; so are the workloads of pools whose reservations
    begin later. `starts`: when they do, in RFC 3339, by pool. `ended_blocks` is the error of pools whose capacity block
    is over: as with `failed_jobs`, everything else was deployed.
    """

    addresses: dict[str, str]
    outputs: StackOutputs
    plan: Plan
    failed_jobs: JobsFailedError | None = None
    waiting_jobs: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)
    ended_blocks: NoCapacityError | None = None


@dataclass(frozen=True)
class _Checked:
    """What was read before an `up`, once nothing of it forbids the run.

    `placed` has its pools in the zones that have their machines; `deployment` has the pods as they run as well.
    """

    state: StackState
    findings: Findings
    placed: Deployment
    deployment: Deployment
    owned: Ownership
    notes: tuple[str, ...]  # of releases, fabrics and groups
    drift: DriftCheck = field(default_factory=DriftCheck)


def up(
    stacks: StackRuns,
    deployment: Deployment,
    *,
    set_names: bool = True,
    previewed: Plan | None = None,
    allow_data_loss: bool = False,
    keep_marks: bool = True,
) -> UpResult:
    """Bring the environment up.

    `set_names`: also write the DNS records that belong to nobody or to this environment, and remove its own ones
    that the mesh no longer has; those of paused workloads stay as they are. `previewed`: what `environment_plan.plan`
    returned a moment ago, to save a second preview. `keep_marks`: jobs that a migration marked as finished elsewhere
    stay marked; without it, only those that `deployment` marks.

    Raises: ProtectedDataError (storage with data would go; nothing was done), InfeasibleError (the platform lacks
    what the run would add; nothing was done), OwnedFieldsError (fields of other programs; nothing was done),
    UsageError (the environment is in another region, account or cluster; nothing was done), ResourcesFailedError (what
    was made is kept), NoCapacityError (machines of some pools alone are missing), CredentialsError, UnreachableError,
    LockedError, InterruptedByUserError.
    """
    cluster = cluster_identity.declared_cluster_uid(deployment)
    run = stacks.environment_run(
        deployment,
        cluster,
        lambda: checked.state,
        lambda: checked.owned.kept_values(preview=False),
        lambda: unchanged,
        placed=lambda: checked.placed,
        keep_marks=keep_marks,
    )
    checked = _with_drift(stacks, run, _read_and_check(stacks, run, deployment, cluster))
    lost = _agreed_losses(stacks, checked, previewed, allow_data_loss=allow_data_loss)
    _prepare(stacks, run, checked, lost)
    if keep_marks:
        marked = finished_jobs.with_finished_marks(checked.deployment, checked.state)
        checked = dataclasses.replace(checked, deployment=marked)
    unchanged = read_unchanged_jobs(checked.deployment, checked.state)
    record = _run_engine(stacks, run, checked, set_names=set_names)
    _share_proofs(stacks, run, checked.deployment)
    outputs, current = _outputs_and_dns_records(stacks, run, with_records=set_names)
    early_context.write_context_of_outputs(deployment.environment, stacks.folder, outputs)
    plan = _plan_of_run(stacks, checked, unchanged, record, outputs, current, lost, set_names=set_names)
    return _result(stacks, checked.deployment, outputs, current, record, plan, set_names=set_names)


def _read_and_check(stacks: StackRuns, run: StackRun, deployment: Deployment, cluster: str) -> _Checked:
    """Read what the run needs, and raise what forbids it. Nothing is changed, but that whoever runs this gets into the
    cluster again."""
    state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
    deleted_entries.recreate_deleted_entries(deployment.environment, state, stacks.on_progress)
    findings = stacks.ask_platform(deployment, state)
    placed = stacks.placed(deployment, state, findings)
    running = running_pods.with_running_pods(placed, state)
    pod_notes = (*given_fabrics.notes(placed, state), *running_pods.notes(placed, running, state))
    cluster_identity.check_change(clusters.access(running), state, cluster)
    owned = drift_check.read_ownership(running, state, stacks.take_over)
    preconditions.check_change(running, state, stacks.environments, owned.resources_with_left_fields)
    if stacks.command == "up":  # a migration must be able to stop what is up, and to go back to it
        pod_fields.check(running, state)
    owned.refuse(stacks.command)
    preflight.refuse(running, findings, running_zones.gaps(running, state.deployment))
    live_notes = stacks.live_notes(deployment, state, looks=False)
    return _Checked(state, findings, placed, running, owned, (*live_notes, *pod_notes))


def _with_drift(stacks: StackRuns, run: StackRun, checked: _Checked) -> _Checked:
    """The same after a check for drift, which brings the state in line with what exists."""
    deployment, state = checked.deployment, checked.state
    checks_drift = stacks.refresh and bool(state.resources)
    drift = drift_check.refresh_state(run, deployment, state, checked.owned) if checks_drift else DriftCheck()
    if drift.drift or drift.cluster_is_gone or pending.is_interrupted(state):
        state = run.state(plain_secrets=secret_revisions.has_secrets(deployment))
        preconditions.check_object_storage(deployment, state, stacks.environments)  # asks no cluster: it may be gone
    return dataclasses.replace(checked, state=state, drift=drift)


def _agreed_losses(
    stacks: StackRuns, checked: _Checked, previewed: Plan | None, *, allow_data_loss: bool
) -> tuple[Loss, ...]:
    """The data that the run will lose. Raises: ProtectedDataError when nobody has agreed to that."""
    lost = environment_plan.losses_of_up(
        stacks, checked.deployment, checked.state, previewed, needs_preview=bool(checked.drift.engine_drift)
    )
    if lost and not allow_data_loss:
        raise protection.refused_by_up(checked.deployment.environment, lost)
    return lost


def _leave_shared_proofs(stacks: StackRuns, run: StackRun, checked: _Checked) -> None:
    """Records that the run removes and other environments need stay in their zone."""
    going = shared_proofs.going(checked.state, checked.deployment)
    if going:
        run.leave(shared_proofs.of_others(going, stacks.other_states(checked.deployment.environment)))


def _share_proofs(stacks: StackRuns, run: StackRun, deployment: Deployment) -> None:
    """Records that the run has found and another environment had made are of both: the last one to go removes them.
    Where the state of another one can't be read by this version, the next `up` looks again: names wait for this."""
    if not any(endpoint.certificate for endpoint in deployment.endpoints):
        return
    proofs = shared_proofs.made_by_others(run.state())
    if not proofs:
        return
    try:
        others = stacks.other_states(deployment.environment)
    except (NewerVersionError, UnreadableError):
        return
    made = shared_proofs.made_for_others(proofs, others)
    if made:
        run.rewrite(lambda state: state.with_changed(made, shared_proofs.as_made))


def _prepare(stacks: StackRuns, run: StackRun, checked: _Checked, lost: tuple[Loss, ...]) -> None:
    """Change what the engine can't change, or would end in the wrong order. From here on the run acts."""
    deployment, state = checked.deployment, checked.state
    run.empty_on_delete(protection.bucket_urns(lost))
    _leave_shared_proofs(stacks, run, checked)
    volume_sizes.grow(deployment, state)
    changed_groups.end_old(deployment, state)
    if group_ends.without_order_of_deleted_sets(state, deployment) is not state:
        run.rewrite(lambda current: group_ends.without_order_of_deleted_sets(current, deployment))
    if weka_ends.going(state, deployment):
        weka_ends.end_at_once(state)
    checked.owned.take_over(stacks.on_progress)


def _run_engine(stacks: StackRuns, run: StackRun, checked: _Checked, *, set_names: bool) -> Recorder:
    """Raises: as `_run_up`."""
    deployment, state = checked.deployment, checked.state
    paused_jobs.leave_queues(deployment, state)
    begun_pools.keep(run, deployment, state)
    with early_context.context_written_around_up(deployment, stacks.folder, state, run):
        record = _run_up(stacks, run, deployment, state, set_names=set_names)
    # again: a release, which is gone now, may have set a queue meanwhile
    paused_jobs.leave_queues(deployment, state)
    return record


def _run_up(
    stacks: StackRuns, run: StackRun, deployment: Deployment, state: StackState, *, set_names: bool
) -> Recorder:
    """Where only machines were missing, the rest is up: the records of its endpoints are written all the same.

    Raises: NoCapacityError, and as `StackRun.up`.
    """
    try:
        return run.up(state=state)
    except ResourcesFailedError as error:
        stacks.forget_answers()  # they were about a pool that was not there
        explained = scarce_pools.explained(deployment, error)
        if set_names and isinstance(explained, NoCapacityError):
            try:
                outputs, current = _outputs_and_dns_records(stacks, run, with_records=True)
                _write_dns_records(stacks, deployment, outputs, current)
            except MeshError as of_names:  # the missing machines stay the error: `--wait-for-capacity` goes on
                explained.why = f"{explained.why}; its names were not written: {of_names.what}"
        with suppress(MeshError):  # a state that can't be read does not hide what failed
            idle_cost.add(explained, deployment, state, run.state())
        raise explained from error


def _outputs_and_dns_records(
    stacks: StackRuns, run: StackRun, *, with_records: bool
) -> tuple[StackOutputs, dict[str, DnsRecord]]:
    """The stack's outputs, and at the same time the DNS records, which are in another stack."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        current = pool.submit(stacks.dns_records.current) if with_records else None
        outputs = run.outputs()
        return outputs, current.result() if current else {}


def _write_dns_records(
    stacks: StackRuns, deployment: Deployment, outputs: StackOutputs, current: Mapping[str, DnsRecord]
) -> None:
    wanted = records.after_up(deployment, current, outputs.addresses, stacks.environments.dns)
    stacks.dns_records.write(wanted, current)


def _plan_of_run(
    stacks: StackRuns,
    checked: _Checked,
    unchanged: UnchangedJobs,
    record: Recorder,
    outputs: StackOutputs,
    current: Mapping[str, DnsRecord],
    lost: tuple[Loss, ...],
    *,
    set_names: bool,
) -> Plan:
    """The changes that the run has made. `current`: the DNS records before they are written."""
    deployment, state = checked.deployment, checked.state
    with_names = deployment if set_names else deployment.model_copy(update={"endpoints": ()})
    drifted = gone_jobs.drift_with_suspended_jobs(checked.drift.drift, deployment.marks)
    return plans.plan_of_run(
        with_names,
        checked.owned.without_left_fields(record.steps),
        state.deployment,
        records.dns_changes(with_names, current, outputs.addresses, stacks.environments.dns),
        lost,
        drifted,
        (
            *stacks.remarks.get(deployment.environment, ()),
            *gone_jobs.notes_on_gone_jobs(drifted, deployment.environment),
            *unchanged.notes,
            *checked.findings.notes,
            *checked.notes,
            *rewritten.notes(deployment, state),
        ),
    )


def _result(
    stacks: StackRuns,
    deployment: Deployment,
    outputs: StackOutputs,
    current: Mapping[str, DnsRecord],
    record: Recorder,
    plan: Plan,
    *,
    set_names: bool,
) -> UpResult:
    """Write the DNS records, and ask how the jobs do and whether the endpoints answer."""
    if set_names:
        _write_dns_records(stacks, deployment, outputs, current)
    jobs = job_states.jobs_after_up(deployment, outputs, stacks.on_progress)
    failed_jobs = job_states.failed_jobs_error(deployment, jobs)
    waiting = {**held_jobs.waiting_jobs(deployment, jobs), **scheduled_pools.waiting_workloads(deployment)}
    starts = scheduled_pools.starts(deployment)
    if starts:
        stacks.forget_answers()  # the next `up` asks again whether they have begun
    if set_names:  # a migration asks by itself before names lead there
        asker = endpoint_answers.Asker(is_interrupted=lambda: stacks.program.interrupted)
        unanswered = endpoint_answers.notes(deployment, record.steps, outputs.addresses, asker)
        plan = dataclasses.replace(plan, notes=(*plan.notes, *unanswered))
    ended = scheduled_pools.ended(deployment)
    return UpResult(outputs.addresses, outputs, plan, failed_jobs, waiting, starts, ended)
