"""What a migration needs from the outside: environments, names, pods, object stores, a clock. Only types.

Implemented on the engine by `meshctl.migrate.engine_world`; used by every step. Each call tells what is there *now*: an
API that does not answer raises UnreachableError and is never read as "nothing there".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from meshctl.changes.losses import Loss
from meshctl.clients.health_checks import Answer, Question
from meshctl.model.deployment import Deployment, Endpoint, ObjectStore
from meshctl.model.observed import JobState, PodState, Presence
from meshctl.objects.store import ObjectAccess

Say = Callable[[str], None]  # one line of progress for a person


@dataclass(frozen=True)
class UpResult:
    """After `up`: the environment's addresses by endpoint name (an IP address or a load balancer's host name)."""

    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointTarget:
    """Where an endpoint's name points: the environment's name, and the record's address and TTL."""

    environment: str
    address: str
    ttl_s: int = 0


@dataclass(frozen=True)
class Pending:
    """Subjects such as `pool/train`. `changed`: what workloads stand on and an `up` would change, since the mesh or
    meshctl is another one; `gone`: what was brought up, and somebody else has deleted."""

    changed: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


class World(Protocol):
    """The environments of one mesh, as a migration sees them."""

    def deployment(self, environment: str) -> Deployment:
        """The mesh resolved for `environment` as its files stand now. Raises: InfeasibleError, UsageError."""

    def pending(self, deployment: Deployment) -> Pending:
        """What an `up` of it would change under its workloads, or make again. Changes nothing."""

    def deployed(self, environment: str) -> Deployment | None:
        """What the last `up` declared there, with its `paused` marks, whether or not all of it succeeded. None when
        nothing was ever brought up, or when it was retired."""

    def presence(self, environment: str) -> Presence:
        """How much of it is there, also where an `up` or a `retire` did not get to its end."""

    def check_cluster(self, deployment: Deployment) -> None:
        """Raises: UsageError when its kubeconfig leads to another cluster than the one that the environment is in,
        CredentialsError, UnreachableError. On AWS the cluster is the environment's own."""

    def take_over(self, fields: tuple[str, ...]) -> None:
        """From here on `up` sets these fields though other programs have set them."""

    def check_take_over(self, fields: tuple[str, ...], *deployments: Deployment) -> None:
        """Raises: UsageError when one of the fields is of nothing in any of them."""

    def check_fields(self, deployment: Deployment, command: str = "migrate") -> None:
        """Raises: OwnedFieldsError when an `up` of it would be refused for fields that other programs have set.
        `command`: what is to be given again then, where no migration is open yet."""

    def up(self, deployment: Deployment, say: Say) -> UpResult:
        """Make the environment exactly this; workloads marked `paused` are declared at zero pods. Endpoint names are
        not touched. Raises: OwnedFieldsError, ResourcesFailedError, InterruptedByUserError, LockedError."""

    def retire(self, deployment: Deployment, *, keep_data: bool, allow_data_loss: bool, command: str, say: Say) -> None:
        """Destroy what is there of it, also what a retire that was cut off has left. `keep_data`: buckets that hold
        data stay. `command`: the migration's, for an error. Names that lead to other environments are not touched.
        Raises: ProtectedDataError when data would be lost (`lost_by_retire`) that nobody has agreed to lose."""

    def lost_by_retire(self, deployment: Deployment, *, keep_data: bool) -> Sequence[Loss]:
        """The data that a `retire` would lose: with `keep_data`, that of volumes and file systems."""

    def lost_by_up(self, deployment: Deployment) -> Sequence[Loss]:
        """The data that an `up` would lose, or no longer protect."""

    def addresses(self, deployment: Deployment) -> Mapping[str, str]:
        """The environment's own address for each endpoint, as its load balancers have it now."""

    def point_endpoints(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        """Write the names of these endpoints (name -> address) as belonging to `deployment`'s environment. Other
        endpoints' names stay."""

    def endpoint_targets(self) -> Mapping[str, EndpointTarget]:
        """Where each endpoint's name points now, by endpoint name."""

    def endpoint_ttl_s(self) -> int:
        """How long, in seconds, resolvers may keep the answers that records written now will give."""

    def resolve_dns(self, host: str) -> Sequence[str]:
        """What the zone's own name server answers for `host`: addresses, or the name that it is an alias of."""

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        """Ask at `address` as a user of the endpoint's host would. That nothing answers is an answer, too."""

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        """The workload's pods, ended ones too."""

    def jobs(self, deployment: Deployment) -> Mapping[str, JobState]:
        """Its jobs by workload, as the cluster has them now."""

    def rerun_job(self, deployment: Deployment, workload: str, say: Say) -> None:
        """Make a job that has failed anew. Raises: as `up`."""

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        """Those of which nobody can say what still runs on them."""

    def object_access(self, store: ObjectStore) -> ObjectAccess:
        """Endpoint and fresh credentials. Raises: CredentialsError."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Wait."""
