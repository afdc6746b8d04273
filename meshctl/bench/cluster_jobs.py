"""Runs one Job in a cluster, and returns what its pod leaves as termination message. EDGE.

Called by `storage`, `fabric` and `accelerators`. The Job is created by this module and deleted by it, whatever happens;
of a command that was killed it ends by its own deadline, and the cluster removes it. The message is a field of the pod:
no right to read logs is needed, and no way from the API server to the node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import LockedError, MeasurementError, MeshError
from meshctl.render.benchmarks import KIND_LABEL
from meshwire.kubernetes import objects, requests
from meshwire.kubernetes.errors import ApiError, NoAnswerError
from meshwire.kubernetes.resources import COMPUTE_DOMAINS, JOBS, PODS, SECRETS, SERVICES, Resource

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

T = TypeVar("T")

_POLL_S: Final = 1.0
_PLACED_S: Final = 30.0  # how long a pod may take to find a node while others have done their work
LONGEST_START_S: Final = 180.0  # for a node with room, and for an image that it does not have yet
_MANAGER: Final = "meshctl-bench"
_KINDS: Final[Mapping[str, Resource[Any]]] = {
    "Secret": SECRETS,
    "Service": SERVICES,
    "ComputeDomain": COMPUTE_DOMAINS,
}
_JOB_UID: Final = "batch.kubernetes.io/controller-uid"
_CONFLICT: Final = 409
_MISSING: Final = 404
_REFUSED: Final = (401, 403)


@dataclass(frozen=True, slots=True)
class Ended:
    """What a pod of the Job left, and the node on which it ran. `failure`: why it has not ended well."""

    message: str
    node: str
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who runs a Job. `check` is called while it runs, and raises what stops it. `is_alone`: nobody else may measure
    there now, so that a Job of its name that still runs was left by a run that was killed."""

    check: Callable[[], None] = lambda: None
    is_alone: bool = False


ANYBODY: Final = Holder()


def run(
    access: ClusterAccess,
    manifest: Mapping[str, Any],
    say: Callable[[str], None],
    *,
    companions: Sequence[Mapping[str, Any]] = (),
    start_s: float = LONGEST_START_S,
    holder: Holder = ANYBODY,
) -> Ended:
    """Create the Job, wait for the end of its first pod, and delete it. An interrupt deletes it as well: its pods have
    their grace period to remove files. `companions`: objects that go with it. `start_s`: how long it may take until the
    pods run.

    Raises: LockedError while another one of its name runs, and where an object of its name is somebody else's;
    MeasurementError where it can't start, fails or takes longer than its deadline; CredentialsError, UnreachableError.
    """
    with _created(access, manifest, holder) as (client, job):
        for companion in companions:
            _create_with(client, companion, job, access.name)
        every = manifest["spec"].get("completions", 1)
        watch = _Watch(client, access.name, manifest, job["metadata"]["uid"], say, start_s, every, holder.check)
        (first, *_) = _until(watch, _is_done)
        return Ended(_message(first), _node(first))


def run_on_each(
    access: ClusterAccess,
    manifest: Mapping[str, Any],
    say: Callable[[str], None],
    *,
    start_s: float = LONGEST_START_S,
    holder: Holder = ANYBODY,
) -> tuple[Ended, ...]:
    """As `run`, for a Job whose pods work by themselves, each on a node of its own: what each of them left, or why it
    failed. A node that has no room while others do their work is not waited for.

    Raises: as `run`, where no pod has ended well."""
    seen = _Seen(start_s, begun=time.monotonic())
    with _created(access, manifest, holder) as (client, job):
        watch = _Watch(client, access.name, manifest, job["metadata"]["uid"], say, start_s, 1, holder.check)
        try:
            _until(watch, seen.is_over)
        except MeasurementError:
            if not any(map(_has_ended_well, seen.pods.values())):
                raise
        return seen.ended()


@dataclass(frozen=True, slots=True)
class _Seen:
    """The pods of a Job that work by themselves, by name, as they were seen last: those of a Job that has failed are
    deleted. `start_s`: how long one may take until it runs. `begun`: by the monotonic clock."""

    start_s: float
    begun: float
    pods: dict[str, objects.Pod] = field(default_factory=dict)

    def is_over(self, pods: list[objects.Pod]) -> bool:
        """Whether there is nothing left to wait for: at least one pod has ended well, and each other pod is given up,
        is on a node where a pod has ended well (it would only repeat that), or has no node after `_PLACED_S`, by when
        the scheduler has placed what it can."""
        self.pods.update((pod.get("metadata", {}).get("name", ""), pod) for pod in pods)
        well = {_node(pod) for pod in pods if _has_ended_well(pod)}
        over = {*well, ""} if time.monotonic() - self.begun >= _PLACED_S else well
        return bool(well) and all(_node(pod) in over or self._is_given_up(pod) for pod in pods)

    def _is_given_up(self, pod: objects.Pod) -> bool:
        """Also one whose node no longer answers: it is being deleted and never ends. And one without an image."""
        metadata, status = pod.get("metadata", {}), pod.get("status", {})
        is_late = not _has_started(pod) and time.monotonic() - self.begun > self.start_s
        return status.get("phase") == "Failed" or "deletionTimestamp" in metadata or is_late

    def ended(self) -> tuple[Ended, ...]:
        """By node."""
        by_node: dict[str, Ended] = {}
        for pod in sorted(self.pods.values(), key=_has_ended_well):
            is_well = _has_ended_well(pod)
            failure = "" if is_well else _failure(pod)
            by_node[_node(pod)] = Ended(_message(pod) if is_well else "", _node(pod), failure)
        return tuple(by_node[node] for node in sorted(by_node) if node)


@contextmanager
def _created(
    access: ClusterAccess, manifest: Mapping[str, Any], holder: Holder
) -> Iterator[tuple[Client, Mapping[str, Any]]]:
    """The Job, which is deleted whatever happens."""
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    with access.connected() as client:
        _refuse_beside_another(client, access.name, name, namespace, holder)
        job = _create(client, manifest, name, namespace)
        try:
            yield client, job
        finally:
            _remove(client, JOBS.path(namespace, name), job["metadata"]["uid"])


def _remove(client: Client, path: str, uid: str) -> None:
    """Also where the command is stopped in this moment: then once more, whether or not it was done. An error is none,
    as the Job is gone already, or ends by its deadline."""
    request = requests.delete(path, propagation="Background", uid=uid)
    try:
        with suppress(ApiError, NoAnswerError):
            client.send(request)
    except KeyboardInterrupt:
        with suppress(ApiError, NoAnswerError):
            client.send(request)
        raise


def _refuse_beside_another(client: Client, environment: str, name: str, namespace: str, holder: Holder) -> None:
    """One that has ended was left by a command that was killed: it goes."""
    existing = _job(client, name, namespace)
    if existing is None:
        return
    _refuse_foreign(existing, "Job", environment)
    if not _outcome(existing) and not holder.is_alone:
        deadline_s = existing.get("spec", {}).get("activeDeadlineSeconds", 0)
        raise LockedError(
            f"{name} is running in {environment} already",
            why=f"another command has started it, or one that was killed: it ends {deadline_s} s after its start",
            hint=f"wait for it; or end it with `kubectl delete job {name} -n {namespace}`",
        )
    uid = existing.get("metadata", {}).get("uid", "")
    client.send(requests.delete(JOBS.path(namespace, name), propagation="Background", uid=uid))
    deadline = time.monotonic() + LONGEST_START_S
    while _job(client, name, namespace) is not None and time.monotonic() < deadline:
        holder.check()
        time.sleep(_POLL_S)


def _refuse_foreign(existing: Mapping[str, Any], kind: str, environment: str) -> None:
    """Raises: LockedError for an object that no measurement has made."""
    metadata = existing.get("metadata", {})
    if KIND_LABEL in metadata.get("labels", {}):
        return
    name, namespace = metadata.get("name", ""), metadata.get("namespace", "")
    raise LockedError(
        f"{environment} has a {kind} {name} that no measurement has made",
        why=f"the measurement needs the name in namespace {namespace}, and deletes nothing without label {KIND_LABEL}",
        hint="give the other one another name",
    )


def _create_with(client: Client, manifest: Mapping[str, Any], job: Mapping[str, Any], environment: str) -> None:
    """An object that the cluster removes with the Job. One of an earlier Job goes first, which may take its time: a
    ComputeDomain waits for its pods. Raises: LockedError where it is somebody else's, or does not go."""
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    owned = {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [owner]}}
    kind, name, namespace = manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    deadline = time.monotonic() + LONGEST_START_S
    while not _is_created(client, _KINDS[kind].path(namespace), owned):
        existing = _existing(client, _KINDS[kind], name, namespace)
        if existing is not None:
            _refuse_foreign(existing, kind, environment)
            _delete(client, _KINDS[kind].path(namespace, name))
        if time.monotonic() > deadline:
            raise LockedError(
                f"the {kind} {name} of an earlier measurement is still there", hint="run the command again"
            )
        time.sleep(_POLL_S)


def _is_created(client: Client, path: str, manifest: Mapping[str, Any]) -> bool:
    """False where there is one of its name."""
    try:
        client.send(requests.create(path, dict(manifest), fieldManager=_MANAGER))
    except ApiError as error:
        if error.status != _CONFLICT:
            raise
        return False
    return True


def _delete(client: Client, path: str) -> None:
    try:
        client.send(requests.delete(path))
    except ApiError as error:
        if error.status != _MISSING:
            raise


def _create(client: Client, manifest: Mapping[str, Any], name: str, namespace: str) -> Mapping[str, Any]:
    try:
        return client.send(requests.create(JOBS.path(namespace), dict(manifest), fieldManager=_MANAGER))
    except ApiError as error:
        if error.status != _CONFLICT:
            raise
        raise LockedError(
            f"another command has started {name} at the same moment", hint="run the command again"
        ) from error


def _job(client: Client, name: str, namespace: str) -> objects.Job | None:
    return _existing(client, JOBS, name, namespace)


def _existing(client: Client, kind: Resource[T], name: str, namespace: str) -> T | None:
    try:
        return client.get(kind, name, namespace=namespace)
    except ApiError as error:
        if error.status == _MISSING:
            return None
        raise


def _outcome(job: objects.Job) -> str:
    """Complete or Failed; "" while it runs. `FailureTarget` and the like come before pods have ended."""
    conditions = job.get("status", {}).get("conditions") or []
    ended = (each.get("type", "") for each in conditions if each.get("status") == "True")
    return next((kind for kind in ended if kind in ("Complete", "Failed")), "")


@dataclass(frozen=True, slots=True)
class _Watch:
    """What is asked until a Job is over. `uid`: of the Job. Pods of one that had its name before may be about to
    end. `needed`: how many of its pods must run within `start_s`."""

    client: Client
    environment: str
    manifest: Mapping[str, Any]
    uid: str
    say: Callable[[str], None]
    start_s: float
    needed: int
    check: Callable[[], None]

    @property
    def name(self) -> str:
        return str(self.manifest["metadata"]["name"])

    @property
    def namespace(self) -> str:
        return str(self.manifest["metadata"]["namespace"])


def _until(watch: _Watch, is_over: Callable[[list[objects.Pod]], bool]) -> list[objects.Pod]:
    """The pods once the Job is complete, or they are over. Raises: MeasurementError where it fails, or takes too
    long."""
    name, begun = watch.name, time.monotonic()
    deadline = begun + watch.manifest["spec"]["activeDeadlineSeconds"] + watch.start_s
    reported = ""
    while time.monotonic() < deadline:
        time.sleep(_POLL_S)
        watch.check()
        try:
            job = _job(watch.client, name, watch.namespace)
            pods = _pods(watch.client, watch.uid, watch.namespace)
        except (ApiError, NoAnswerError) as error:
            if isinstance(error, ApiError) and error.status in _REFUSED:
                raise
            continue  # asked again until the deadline: the Job goes on by itself
        outcome = _outcome(job) if job is not None else "Failed"
        if outcome == "Complete" and not pods:
            raise _failed(watch.environment, name, "somebody has deleted its pods")
        if outcome == "Complete" or is_over(pods):
            return pods
        reason = _reason(pods)
        if outcome == "Failed":
            raise _failed(watch.environment, name, reason or _why(job))
        if sum(map(_has_started, pods)) < watch.needed:
            if reason != reported and reason:
                watch.say(f"{name} waits: {reason}")
                reported = reason
            if time.monotonic() - begun > watch.start_s:
                raise _not_started(watch.environment, name, reason, watch.start_s)
    raise _failed(watch.environment, name, "it did not finish in time")


def _pods(client: Client, uid: str, namespace: str) -> list[objects.Pod]:
    """Of the Job, by name, so that rank 0 of a gang is the first."""
    pods = client.list_objects(PODS, namespace=namespace, labels={_JOB_UID: uid})
    return sorted(pods, key=lambda pod: pod.get("metadata", {}).get("name", ""))


def _is_done(pods: list[objects.Pod]) -> bool:
    """Whether the first pod has ended well. The others of a gang wait for it, and end with the Job."""
    return bool(pods) and pods[0].get("status", {}).get("phase") == "Succeeded"


def _has_started(pod: objects.Pod) -> bool:
    return pod.get("status", {}).get("phase") not in (None, "Pending")


def _has_ended_well(pod: objects.Pod) -> bool:
    return pod.get("status", {}).get("phase") == "Succeeded"


def _failure(pod: objects.Pod) -> str:
    """In the cluster's words: of the container, or of the pod, as where it was evicted."""
    status = pod.get("status", {})
    words = ": ".join(filter(None, (status.get("reason"), status.get("message"))))
    return clusters.pod_state(pod).reason or words or "its pod did not finish in time"


def _message(pod: objects.Pod) -> str:
    ended = ((each.get("state") or {}).get("terminated") for each in clusters.container_statuses(pod))
    return next((str(each.get("message") or "") for each in ended if each), "")


def _node(pod: objects.Pod) -> str:
    return pod.get("spec", {}).get("nodeName", "")


def _reason(pods: list[objects.Pod]) -> str:
    return next((state.reason for state in map(clusters.pod_state, pods) if state.reason), "")


def _why(job: objects.Job | None) -> str:
    if job is None:
        return "somebody has deleted it"
    conditions = job.get("status", {}).get("conditions") or []
    return next((each.get("message", "") for each in conditions if each.get("type") == "Failed"), "")


def _failed(environment: str, name: str, why: str) -> MeshError:
    return MeasurementError(
        f"the measurement {name} failed in {environment}; it is removed",
        why=why or "neither its pod nor its Job gives a reason",
        hint=f"`meshctl status {environment}` shows the nodes; the command can be run again",
    )


def _not_started(environment: str, name: str, reason: str, start_s: float) -> MeshError:
    return MeasurementError(
        f"the measurement {name} did not start in {environment} within {start_s:.0f} s; it is removed",
        why=reason or "its pod has no node",
        hint="it needs room on the pool's nodes (of a fabric all accelerators), and its image: `images` of the"
        " environment names mirrors",
    )
