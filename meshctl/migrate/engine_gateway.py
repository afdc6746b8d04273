"""The gateway of a migration on the real engine: stacks, clusters, object stores, DNS. EDGE.

Made by `cli.migrate`; the steps know only the protocol (`gateway.Gateway`).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from meshctl.bench import fabric
from meshctl.bench.cluster_jobs import Holder
from meshctl.changes.losses import Loss
from meshctl.clients.endpoints import health_checks
from meshctl.clients.endpoints.health_checks import Answer, Place, Question
from meshctl.clients.kubernetes import clusters, rolled_out
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.deploy_state import deploy_state
from meshctl.deploy.fields import ownership
from meshctl.deploy.guards import cluster_identity, name_rights, upgrade
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.jobs import job_states
from meshctl.deploy.session import Session
from meshctl.dns.lookup import address_of, addresses_of, dns_server, resolve
from meshctl.engine.events import Progress
from meshctl.errors import UnreachableError
from meshctl.measure.results import Result
from meshctl.migrate.gateway import EndpointTarget, PendingChanges, Say, UpResult
from meshctl.model.deployment import Deployment, Endpoint, ObjectStore
from meshctl.model.dns_splits import Split
from meshctl.model.observed import DeployState, JobState, PodState
from meshctl.model.pods import object_names
from meshctl.model.questions import Findings
from meshctl.objects import object_access
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess
from meshctl.project import Project

# subjects below the workloads: a change may replace nodes, networks or volumes that workloads are using
_BELOW_WORKLOADS = ("cluster", "network", "pool/", "storage/")


def build_gateway(project: Project) -> EngineGateway:
    """Raises: UsageError when MESHCTL_DNS_SERVER is malformed."""
    dns_server()  # checked now, because otherwise a migration would fail only at its cutover
    return EngineGateway(project)


class EngineGateway:
    """The contract of each method is in `gateway.Gateway`."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._session = project.session
        self._refreshed: set[str] = set()  # environments whose state an `up` of this command has refreshed
        self._clusters: dict[str, ClusterAccess] = {}  # cached, because exporting the state for each poll would be slow

    def deployment(self, environment: str, moved_from: Deployment, workload: str = "") -> Deployment:
        state = self._session.state(environment)
        project = self._project.with_workload(workload) if workload else self._project
        deployment = project.deployment(environment, moved_from=moved_from)
        return running_pods.with_running_pods(upgrade.with_running_version(deployment, state), state)

    def pending_changes(self, deployment: Deployment) -> PendingChanges:
        plan = self._session.plan(deployment)
        changes = [*plan.changes, *plan.outside]
        below = frozenset(change.subject for change in changes if change.subject.startswith(_BELOW_WORKLOADS))
        gone = frozenset(change.subject for change in plan.outside if change.action == "create")
        return PendingChanges(below - gone, gone)

    def deployed(self, environment: str) -> Deployment | None:
        return self._session.deployed(environment)

    def deploy_state(self, environment: str) -> DeployState:
        return deploy_state(self._session.state(environment))

    def check_cluster(self, deployment: Deployment) -> None:
        if not clusters.is_made(deployment):
            self._session.check_cluster(clusters.access(deployment))

    def take_over(self, fields: tuple[str, ...]) -> None:
        self._session.take_over = fields

    def check_take_over(self, fields: tuple[str, ...], *deployments: Deployment) -> None:
        ownership.checked_take_over(fields, *deployments)

    def check_fields(self, deployment: Deployment, command: str = "migrate") -> None:
        state = self._session.state(deployment.environment)
        ownership.read_ownership(deployment, state, self._session.take_over).refuse(command)

    def up(self, deployment: Deployment, say: Say) -> UpResult:
        environment = deployment.environment
        self._clusters.pop(environment, None)
        # refresh once in a command: later steps only stop and start workloads
        self._session.refresh = environment not in self._refreshed
        with _progress_to(self._session, say):
            result = self._session.up(deployment, set_names=False, keep_marks=False)
        self._refreshed.add(environment)  # only now: if the `up` failed, its refresh may be what failed
        return UpResult(result.addresses, result.starts, result.ended_blocks)

    def up_workloads(self, deployment: Deployment, workloads: Collection[str], say: Say) -> None:
        with _progress_to(self._session, say):
            self._session.up_workloads(deployment, workloads)

    def wanted_of_fabric(self, fabric: str) -> float | None:
        declared = self._project.mesh.fabrics.get(fabric)
        return declared.expect or 0.0 if declared is not None else None

    def measure_fabric(self, deployment: Deployment, pool: str, stop: Stop, say: Say) -> Sequence[Result]:
        access, store = self._access(deployment), self._project.state_store
        # the lock of the migration keeps others from measuring there
        holder = Holder(check=stop.check, is_alone=True)
        return fabric.measure_and_keep(deployment, pool, access, store, say, holder=holder)

    def destroy(
        self, deployment: Deployment, *, keep_data: bool, allow_data_loss: bool, command: str, say: Say
    ) -> None:
        self._clusters.pop(deployment.environment, None)
        with _progress_to(self._session, say):
            destroy = self._session.destroy_keeping_data if keep_data else self._session.destroy_with_data
            destroy(deployment, allow_data_loss=allow_data_loss, command=command)

    def losses_by_destroy(self, deployment: Deployment, *, keep_data: bool) -> Sequence[Loss]:
        return self._session.lost_by_destroy(deployment.environment, keep_buckets=keep_data)

    def losses_by_up(self, deployment: Deployment) -> Sequence[Loss]:
        return self._session.lost_by_up(deployment)

    def addresses(self, deployment: Deployment) -> Mapping[str, str]:
        access = self._access(deployment)
        services = {
            each.name: object_names.endpoint_service(each.workload, is_internal=each.is_internal)
            for each in deployment.endpoints
        }
        by_endpoint = {
            name: clusters.load_balancer(access, deployment.namespace, service) for name, service in services.items()
        }
        return {name: address for name, address in by_endpoint.items() if address}

    def ip_addresses(self, address: str) -> Sequence[str]:
        return addresses_of(address)

    def point_endpoints(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        self._session.dns_records.move(deployment, addresses)

    def endpoint_targets(self) -> Mapping[str, EndpointTarget]:
        records = self._session.dns_records.current()
        return {name: EndpointTarget(r.environment, r.address, r.ttl_s) for name, r in records.items()}

    def splits(self) -> Mapping[str, Split]:
        records = self._session.dns_records.current()
        return {name: record.split for name, record in records.items() if record.split is not None}

    def write_splits(self, hosts: Mapping[str, str], splits: Mapping[str, Split]) -> None:
        self._session.dns_records.split(hosts, splits)

    def lead_to_splits(self, endpoints: Collection[str]) -> None:
        self._session.dns_records.lead_to_splits(endpoints)

    def name_rights(self) -> Findings:
        return name_rights.ask(self._project.environments)

    def endpoint_ttl_s(self) -> int:
        settings = self._project.environments.dns
        return int(settings.ttl_s) if settings is not None else 0

    def resolve_dns(self, host: str) -> Sequence[str]:
        return resolve(host)

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        try:
            place = Place(address_of(address), deployment.listening_port(endpoint), endpoint.host)
        except UnreachableError as error:
            return Answer(ok=False, text=error.what)
        return health_checks.ask(question, place)

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        return clusters.pods(self._access(deployment), deployment.namespace, workload)

    def not_declared(self, deployment: Deployment, workload: str) -> str:
        return rolled_out.not_declared(self._access(deployment), deployment.namespace, deployment.workload(workload))

    def jobs(self, deployment: Deployment) -> Mapping[str, JobState]:
        if not any(workload.is_job for workload in deployment.workloads):
            return {}
        return job_states.jobs_in_cluster(self._access(deployment), deployment.namespace)

    def rerun_job(self, deployment: Deployment, workload: str, say: Say) -> None:
        with _progress_to(self._session, say):
            self._session.rerun_job(deployment, workload)

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        return clusters.lost_nodes(self._access(deployment), nodes)

    def object_access(self, store: ObjectStore) -> ObjectAccess:
        return object_access.access(store)

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def _access(self, deployment: Deployment) -> ClusterAccess:
        name = deployment.environment
        if name not in self._clusters:
            access = clusters.access(deployment, self._session.outputs(name))
            cluster_identity.check_cluster_unchanged(access)
            self._clusters[name] = access
        return self._clusters[name]


@contextmanager
def _progress_to(session: Session, say: Say) -> Iterator[None]:
    """Passes the engine's messages and failures to `say`, and leaves out its many small operations."""

    def forward(progress: Progress) -> None:
        if progress.state == "message":
            say(f"{progress.subject}: {progress.action}")
        elif progress.state == "failed":
            say(f"{progress.detail}: failed")

    previous, session.on_progress = session.on_progress, forward
    try:
        yield
    finally:
        session.on_progress = previous
