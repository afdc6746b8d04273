"""Puts together the plan of a preview: the engine's steps, drift, DNS records, data at risk, and notes. EDGE.

Called by `environment_plan` once everything has been read. It runs the engine again only if drift changes what an `up`
would do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshctl.changes import Plan
from meshctl.changes.notes import endpoint_access
from meshctl.changes.steps import Step
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import protection
from meshctl.deploy.jobs import finished_jobs, gone_jobs
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.runs import drift_check, plans
from meshctl.deploy.runs.drift_check import DriftCheck
from meshctl.dns import records
from meshctl.engine.run import StackRun
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Dns
from meshctl.model.stack_state import StackState
from stacks.edge import DnsRecord


@dataclass(frozen=True)
class PreviewReads:
    """What was read for a plan. `drift` is None when the plan was asked for without a look at drift. `notes`: what else
    the plan says."""

    state: StackState
    ownership: Ownership
    unchanged_jobs: UnchangedJobs
    dns_records: Mapping[str, DnsRecord]
    drift: DriftCheck | None
    steps: Sequence[Step]
    notes: Sequence[str] = ()


def plan(run: StackRun, deployment: Deployment, read: PreviewReads, dns: Dns | None) -> Plan:
    """The plan of an `up` of `deployment`. Raises: EngineError and its leaves."""
    state, drift = read.state, read.drift
    steps = read.steps
    if drift is not None and drift.changes_the_preview:
        steps = drift_check.preview_refreshed(run, drift)
    steps = read.ownership.without_left_fields(steps)
    drifted = drift_check.drift_with_job_marks(deployment, state, read.ownership, drift.drift) if drift else ()
    notes = (
        *read.notes,
        *read.ownership.forecasts(drifted),
        *gone_jobs.notes_on_gone_jobs(drifted, deployment.environment),
        *read.unchanged_jobs.notes,
        *plans.notes_without_refresh(
            state, is_refreshed=drift is not None, is_other_profile=drift is not None and drift.is_other_profile
        ),
    )
    addresses = endpoint_access.addresses_after(state.deployment, deployment, state.outputs.addresses)
    return plans.plan_of_preview(
        finished_jobs.with_finished_marks(deployment, state),
        steps,
        state.deployment,
        records.dns_changes(deployment, read.dns_records, addresses, dns),
        protection.lost_by_up(state, deployment, steps),
        notes,
        drifted,
    )
