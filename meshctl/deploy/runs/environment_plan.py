"""Plans the `up` of an environment: reads what a plan needs, all at once, and runs the engine's preview. EDGE.

Called by `session`, and by `environment_up` to learn which data an `up` would lose. `preview` puts the plan together.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from meshctl.changes import Plan
from meshctl.changes.losses import Loss
from meshctl.clients import clusters
from meshctl.deploy import rewritten
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import cluster_identity, pod_fields, preconditions, preflight, protection
from meshctl.deploy.guards.running import given_fabrics, running_pods, running_zones
from meshctl.deploy.jobs.unchanged_jobs import read_unchanged_jobs
from meshctl.deploy.runs import drift_check, preview
from meshctl.deploy.runs.preview import PreviewReads
from meshctl.deploy.runs.stack_runs import StackRuns
from meshctl.deploy.secrets import secret_revisions
from meshctl.errors import CredentialsError, MeshError, UnreachableError
from meshctl.model.deployment import Deployment
from meshctl.model.pods import pod_users
from meshctl.model.questions import Findings
from meshctl.model.stack_state import StackState
from stacks.edge import DnsRecord


def plan(stacks: StackRuns, deployment: Deployment, *, refresh: bool | None = None) -> Plan:
    """What `up` would do; nothing is changed. `refresh`: whether to check for drift, instead of `stacks.refresh`.

    Raises: EngineError and its leaves, UsageError as `environment_up.up` does.
    """
    checks_drift = stacks.refresh if refresh is None else refresh
    cluster = cluster_identity.declared_cluster_uid_of_preview(deployment, must_answer=checks_drift)
    run = stacks.environment_run(
        deployment,
        cluster,
        lambda: state.result(),
        lambda: owned.result().kept_values(preview=True),
        lambda: unchanged.result(),
        placed=lambda: stacks.placed(deployment, state.result(), findings.result()),
        quiet=True,  # a preview is over before anybody could read its progress
    )
    with ThreadPoolExecutor(max_workers=9) as pool:
        state = pool.submit(lambda: run.state(plain_secrets=secret_revisions.has_secrets(deployment)))
        findings = pool.submit(lambda: stacks.ask_platform(deployment, state.result()))
        running = pool.submit(
            lambda: running_pods.with_running_pods(
                stacks.placed(deployment, state.result(), findings.result()), state.result()
            )
        )
        live = pool.submit(lambda: stacks.live_notes(deployment, state.result(), looks=checks_drift))
        owned = pool.submit(lambda: drift_check.read_ownership(running.result(), state.result(), stacks.take_over))
        unchanged = pool.submit(lambda: read_unchanged_jobs(running.result(), state.result()))
        dns_records = pool.submit(lambda: _dns_records_after(state, stacks))
        allowed = pool.submit(lambda: _check(stacks, running.result(), state.result(), cluster, owned, findings))
        drift = pool.submit(
            lambda: (
                drift_check.detect_drift(run, running.result(), state.result(), owned.result(), allowed.result)
                if checks_drift
                else None
            )
        )
        try:
            steps = run.preview().steps
        except MeshError:
            allowed.result()  # an error of the location explains more than the engine's
            owned.result()
            raise
        allowed.result()
        drift.result()
    if stacks.command == "up":
        owned.result().refuse(stacks.command)
    notes = (
        *stacks.remarks.get(deployment.environment, ()),
        *findings.result().notes,
        *live.result(),
        *given_fabrics.notes(deployment, state.result()),
        *running_pods.notes(deployment, running.result(), state.result()),
        *rewritten.notes(running.result(), state.result()),
        *pod_users.notes(running.result()),
    )
    read = PreviewReads(
        state.result(), owned.result(), unchanged.result(), dns_records.result(), drift.result(), steps, notes
    )
    return preview.plan(run, running.result(), read, stacks.environments.dns)


def _dns_records_after(state: Future[StackState], stacks: StackRuns) -> dict[str, DnsRecord]:
    """Runs after the state export, not in parallel with it: the program waits for the state, both are CPU-bound."""
    state.result()
    return stacks.dns_records.current()


def _check(
    stacks: StackRuns,
    deployment: Deployment,
    state: StackState,
    cluster: str | None,
    owned: Future[Ownership],
    findings: Future[Findings],
) -> None:
    """Check that the state is of the same cluster, region and account, and that the platform has what the run would
    add. `cluster`: as for `StackRuns.environment_run`.

    Runs in parallel with the preview, whose program waits for the state but not for this. Without AWS credentials
    only the region is compared.
    """
    if cluster is not None:
        cluster_identity.check_change(clusters.access(deployment), state, cluster)
    with suppress(CredentialsError, UnreachableError):
        left = owned.result().resources_with_left_fields
        preconditions.check_change(deployment, state, stacks.environments, left)
        if cluster is not None:
            pod_fields.check(deployment, state)
    preflight.refuse(deployment, findings.result(), running_zones.gaps(deployment, state.deployment))


def losses_of_up(
    stacks: StackRuns, deployment: Deployment, state: StackState, previewed: Plan | None, *, needs_preview: bool
) -> tuple[Loss, ...]:
    """The data that bringing up `deployment` would lose. A preview takes seconds, so one is made only if data could be
    lost at all.

    `previewed`: the plan, if it has been made a moment ago. `needs_preview`: resources have drifted, so the mesh alone
    doesn't tell what an `up` will replace.
    """
    if previewed is not None:
        return previewed.losses
    if not needs_preview and not protection.may_lose(state, deployment):
        return ()
    return plan(stacks, deployment, refresh=False).losses
