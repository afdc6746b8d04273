"""Two environments in memory, with workloads that really write, and a kill at any moment. For tests only.

Time passes only in `sleep` and in calls; every tick the trainers that run write their next step, and the rules that
must hold at every moment are checked: no trainer in two places, the environment that a name leads to serves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meshctl.changes.losses import Loss
from meshctl.clients.health_checks import Answer, Question
from meshctl.engine.state_store import StateStore
from meshctl.errors import OwnedField, OwnedFieldsError, UnreachableError, UsageError
from meshctl.migrate.planning.plan import StoreFacts
from meshctl.migrate.world import EndpointTarget, Pending, UpResult
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
from meshctl.model.observed import JobState, PodState, Presence
from meshctl.objects.listing import Item, Listing, NoBucketError, newest
from meshctl.objects.progress import OnCopied, Stop
from meshctl.objects.seeded import ETags
from meshctl.objects.store import ObjectAccess
from meshctl.objects.sync import Copied
from meshctl.objects.verify import Comparison, SideSummary, checksums, digest

TTL_S = 30
GRACE_TICKS = 2  # a stopping trainer writes once more, then ends


class Killed(BaseException):
    """kill -9: nothing of ours may handle it."""


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
        endpoints=(Endpoint(name="chat", host="chat.example.com", workload="chat", port="http"),),
    )


@dataclass
class Twin:
    """The `World` and the `Data` of a migration. `kill_at` counts the moments at which a kill may fall."""

    declared: dict[str, Deployment] = field(default_factory=lambda: {e: deployment(e) for e in ("east", "west")})
    up_there: dict[str, Deployment | None] = field(default_factory=lambda: {"east": None, "west": None})
    buckets: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, EndpointTarget] = field(default_factory=dict)
    dns: dict[str, str] = field(default_factory=dict)
    ending: dict[tuple[str, str], int] = field(default_factory=dict)
    clock: float = 1_800_000_000.0
    steps_written: list[int] = field(default_factory=list)  # of the trainer, wherever it ran
    reads: list[tuple[str, int]] = field(default_factory=list)  # weights that a chat pod saw when it started
    moments: int = 0
    kill_at: int = -1
    dead: bool = False
    retired_with_data: dict[str, bool] = field(default_factory=dict)
    retired_by: list[str] = field(default_factory=list)  # the commands
    partly_there: set[str] = field(default_factory=set)  # a retire began, and did not get to its end
    healthy: bool = True
    questions: list[Question] = field(default_factory=list)  # what endpoints were asked
    job_states: dict[tuple[str, str], JobState] = field(default_factory=dict)  # of jobs that have ended
    run_again: list[tuple[str, str]] = field(default_factory=list)  # the jobs that a migration made anew
    outdated: Pending = field(default_factory=Pending)  # what an `up` of the source would change
    owned: dict[str, set[str]] = field(default_factory=dict)  # by environment: fields that kubectl has set
    taken_over: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)  # clusters (by environment) and buckets that do not answer
    volumes: dict[str, tuple[str, ...]] = field(default_factory=dict)  # by environment: what a retirement takes along
    lost_by_up_there: dict[str, tuple[Loss, ...]] = field(default_factory=dict)
    written: dict[tuple[str, str], tuple[bytes, float]] = field(default_factory=dict)  # bucket, key -> content, when

    def begin(self) -> Twin:
        """The source as it was before anyone thought of moving."""
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
        """Cluster and buckets are gone for good; what the trainer did since its last step elsewhere is forgotten."""
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
        there = self.up_there[environment]
        is_over = self.job_states.get((environment, workload), JobState(workload)).ended
        runs = there is not None and there.workload(workload).runs and not is_over
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
        """Note when objects came or changed, as a store does, whoever put them there."""
        for bucket, objects in self.buckets.items():
            for key, content in objects.items():
                if self.written.get((bucket, key), (b"", 0.0))[0] != content:
                    self.written[bucket, key] = (content, self.clock)

    def check(self) -> None:
        assert not (self.running("east", "pretrain") and self.running("west", "pretrain")), "the trainer runs twice"
        for name, target in self.names.items():
            if target.environment in self.silent:
                continue
            assert self.running(target.environment, name), f"{name} leads to {target.environment}, where nothing serves"

    # World ---------------------------------------------------------------------------------------------------------
    def deployment(self, environment: str) -> Deployment:
        return self.declared[environment]

    def deployed(self, environment: str) -> Deployment | None:
        return self.up_there[environment]

    def pending(self, deployment: Deployment) -> Pending:
        return self.outdated if deployment.environment == "east" else Pending()

    def check_cluster(self, deployment: Deployment) -> None:
        """Each environment has its own cluster here."""

    def take_over(self, fields: tuple[str, ...]) -> None:
        self.taken_over = set(fields)

    def check_take_over(self, fields: tuple[str, ...], *deployments: Deployment) -> None:
        """As `deploy.fields.ownership` does, but it knows workloads alone."""
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
        here = deployment.environment
        self.ask(here)
        before = self.up_there[here]
        for store in deployment.object_stores:
            self.buckets.setdefault(store.bucket, {})
        for workload in deployment.workloads:
            was = before is not None and before.workload(workload.name).runs
            if was and not workload.runs and self.running(here, workload.name):
                self.ending[here, workload.name] = GRACE_TICKS
            elif not was and workload.runs and workload.name == "chat":
                self.reads.append((here, self.weights_seen(here)))
        self.up_there[here] = deployment
        self.check()
        self.tick()
        self.moment()
        return UpResult(self.addresses(deployment))

    def weights_seen(self, environment: str) -> int:
        found = self.buckets[f"{environment}-weights"]
        return hash(tuple(sorted((key, value) for key, value in found.items())))

    def lost_by_up(self, deployment: Deployment) -> Sequence[Loss]:
        return self.lost_by_up_there.get(deployment.environment, ())

    def lost_by_retire(self, deployment: Deployment, *, keep_data: bool) -> Sequence[Loss]:
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

    def retire(
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
        self.retired_by.append(command)
        assert allow_data_loss or not self.lost_by_retire(deployment, keep_data=keep_data), "the engine's own guard"
        self.volumes.pop(deployment.environment, None)
        self.up_there[deployment.environment] = None  # the namespace goes first; nodes and network cost on
        self.partly_there.add(deployment.environment)
        for store in deployment.object_stores if not keep_data else ():
            self.buckets.pop(store.bucket, None)
        self.check()
        self.moment()
        self.partly_there.discard(deployment.environment)
        self.retired_with_data[deployment.environment] = not keep_data
        self.moment()

    def presence(self, environment: str) -> Presence:
        if self.up_there[environment] is not None:
            return Presence.WHOLE
        if environment in self.partly_there:
            return Presence.PART
        return Presence.NOTHING if self.retired_with_data.get(environment, True) else Presence.STORAGE

    def addresses(self, deployment: Deployment) -> Mapping[str, str]:
        self.ask(deployment.environment)
        return {e.name: f"{deployment.environment}-lb" for e in deployment.endpoints}

    def point_endpoints(self, deployment: Deployment, addresses: Mapping[str, str]) -> None:
        self.moment()
        for name, address in addresses.items():
            self.names[name] = EndpointTarget(deployment.environment, address)
            self.dns["chat.example.com"] = address
        self.check()
        self.moment()

    def endpoint_targets(self) -> Mapping[str, EndpointTarget]:
        return dict(self.names)

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
        here = deployment.environment
        self.ask(here)
        if not self.running(here, workload):
            return []
        count = self.declared[here].workload(workload).replicas
        ready = (here, workload) not in self.ending
        return [PodState(f"{workload}-{n}", workload, "Running", ready, "node", 0) for n in range(count)]

    def jobs(self, deployment: Deployment) -> Mapping[str, JobState]:
        here = deployment.environment
        self.ask(here)
        return {workload: state for (environment, workload), state in self.job_states.items() if environment == here}

    def rerun_job(self, deployment: Deployment, workload: str, say: Callable[[str], None]) -> None:
        self.moment()
        self.job_states.pop((deployment.environment, workload), None)
        self.run_again.append((deployment.environment, workload))
        self.moment()

    def object_access(self, store: ObjectStore) -> ObjectAccess:
        return ObjectAccess(store.bucket, "", "", "r1", "key", "secret")

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds - 1
        self.tick()

    # Data ----------------------------------------------------------------------------------------------------------
    def facts(self, store: str, source: Callable[[], ObjectAccess], target: Callable[[], ObjectAccess]) -> StoreFacts:
        here = self.buckets[source().bucket]
        there = self.buckets.get(target().bucket, {})
        return StoreFacts(
            store=store,
            objects=len(here),
            total_bytes=sum(map(len, here.values())),
            target_objects=len(there),
            foreign_objects=len(there.keys() - here.keys()),
        )

    def copy(
        self,
        source: Callable[[], ObjectAccess],
        target: Callable[[], ObjectAccess],
        *,
        delete: bool,
        live: bool,
        again: Sequence[str],
        since: float,
        known: ETags,
        on_copied: OnCopied,
        stop: Stop,
    ) -> Copied:
        """Like rclone: an object of the same size counts as the same, unless named in `again`."""
        self.ask(source().bucket, target().bucket)
        here, there = self.buckets[source().bucket], self.buckets[target().bucket]
        listed = dict(here)
        copied = 0
        for key, content in listed.items():
            if key not in there or len(there[key]) != len(content) or key in again:
                self.moment()
                there[key] = content
                copied += 1
        gone = [key for key in there if key not in listed] if delete else []
        for key in gone:
            self.moment()
            del there[key]
        self.tick()
        return Copied(copied, 0, len(gone))

    def reach(self, side: Callable[[], ObjectAccess]) -> None:
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
        here, there = self.listing(source), self.listing(target)
        ours, theirs = digest(here, checksums(here, {})), digest(there, checksums(there, {}))
        return Comparison(
            SideSummary(len(here), sum(item.size for item in here.values()), ours, newest(here)),
            SideSummary(len(there), sum(item.size for item in there.values()), theirs, newest(there)),
            tuple(sorted(here.keys() - there.keys())),
            tuple(sorted(there.keys() - here.keys())),
            tuple(sorted(key for key in here.keys() & there.keys() if here[key].etag != there[key].etag)),
            0,
        )


@dataclass(frozen=True)
class MortalStore(StateStore):
    """The journal's store: a kill may fall before or after each write; after it, nothing reaches the store."""

    twin: Twin = None  # type: ignore[assignment]

    def create(self, path: str, text: str) -> bool:
        self.twin.moment()
        made = super().create(path, text)
        self.twin.moment()
        return made

    def delete(self, path: str) -> None:
        if not self.twin.dead:
            super().delete(path)
