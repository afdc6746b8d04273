"""Everything outside a migration: environments, DNS records, pods, object stores, a clock. PURE: only types.

Implemented on the engine by `meshctl.migrate.engine_gateway` and in memory by the tests; used by every step. Each call
returns the state at that moment. An API that does not answer raises UnreachableError, which must never be taken to mean
that something does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from meshctl.changes.losses import Loss
from meshctl.clients.endpoints.health_checks import Answer, Question
from meshctl.errors import NoCapacityError
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, Endpoint, ObjectStore
from meshctl.model.dns_splits import SHARED_BY, Split
from meshctl.model.observed import DeployState, JobState, PodState
from meshctl.model.questions import Findings
from meshctl.objects.progress import Stop
from meshctl.objects.store import ObjectAccess

Say = Callable[[str], None]  # one line of progress for a person


@dataclass(frozen=True)
class UpResult:
    """The result of an `up`: the address of each endpoint (an IP address or a load balancer's host name). `starts`:
    when pools get their nodes that have none yet, in RFC 3339, by pool. `ended_blocks`: of pools that get none any
    more, as their capacity block is over."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    starts: Mapping[str, str] = field(default_factory=dict)
    ended_blocks: NoCapacityError | None = None


@dataclass(frozen=True)
class EndpointTarget:
    """Where an endpoint's DNS record points: the environment, and the record's address and TTL. `environment` joins
    those of a record that leads to weighted records."""

    environment: str
    address: str
    ttl_s: int = 0

    @property
    def environments(self) -> frozenset[str]:
        return frozenset(self.environment.split(SHARED_BY))


@dataclass(frozen=True)
class PendingChanges:
    """What an `up` would do beside changing workloads, as subjects such as `pool/train`. `changed`: resources below the
    workloads that differ because the mesh or meshctl has changed; `gone`: resources that were deleted outside meshctl,
    and that an `up` would create again."""

    changed: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


class Gateway(Protocol):
    """The environments of one mesh."""

    def deployment(self, environment: str, moved_from: Deployment, workload: str = "") -> Deployment:
        """The mesh resolved for `environment` as its files stand now; with `workload`, the part of it that this one
        needs. Where they don't say who reaches an endpoint, it is reached as at the source, `moved_from`.
        Raises: InfeasibleError, UsageError."""

    def pending_changes(self, deployment: Deployment) -> PendingChanges:
        """What an `up` would change below the workloads, or create again. Changes nothing."""

    def deployed(self, environment: str) -> Deployment | None:
        """The deployment that the last `up` declared, with its `paused` marks, whether or not that `up` succeeded. None
        if there was never an `up`, or after a `destroy`."""

    def deploy_state(self, environment: str) -> DeployState:
        """How much of the environment exists, also after an `up` or a `destroy` that did not finish."""

    def check_cluster(self, deployment: Deployment) -> None:
        """Raises: UsageError if the kubeconfig selects another cluster than the one the environment is in;
        CredentialsError, UnreachableError. Not checked where the cluster is part of the environment."""

    def take_over(self, fields: tuple[str, ...]) -> None:
        """Let every `up` from now on set these fields although another program has set them."""

    def check_take_over(self, fields: tuple[str, ...], *deployments: Deployment) -> None:
        """Raises: UsageError if a field belongs to nothing in any of the deployments."""

    def check_fields(self, deployment: Deployment, command: str = "migrate") -> None:
        """Raises: OwnedFieldsError if an `up` would be refused because other programs have set fields. `command` is the
        command that the hint tells the user to repeat."""

    def up(self, deployment: Deployment, say: Say) -> UpResult:
        """Make the environment equal to `deployment`. Workloads marked `paused` get zero pods; DNS records of endpoints
        stay as they are. Raises: OwnedFieldsError, ResourcesFailedError, InterruptedByUserError, LockedError."""

    def up_workloads(self, deployment: Deployment, workloads: Collection[str], say: Say) -> None:
        """Make the objects of these workloads equal to `deployment`, which is what is up but for them; everything else
        stays as it is. Raises: as `up`, and OwnedFieldsError only for fields of these workloads."""

    def wanted_of_fabric(self, fabric: str) -> float | None:
        """The share of its expected bandwidth that the mesh wants of a fabric as its files stand now; 0 where it wants
        none, None where it has no such fabric."""

    def measure_fabric(self, deployment: Deployment, pool: str, stop: Stop, say: Say) -> Sequence[Result]:
        """What all accelerators of a pool exchange, which must be free; kept beside the state. A measurement that a run
        has left which was killed is replaced. Raises: MeasurementError, InterruptedByUserError, and LockedError where
        somebody else has objects of its names."""

    def destroy(
        self, deployment: Deployment, *, keep_data: bool, allow_data_loss: bool, command: str, say: Say
    ) -> None:
        """Destroy the environment, also the rest that an interrupted destroy has left. With `keep_data` buckets with
        data are kept. `command` is the command that an error names. DNS records that lead to other environments stay.
        Raises: ProtectedDataError if data would be lost (`losses_by_destroy`) that nobody has agreed to lose."""

    def losses_by_destroy(self, deployment: Deployment, *, keep_data: bool) -> Sequence[Loss]:
        """The data that a `destroy` would delete; with `keep_data`, only the data of volumes and file systems."""

    def losses_by_up(self, deployment: Deployment) -> Sequence[Loss]:
        """The data that an `up` would delete, or would no longer protect."""

    def addresses(self, deployment: Deployment) -> Mapping[str, str]:
        """The current address of each endpoint's load balancer in this environment."""

    def ip_addresses(self, address: str) -> Sequence[str]:
        """The IP addresses of a load balancer that has this address: itself, or those of its name.
        Raises: UnreachableError if it has none."""

    def point_endpoints(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        """Write the DNS records of these endpoints (endpoint name -> address), marked as belonging to `deployment`'s
        environment. The records of other endpoints stay."""

    def endpoint_targets(self) -> Mapping[str, EndpointTarget]:
        """Where the DNS record of each endpoint points now, by endpoint name."""

    def splits(self) -> Mapping[str, Split]:
        """The weighted records of endpoints, by endpoint name, whether the endpoints' own records lead to them or
        not."""

    def write_splits(self, hosts: Mapping[str, str], splits: Mapping[str, Split]) -> None:
        """Write the weighted records of these endpoints (endpoint name -> host), or remove those of endpoints without a
        split. The endpoints' own records stay as they are."""

    def lead_to_splits(self, endpoints: Collection[str]) -> None:
        """Let the endpoints' own records lead to their weighted records."""

    def name_rights(self) -> Findings:
        """What is known of the rights to share names: missing ones as `caller_gaps`, and notes."""

    def endpoint_ttl_s(self) -> int:
        """The TTL in seconds of records that are written now."""

    def resolve_dns(self, host: str) -> Sequence[str]:
        """What the zone's name server answers for `host`: addresses, or the name that it is an alias of."""

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        """Ask at `address` as a user of the endpoint's host would. That nothing answers is an answer, too."""

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        """The workload's pods, including those that have ended."""

    def not_declared(self, deployment: Deployment, workload: str) -> str:
        """What is missing until all pods of a workload that keeps no data are ready and have its files as `deployment`
        declares them, in words; "" when nothing is."""

    def jobs(self, deployment: Deployment) -> Mapping[str, JobState]:
        """The cluster's jobs of this deployment, by workload."""

    def rerun_job(self, deployment: Deployment, workload: str, say: Say) -> None:
        """Delete a failed job and create it again. Raises: as `up`."""

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        """Those of `nodes` that are missing or not ready: pods there may still be running."""

    def object_access(self, store: ObjectStore) -> ObjectAccess:
        """Endpoint and current credentials of a store. Raises: CredentialsError."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
