"""The world of a migration on the real engine: stacks, clusters, object stores, DNS. EDGE.

Made by `cli.migrate`; the steps see only the protocol (`world.World`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from meshctl.changes.losses import Loss
from meshctl.clients import clusters, health_checks
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.clients.health_checks import Answer, Place, Question
from meshctl.deploy.fields import ownership
from meshctl.deploy.guards import cluster_identity, upgrade
from meshctl.deploy.jobs import job_states
from meshctl.deploy.presence import presence
from meshctl.deploy.session import Session
from meshctl.dns.lookup import address_of, dns_server, resolve
from meshctl.engine.events import Progress
from meshctl.errors import UnreachableError
from meshctl.migrate.world import EndpointTarget, Pending, Say, UpResult
from meshctl.model import object_names
from meshctl.model.deployment import Deployment, Endpoint, ObjectStore
from meshctl.model.observed import JobState, PodState, Presence
from meshctl.objects import object_access
from meshctl.objects.store import ObjectAccess
from meshctl.project import Project

# what workloads stand on; a change of it takes nodes, networks or volumes from under them
_GROUND = ("cluster", "network", "pool/", "storage/")


def build_world(project: Project) -> EngineWorld:
    """Raises: UsageError when MESHCTL_DNS_SERVER is malformed: a migration must not find that out at its cutover."""
    dns_server()
    return EngineWorld(project)


class EngineWorld:
    """See `world.World` for what each method promises."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._session = project.session
        self._looked_at: set[str] = set()  # environments whose world an `up` of this command has looked at
        self._clusters: dict[str, ClusterAccess] = {}  # reading a state for each poll would be slow

    def deployment(self, environment: str) -> Deployment:
        return upgrade.kept(self._project.deployment(environment), self._session.state(environment))

    def pending(self, deployment: Deployment) -> Pending:
        plan = self._session.plan(deployment)
        changes = [*plan.changes, *plan.outside]
        ground = frozenset(change.subject for change in changes if change.subject.startswith(_GROUND))
        gone = frozenset(change.subject for change in plan.outside if change.action == "create")
        return Pending(ground - gone, gone)

    def deployed(self, environment: str) -> Deployment | None:
        return self._session.deployed(environment)

    def presence(self, environment: str) -> Presence:
        return presence(self._session.state(environment))

    def check_cluster(self, deployment: Deployment) -> None:
        if not clusters.is_made(deployment):
            self._session.check_cluster(clusters.access(deployment))

    def take_over(self, fields: tuple[str, ...]) -> None:
        self._session.take_over = fields

    def check_take_over(self, fields: tuple[str, ...], *deployments: Deployment) -> None:
        ownership.checked_names(fields, *deployments)

    def check_fields(self, deployment: Deployment, command: str = "migrate") -> None:
        state = self._session.state(deployment.environment)
        ownership.look(deployment, state, self._session.take_over).refuse(command)

    def up(self, deployment: Deployment, say: Say) -> UpResult:
        environment = deployment.environment
        self._clusters.pop(environment, None)
        self._session.refresh = environment not in self._looked_at  # once: later steps only stop and start workloads
        with _telling(self._session, say):
            result = self._session.up(deployment, set_names=False, keep_marks=False)
        self._looked_at.add(environment)  # not before: the look of one that fails may be what failed
        return UpResult(result.addresses)

    def retire(self, deployment: Deployment, *, keep_data: bool, allow_data_loss: bool, command: str, say: Say) -> None:
        self._clusters.pop(deployment.environment, None)
        with _telling(self._session, say):
            self._session.retire(deployment, keep_data=keep_data, allow_data_loss=allow_data_loss, command=command)

    def lost_by_retire(self, deployment: Deployment, *, keep_data: bool) -> Sequence[Loss]:
        return self._session.lost_by_destroy(deployment.environment, keep_buckets=keep_data)

    def lost_by_up(self, deployment: Deployment) -> Sequence[Loss]:
        return self._session.lost_by_up(deployment)

    def addresses(self, deployment: Deployment) -> Mapping[str, str]:
        access = self._access(deployment)
        services = {each.name: object_names.public_service(each.workload) for each in deployment.endpoints}
        found = {
            name: clusters.load_balancer(access, deployment.namespace, service) for name, service in services.items()
        }
        return {name: address for name, address in found.items() if address}

    def point_endpoints(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        self._session.names.move(deployment, addresses)

    def endpoint_targets(self) -> Mapping[str, EndpointTarget]:
        names = self._session.names.current()
        return {name: EndpointTarget(n.environment, n.address, n.ttl_s) for name, n in names.items()}

    def endpoint_ttl_s(self) -> int:
        settings = self._project.environments.dns
        return int(settings.ttl_s) if settings is not None else 0

    def resolve_dns(self, host: str) -> Sequence[str]:
        return resolve(host)

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        port = deployment.workload(endpoint.workload).ports[endpoint.port]
        try:
            place = Place(address_of(address), port, endpoint.host)
        except UnreachableError as error:
            return Answer(ok=False, text=error.what)
        return health_checks.ask(question, place)

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        return clusters.pods(self._access(deployment), deployment.namespace, workload)

    def jobs(self, deployment: Deployment) -> Mapping[str, JobState]:
        if not any(workload.is_job for workload in deployment.workloads):
            return {}
        return job_states.states(self._access(deployment), deployment.namespace)

    def rerun_job(self, deployment: Deployment, workload: str, say: Say) -> None:
        with _telling(self._session, say):
            self._session.remake_job(deployment, workload)

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
            cluster_identity.check_seen(access)
            self._clusters[name] = access
        return self._clusters[name]


@contextmanager
def _telling(session: Session, say: Say) -> Iterator[None]:
    """While it lasts, the engine's waits and failures go to `say`; its many small steps stay silent."""

    def tell(moment: Progress) -> None:
        if moment.state == "message":
            say(f"{moment.subject}: {moment.action}")
        elif moment.state == "failed":
            say(f"{moment.detail}: failed")

    before, session.on_progress = session.on_progress, tell
    try:
        yield
    finally:
        session.on_progress = before
