"""A gateway in memory for tests: two environments whose workloads write data, and a kill at any moment.

Time passes only in `sleep` and in calls; every tick the trainers that run write their next step, and the rules that
must hold at every moment are checked: no trainer in two places, the environment that a name leads to serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from meshctl.changes.losses import Loss
from meshctl.clients.endpoints.health_checks import Answer, Question
from meshctl.errors import OwnedField, OwnedFieldsError, UnreachableError, UsageError
from meshctl.measure.results import Result
from meshctl.migrate.gateway import EndpointTarget, PendingChanges, UpResult
from meshctl.migrate.planning.inputs import StoreFacts
from meshctl.model.deployment import (
    Checkpoint,
    Cluster,
    Deployment,
    Endpoint,
    Health,
    Mount,
    ObjectStore,
    Pool,
    Price,
    Workload,
)
from meshctl.model.dns_splits import SHARED_BY, Split
from meshctl.model.observed import DeployState, JobState, PodState
from meshctl.model.questions import Findings
from meshctl.objects.listing import Item, Listing, NoBucketError, newest, of_others
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.seeded import ETags
from meshctl.objects.store import ObjectAccess
from meshctl.objects.sync import CopyResult
from meshctl.objects.verify import Comparison, SideSummary, checksums, digest
from tests.unit.migrate.fake_fabrics import FakeFabrics

TTL_S = 30
GRACE_TICKS = 2  # a trainer that is being stopped writes once more before it ends


class Killed(BaseException):
    """A `kill -9`: no code of meshctl may handle it."""


def deployment(environment: str, *, ephemeral_weights: bool = False) -> Deployment:
    price = Price(subject="pool/train", usd_per_hour=10.0 if environment == "east" else 8.0, source="contract")

    def store(name: str, *, ephemeral: bool = False) -> ObjectStore:
        free = Price(subject=f"storage/{name}", usd_per_hour=None, source="unknown")
        return ObjectStore(
            name=name, bucket=f"{environment}-{name}", size_gib=1, region="r1", ephemeral=ephemeral, price=free
        )

    chat = Workload(
        name="chat",
        kind="inference",
        pool="serve",
        replicas=2,
        image="vllm:1",
        ports={"http": 8000},
        health=Health(path="/health", port="http"),
        mounts=(Mount(storage="weights", kind="object", path="/models", read_only=True),),
    )
    pretrain = Workload(
        name="pretrain",
        kind="training",
        pool="train",
        replicas=2,
        image="train:1",
        mounts=(Mount(storage="checkpoints", kind="object", path="/ckpt"),),
        checkpoint=Checkpoint(storage="checkpoints", grace_s=10),
    )
    pool = Pool(
        name="train",
        role="training",
        machine=f"gpu-{environment}",
        market="on-demand",
        nodes_min=2,
        nodes_max=2,
        nodes=2,
        gpu_model="H100",
        gpus_per_node=8,
        cpu_cores=96,
        memory_gib=1024,
        price=price,
    )
    return Deployment(
        mesh="demo",
        environment=environment,
        provider="aws" if environment == "east" else "coreweave",
        region="r1",
        cluster=Cluster(name=environment),
        pools=(pool,),
        object_stores=(store("weights", ephemeral=ephemeral_weights), store("checkpoints")),
        workloads=(chat, pretrain),
        endpoints=(Endpoint(name="chat", host="chat.example.com", workload="chat", port="http", access="public"),),
    )


@dataclass
class FakeGateway:
    """Implements `Gateway` and `Data`. `kill_at` is the number of the moment at which the run is killed."""

    declared: dict[str, Deployment] = field(default_factory=lambda: {e: deployment(e) for e in ("east", "west")})
    deployments: dict[str, Deployment | None] = field(default_factory=lambda: {"east": None, "west": None})
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, EndpointTarget] = field(default_factory=dict)
    weighted: dict[str, Split] = field(default_factory=dict)  # by endpoint
    dns: dict[str, str] = field(default_factory=dict)
    ending: dict[tuple[str, str], int] = field(default_factory=dict)
    clock: float = 1_800_000_000.0
    steps_written: list[int] = field(default_factory=list)  # by the trainer, in either environment
    reads: list[tuple[str, int]] = field(default_factory=list)  # the weights that each chat pod has read at its start
    moments: int = 0
    kill_at: int = -1
    dead: bool = False
    destroyed_with_data: dict[str, bool] = field(default_factory=dict)
    destroyed_by: list[str] = field(default_factory=list)  # the commands
    partly_there: set[str] = field(default_factory=set)  # environments whose destroy has begun and not finished
    healthy: bool = True
    questions: list[Question] = field(default_factory=list)  # what endpoints were asked
    job_states: dict[tuple[str, str], JobState] = field(default_factory=dict)  # of jobs that have ended
    run_again: list[tuple[str, str]] = field(default_factory=list)  # the jobs that a migration has run again
    outdated: PendingChanges = field(default_factory=PendingChanges)  # what an `up` of the source would change
    rights: Findings = field(default_factory=Findings)  # to share names
    owned: dict[str, set[str]] = field(default_factory=dict)  # by environment: fields that kubectl has set
    taken_over: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)  # clusters (by environment) and buckets that do not answer
    volumes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by environment: claims that a destroy deletes
    losses_of_up: dict[str, tuple[Loss, ...]] = field(default_factory=dict)
    written: dict[tuple[str, str], tuple[bytes, float]] = field(default_factory=dict)  # bucket, key -> content, when
    fabrics: FakeFabrics = field(default_factory=FakeFabrics)

    def begin(self) -> Self:
        """Bring up the source with data, before any migration."""
        self.buckets["east-weights"] = {f"w/{n}": bytes([n]) * 10 for n in range(5)}
        self.buckets["east-checkpoints"] = {"step-0001": b"1"}
        self.steps_written = [1]
        self.up(self.declared["east"], lambda _: None)
        self.point_endpoints(self.declared["east"], {"chat": "east-lb"})
        self.tick()
        self.moments = 0
        return self

    # moments -------------------------------------------------------------------------------------------------------
    def moment(self) -> None:
        self.moments += 1
        if self.moments == self.kill_at:
            self.dead = True
            raise Killed
        if self.dead:
            raise Killed

    def revive(self) -> None:
        self.dead, self.kill_at = False, -1

    def lose(self, environment: str) -> None:
        """Cluster and buckets are gone for good. The trainer continues from its last step in the other environment."""
        self.silent |= {environment, *(store.bucket for store in self.declared[environment].object_stores)}
        self.ending = {key: left for key, left in self.ending.items() if key[0] != environment}
        other = "east" if environment == "west" else "west"
        self.steps_written = self.steps_written[: max(int(key[5:]) for key in self.buckets[f"{other}-checkpoints"])]

    def ask(self, *names: str) -> None:
        for name in names:
            if name in self.silent:
                raise UnreachableError(f"{name} does not answer")

    def running(self, environment: str, workload: str) -> bool:
        if environment in self.silent:
            return False
        deployed = self.deployments[environment]
        state = self.job_states.get((environment, workload), JobState(workload))
        has_pods = not state.ended and not state.suspended
        deployed_workloads = deployed.workloads if deployed is not None else ()
        runs = any(each.name == workload and each.runs for each in deployed_workloads) and has_pods
        return runs or (environment, workload) in self.ending

    def tick(self) -> None:
        self.clock += 1
        self.check()
        self.stamp()
        for environment in ("east", "west"):
            if self.running(environment, "pretrain"):
                self.write_step(environment)
        self.ending = {key: left - 1 for key, left in self.ending.items() if left > 1}

    def write_step(self, environment: str) -> None:
        bucket = self.buckets[f"{environment}-checkpoints"]
        step = max((int(key.removeprefix("step-")) for key in bucket), default=0) + 1
        assert step == self.steps_written[-1] + 1, f"step {step} at {environment} after {self.steps_written[-1]}"
        self.steps_written.append(step)
        bucket[f"step-{step:04d}"] = str(step).encode()
        for old in sorted(bucket)[:-3]:  # trainers keep the last three
            del bucket[old]

    def stamp(self) -> None:
        """Record the time at which each object was written, as a store does."""
        for bucket, objects in self.buckets.items():
            for key, content in objects.items():
                if self.written.get((bucket, key), (b"", 0.0))[0] != content:
                    self.written[bucket, key] = (content, self.clock)

    def check(self) -> None:
        assert not (self.running("east", "pretrain") and self.running("west", "pretrain")), "the trainer runs twice"
        for name, target in self.names.items():
            for environment in self.leads_to(name, target) - self.silent:
                assert self.running(environment, name), f"{name} leads to {environment}, where nothing serves"

    def leads_to(self, name: str, target: EndpointTarget) -> set[str]:
        """The environments that get requests of an endpoint."""
        if len(target.environments) == 1:
            return set(target.environments)
        return {side.environment for side in self.weighted[name].sides if side.weight}

    # Gateway ---------------------------------------------------------------------------------------------------------
    def deployment(self, environment: str, moved_from: Deployment, workload: str = "") -> Deployment:
        whole = self.declared[environment]
        if not workload:
            return whole
        stores = {mount.storage for mount in whole.workload(workload).mounts}
        part = {
            "workloads": (whole.workload(workload),),
            "object_stores": tuple(store for store in whole.object_stores if store.name in stores),
            "endpoints": tuple(each for each in whole.endpoints if each.workload == workload),
        }
        return whole.model_copy(update=part)

    def deployed(self, environment: str) -> Deployment | None:
        return self.deployments[environment]

    def pending_changes(self, deployment: Deployment) -> PendingChanges:
        return self.outdated if deployment.environment == "east" else PendingChanges()

    def check_cluster(self, deployment: Deployment) -> None:
        """Each environment has its own cluster here."""

    def take_over(self, fields: tuple[str, ...]) -> None:
        self.taken_over = set(fields)

    def check_take_over(self, fields: tuple[str, ...], *deployments: Deployment) -> None:
        """As `deploy.fields.ownership`, but only for workloads."""
        subjects = {f"workload/{workload.name}" for each in deployments for workload in each.workloads}
        for given in fields:
            if given.partition(":")[0] not in subjects:
                raise UsageError(f"--take-over {given}: the mesh has no such thing")

    def check_fields(self, deployment: Deployment, command: str = "migrate") -> None:
        refused = sorted(self.owned.get(deployment.environment, set()) - self.taken_over)
        if refused:
            fields = [OwnedField(name, name, "kubectl", "theirs", "ours") for name in refused]
            raise OwnedFieldsError(f"{refused[0]} is set by kubectl", fields=fields, hint=f"give {command} again")

    def up(self, deployment: Deployment, say: Callable[[str], None]) -> UpResult:
        self.check_fields(deployment)
        self.moment()
        name = deployment.environment
        self.ask(name)
        before = self.deployments[name]
        for store in deployment.object_stores:
            self.buckets.setdefault(store.bucket, {})
        for workload in deployment.workloads:
            was = before is not None and any(each.name == workload.name and each.runs for each in before.workloads)
            if was and not workload.runs and self.running(name, workload.name):
                self.ending[name, workload.name] = GRACE_TICKS
            elif not was and workload.runs and workload.name == "chat":
                self.reads.append((name, self.weights_seen(name)))
        self.deployments[name] = deployment
        self.check()
        self.tick()
        self.moment()
        return UpResult(self.addresses(deployment))

    def up_workloads(self, deployment: Deployment, workloads: Collection[str], say: Callable[[str], None]) -> None:
        name = deployment.environment
        own = {each for each in self.owned.get(name, set()) if each.split(":")[0].split("/")[1] in workloads}
        others = self.owned.pop(name, set()) - own
        self.owned[name] = own
        before = self.deployments[name]
        assert before is not None
        changed = {each.name for each in before.workloads if each != deployment.workload(each.name)}
        assert changed <= set(workloads), "everything else stays as it is"
        try:
            self.up(deployment, say)
        finally:
            self.owned[name] = own | others

    def weights_seen(self, environment: str) -> int:
        weights = self.buckets[f"{environment}-weights"]
        return hash(tuple(sorted((key, value) for key, value in weights.items())))

    def losses_by_up(self, deployment: Deployment) -> Sequence[Loss]:
        return self.losses_of_up.get(deployment.environment, ())

    def losses_by_destroy(self, deployment: Deployment, *, keep_data: bool) -> Sequence[Loss]:
        buckets = () if keep_data else tuple(store.bucket for store in deployment.object_stores)
        claims = self.volumes.get(deployment.environment, ())
        return [
            *(Loss(f"storage/{name}", "volume", f"claim {name}", "1Gi", "it goes") for name in claims),
            *(
                Loss(f"storage/{name}", "bucket", name, "1 object", "it goes")
                for name in buckets
                if self.buckets.get(name)
            ),
        ]

    def destroy(
        self,
        deployment: Deployment,
        *,
        keep_data: bool,
        allow_data_loss: bool,
        command: str,
        say: Callable[[str], None],
    ) -> None:
        self.moment()
        self.ask(deployment.environment)
        self.destroyed_by.append(command)
        assert allow_data_loss or not self.losses_by_destroy(deployment, keep_data=keep_data), "the engine's own guard"
        self.volumes.pop(deployment.environment, None)
        self.deployments[deployment.environment] = None  # the namespace is deleted first; nodes and network still exist
        self.partly_there.add(deployment.environment)
        for store in deployment.object_stores if not keep_data else ():
            self.buckets.pop(store.bucket, None)
        self.check()
        self.moment()
        self.partly_there.discard(deployment.environment)
        self.destroyed_with_data[deployment.environment] = not keep_data
        self.moment()

    def deploy_state(self, environment: str) -> DeployState:
        if self.deployments[environment] is not None:
            return DeployState.WHOLE
        if environment in self.partly_there:
            return DeployState.PART
        return DeployState.NOTHING if self.destroyed_with_data.get(environment, True) else DeployState.STORAGE

    def addresses(self, deployment: Deployment) -> Mapping[str, str]:
        self.ask(deployment.environment)
        return {e.name: f"{deployment.environment}-lb" for e in deployment.endpoints}

    def ip_addresses(self, address: str) -> Sequence[str]:
        return ["192.0.2.1" if address.startswith("east") else "192.0.2.2"]

    def point_endpoints(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        self.moment()
        for name, address in addresses.items():
            self.names[name] = EndpointTarget(deployment.environment, address)
            self.dns["chat.example.com"] = address
        self.check()
        self.moment()

    def endpoint_targets(self) -> Mapping[str, EndpointTarget]:
        return dict(self.names)

    def splits(self) -> Mapping[str, Split]:
        return dict(self.weighted)

    def write_splits(self, hosts: Mapping[str, str], splits: Mapping[str, Split]) -> None:
        self.moment()
        for name in hosts:
            in_use = len(self.names[name].environments) > 1
            assert name in splits or not in_use, f"{name} leads to weighted records that are being removed"
            self.weighted.pop(name, None)
        self.weighted |= splits
        self.check()
        self.moment()

    def lead_to_splits(self, endpoints: Collection[str]) -> None:
        self.moment()
        for name in endpoints:
            environments = SHARED_BY.join(side.environment for side in self.weighted[name].sides)
            self.names[name] = EndpointTarget(environments, "_split.chat.example.com")
            self.dns["chat.example.com"] = "_split.chat.example.com"
        self.check()
        self.moment()

    def name_rights(self) -> Findings:
        return self.rights

    def endpoint_ttl_s(self) -> int:
        return TTL_S

    def resolve_dns(self, host: str) -> Sequence[str]:
        return [self.dns[host]]

    def probe(self, deployment: Deployment, endpoint: Endpoint, address: str, question: Question) -> Answer:
        self.questions.append(question)
        if not self.healthy and deployment.environment == "west":
            return Answer(ok=False, text=f"GET http://{address}{question.path}: status 503")
        runs = self.running(deployment.environment, endpoint.workload)
        return Answer(runs, f"connection to {address}: {'accepted' if runs else 'refused'}")

    def pods(self, deployment: Deployment, workload: str) -> Sequence[PodState]:
        name = deployment.environment
        self.ask(name)
        if not self.running(name, workload):
            return []
        count = self.declared[name].workload(workload).replicas
        ready = (name, workload) not in self.ending
        return [PodState(f"{workload}-{n}", workload, "Running", ready, "node", 0) for n in range(count)]

    def not_declared(self, deployment: Deployment, workload: str) -> str:
        self.ask(deployment.environment)
        return ""

    def jobs(self, deployment: Deployment) -> Mapping[str, JobState]:
        name = deployment.environment
        self.ask(name)
        return {workload: state for (environment, workload), state in self.job_states.items() if environment == name}

    def rerun_job(self, deployment: Deployment, workload: str, say: Callable[[str], None]) -> None:
        self.moment()
        self.job_states.pop((deployment.environment, workload), None)
        self.run_again.append((deployment.environment, workload))
        self.moment()

    def wanted_of_fabric(self, fabric: str) -> float | None:
        return self.fabrics.wanted.get(fabric)

    def measure_fabric(
        self, deployment: Deployment, pool: str, stop: Stop, say: Callable[[str], None]
    ) -> Sequence[Result]:
        return self.fabrics.measure(self, deployment, pool, stop)

    def object_access(self, store: ObjectStore) -> ObjectAccess:
        return ObjectAccess(store.bucket, "", "", "r1", "key", "secret")

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds - 1
        self.tick()

    # Data ----------------------------------------------------------------------------------------------------------
    def facts(
        self,
        store: str,
        source: Callable[[], ObjectAccess],
        target: Callable[[], ObjectAccess],
        *,
        is_target_adopted: bool,
    ) -> StoreFacts:
        at_source = self.buckets[source().bucket]
        at_target = self.buckets.get(target().bucket, {})
        overwritten = {key for key, content in at_target.items() if key in at_source and at_source[key] != content}
        if source().bucket == target().bucket:
            return StoreFacts(store=store, objects=len(at_source), total_bytes=0, shared=True)
        return StoreFacts(
            store=store,
            objects=len(at_source),
            total_bytes=sum(map(len, at_source.values())),
            target_objects=len(at_target),
            foreign_objects=len(overwritten if is_target_adopted else at_target.keys() - at_source.keys()),
        )

    def copy(
        self,
        source: Callable[[], ObjectAccess],
        target: Callable[[], ObjectAccess],
        *,
        delete: bool,
        live: bool,
        recopy: Sequence[str],
        since_s: float,
        seeded_etags: ETags,
        others_until_s: float,
        on_copied: OnCopied,
        stop: Stop,
    ) -> CopyResult:
        """Like rclone: an object of the same size counts as the same, unless named in `recopy`."""
        self.ask(source().bucket, target().bucket)
        at_source, at_target = self.buckets[source().bucket], self.buckets[target().bucket]
        others = of_others(self.listing(source), self.listing(target), others_until_s) if others_until_s else ()
        listed = {key: content for key, content in at_source.items() if key not in others}
        copied = 0
        for key, content in listed.items():
            if key not in at_target or len(at_target[key]) != len(content) or key in recopy:
                self.moment()
                at_target[key] = content
                copied += 1
        gone = [key for key in at_target if key not in listed] if delete else []
        for key in gone:
            self.moment()
            del at_target[key]
        self.tick()
        return CopyResult(copied, 0, len(gone))

    def check_reachable(self, side: Callable[[], ObjectAccess]) -> None:
        self.listing(side)

    def lost_nodes(self, deployment: Deployment, nodes: Iterable[str]) -> frozenset[str]:
        return frozenset()

    def listing(self, side: Callable[[], ObjectAccess]) -> Listing:
        self.stamp()
        bucket = side().bucket
        self.ask(bucket)
        if bucket not in self.buckets:
            raise NoBucketError(f"s3://{bucket} does not exist")
        return {
            key: Item(len(content), hashlib.md5(content).hexdigest(), self.written[bucket, key][1])  # noqa: S324
            for key, content in self.buckets[bucket].items()
        }

    def compare(
        self,
        source: Callable[[], ObjectAccess],
        target: Callable[[], ObjectAccess],
        *,
        deep: bool,
        on_read: OnCopied,
        stop: Stop,
    ) -> Comparison:
        at_source, at_target = self.listing(source), self.listing(target)
        return Comparison(
            _summary(at_source),
            _summary(at_target),
            tuple(sorted(at_source.keys() - at_target.keys())),
            tuple(sorted(at_target.keys() - at_source.keys())),
            tuple(
                sorted(key for key in at_source.keys() & at_target.keys() if at_source[key].etag != at_target[key].etag)
            ),
            0,
        )


def _summary(items: Listing) -> SideSummary:
    return SideSummary(
        len(items), sum(item.size for item in items.values()), digest(items, checksums(items, {})), newest(items)
    )
