"""Plans the `up` of an environment: reads what a plan needs, all at once, and runs the engine's preview. EDGE.

Called by `session`, and by `environment_up` to learn which data an `up` would lose. `preview` puts the plan together.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from meshctl.changes import Plan
from meshctl.changes.losses import Loss
from meshctl.clients.kubernetes import clusters
from meshctl.deploy import rewritten
from meshctl.deploy.fields.ownership import Ownership
from meshctl.deploy.guards import cluster_identity, pod_fields, preconditions, preflight, protection
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.guards.running.pods import given_fabrics
from meshctl.deploy.guards.running.pools import running_zones
from meshctl.deploy.jobs.finished_jobs import UnchangedJobs
from meshctl.deploy.jobs.unchanged_jobs import read_unchanged_jobs
from meshctl.deploy.runs import drift_check, preview
from meshctl.deploy.runs.drift_check import DriftCheck
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
    with ThreadPoolExecutor(max_workers=9) as pool:
        reads = _Reads(pool, stacks, deployment, cluster, checks_drift=checks_drift)
        try:
            steps = reads.run.preview().steps
        except MeshError:
            reads.allowed.result()  # an error of the location explains more than the engine's
            reads.owned.result()
            raise
        reads.allowed.result()
        reads.drift.result()
    if stacks.command == "up":
        reads.owned.result().refuse(stacks.command)
    read = PreviewReads(
        reads.state.result(),
        reads.owned.result(),
        reads.unchanged.result(),
        reads.dns_records.result(),
        reads.drift.result(),
        steps,
        _notes(stacks, deployment, reads),
    )
    return preview.plan(reads.run, reads.running.result(), read, stacks.environments.dns)


class _Reads:
    """What a plan needs, read at the same time. Each read waits for those that it needs itself, and so does the
    preview, whose program asks for some of them.

    `running`: the deployment in the zones that have its machines, with the pods as they run. `allowed`: that nothing
    forbids the run. `drift`: None where it is not looked for.
    """

    state: Future[StackState]
    findings: Future[Findings]
    running: Future[Deployment]
    live: Future[tuple[str, ...]]
    owned: Future[Ownership]
    unchanged: Future[UnchangedJobs]
    dns_records: Future[dict[str, DnsRecord]]
    allowed: Future[None]
    drift: Future[DriftCheck | None]

    def __init__(
        self,
        pool: ThreadPoolExecutor,
        stacks: StackRuns,
        deployment: Deployment,
        cluster: str | None,
        *,
        checks_drift: bool,
    ) -> None:
        self._stacks, self._deployment, self._cluster, self._checks_drift = stacks, deployment, cluster, checks_drift
        self.run = stacks.environment_run(
            deployment,
            cluster,
            lambda: self.state.result(),
            lambda: self.owned.result().kept_values(preview=True),
            lambda: self.unchanged.result(),
            placed=self._placed,
            quiet=True,  # a preview is over before anybody could read its progress
        )
        self.state = pool.submit(self._state)
        self.findings = pool.submit(lambda: stacks.ask_platform(deployment, self.state.result()))
        self.running = pool.submit(lambda: running_pods.with_running_pods(self._placed(), self.state.result()))
        self.live = pool.submit(lambda: stacks.live_notes(deployment, self.state.result(), looks=checks_drift))
        self.owned = pool.submit(self._owned)
        self.unchanged = pool.submit(lambda: read_unchanged_jobs(self.running.result(), self.state.result()))
        self.dns_records = pool.submit(self._dns_records)
        self.allowed = pool.submit(self._check)
        self.drift = pool.submit(self._drift)

    def _state(self) -> StackState:
        return self.run.state(plain_secrets=secret_revisions.has_secrets(self._deployment))

    def _placed(self) -> Deployment:
        return self._stacks.placed(self._deployment, self.state.result(), self.findings.result())

    def _owned(self) -> Ownership:
        return drift_check.read_ownership(self.running.result(), self.state.result(), self._stacks.take_over)

    def _dns_records(self) -> dict[str, DnsRecord]:
        """Runs after the state export, not in parallel with it: the program waits for the state, both are CPU-bound."""
        self.state.result()
        return self._stacks.dns_records.current()

    def _drift(self) -> DriftCheck | None:
        if not self._checks_drift:
            return None
        return drift_check.detect_drift(
            self.run, self.running.result(), self.state.result(), self.owned.result(), self.allowed.result
        )

    def _check(self) -> None:
        """Check that the state is of the same cluster, region and account, and that the platform has what the run would
        add.

        Runs in parallel with the preview, whose program waits for the state but not for this. Without AWS credentials
        only the region is compared.
        """
        deployment, state = self.running.result(), self.state.result()
        if self._cluster is not None:
            cluster_identity.check_change(clusters.access(deployment), state, self._cluster)
        with suppress(CredentialsError, UnreachableError):
            left = self.owned.result().resources_with_left_fields
            preconditions.check_change(deployment, state, self._stacks.environments, left)
            if self._cluster is not None:
                pod_fields.check(deployment, state)
        preflight.refuse(deployment, self.findings.result(), running_zones.gaps(deployment, state.deployment))


def _notes(stacks: StackRuns, deployment: Deployment, reads: _Reads) -> tuple[str, ...]:
    running, state = reads.running.result(), reads.state.result()
    return (
        *stacks.remarks.get(deployment.environment, ()),
        *reads.findings.result().notes,
        *reads.live.result(),
        *given_fabrics.notes(deployment, state),
        *running_pods.notes(deployment, running, state),
        *rewritten.notes(running, state),
        *pod_users.notes(running),
    )


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
