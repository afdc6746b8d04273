"""When waiting for pods is no use, since a container of theirs ends the same way however often it is started. Called by
`waiting`. PURE.

A pod that ends because what it needs is not up yet (another pod of its group, weights that a job writes) is started
again until it is, so a restart alone says nothing. The rule is written down in docs/errors.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from providers.kubernetes.objects import Json, metadata, name_of
from providers.kubernetes.waits.readiness import LAST_LINE, condition, part

MOST_RESTARTS: Final = 5  # about five minutes, with the kubelet's pauses of 10 s that double
MOST_RESTARTS_BESIDE_JOBS: Final = 10  # about half an hour: a job may be writing what the pod needs
# Once nothing is on its way any more: one start may have begun before that, the next one counts.
STARTS_AFTER_EXCUSE: Final = 2
LAST_LINES: Final = 3  # of what a container said
OWNERS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "LeaderWorkerSet"})  # a Job counts by itself
_REVISION: Final = "controller-revision-hash"

_Key = tuple[str, str]  # the UID of a pod, the name of a container


@dataclass
class _Container:
    """What was seen of one container during a wait. `restarts_before`: how many when it was first seen; `was_ready`:
    it has passed its readiness probe. `excused_restarts`: how many while another pod was still on its way."""

    restarts_before: int
    restarts: int
    exit_codes: set[int]
    was_ready: bool = False
    excused_restarts: int = -STARTS_AFTER_EXCUSE


class CrashLoops:
    """The memory of one wait: a pod says only how its container ended last."""

    def __init__(self) -> None:
        self._containers: dict[_Key, _Container] = {}

    @property
    def has_any(self) -> bool:
        """Whether a container has ended often enough for `verdict` to be worth its question."""
        return any(container.restarts >= MOST_RESTARTS - 1 for container in self._containers.values())

    def look_at(self, owner: Json, pods: Iterable[Json]) -> None:
        """Remember how the containers of the owner's pods are now; those of an earlier version are left out."""
        revision = part(owner, "status").get("updateRevision")
        for pod in pods:
            pod_revision = part(metadata(pod), "labels").get(_REVISION)
            if owner.get("kind") == "StatefulSet" and revision and pod_revision not in (None, revision):
                continue
            for status in _statuses(pod):
                self._remember(pod, status)

    def _remember(self, pod: Json, status: Json) -> None:
        container = self._containers.setdefault(_key(pod, status), _Container(_restarts(status), 0, set()))
        container.restarts = _restarts(status)
        container.was_ready = container.was_ready or bool(status.get("ready") and _is_probed(pod, status))
        for state in (part(status, "state"), part(status, "lastState")):
            if "terminated" in state:
                container.exit_codes.add(int(part(state, "terminated").get("exitCode") or 0))

    def verdict(self, namespace_pods: Iterable[Json]) -> str:
        """Why waiting is no use, in one line; "" where it may be of use. `namespace_pods`: all pods beside the owner's
        and the owner's own, since any of them may be what a pod waits for."""
        pods = [pod for pod in namespace_pods if _is_there(pod)]
        on_their_way = {_uid(pod) for pod in pods if self._is_on_its_way(pod)}
        if on_their_way:
            self._excuse(on_their_way)
            return ""
        looping = [(pod, status) for pod in pods for status in _statuses(pod) if self._is_looping(pod, status)]
        if not any(_is_of_job(pod) for pod in pods):
            return next((_line(pod, status) for pod, status in looping if self._counts(pod, status)), "")
        self._excuse({_uid(pod) for pod in pods if _is_of_job(pod)})
        limit = MOST_RESTARTS_BESIDE_JOBS
        return next((_line(pod, status) for pod, status in looping if _restarts(status) >= limit), "")

    def _excuse(self, on_their_way: set[str]) -> None:
        """A container's restarts while another pod is on its way may be due to that one, also once it is there."""
        for (uid, _), container in self._containers.items():
            if on_their_way - {uid}:
                container.excused_restarts = container.restarts

    def _counts(self, pod: Json, status: Json) -> bool:
        """Whether the container has been started and has ended since nothing was on its way any more."""
        return _restarts(status) >= self._containers[_key(pod, status)].excused_restarts + STARTS_AFTER_EXCUSE

    def _is_looping(self, pod: Json, status: Json) -> bool:
        """Whether the container ended in this wait, always with the same code, and waits to be started once more."""
        container = self._containers.get(_key(pod, status))
        is_waiting = part(part(status, "state"), "waiting").get("reason") == "CrashLoopBackOff"
        if container is None or not is_waiting or container.was_ready or len(container.exit_codes) != 1:
            return False
        return _restarts(status) >= MOST_RESTARTS and _restarts(status) > container.restarts_before

    @staticmethod
    def _is_on_its_way(pod: Json) -> bool:
        """Whether a pod that is no job's may still get ready. One that ended as often as the limit will not."""
        if _is_of_job(pod) or condition(pod, "Ready").get("status") == "True":
            return False
        return all(_restarts(status) < MOST_RESTARTS for status in _statuses(pod))


def _is_there(pod: Json) -> bool:
    has_ended = part(pod, "status").get("phase") in ("Succeeded", "Failed")
    return not has_ended and not metadata(pod).get("deletionTimestamp")


def _is_probed(pod: Json, status: Json) -> bool:
    """Without a probe, a container that has started is `ready` at once, which says nothing."""
    containers = part(pod, "spec").get("containers") or []
    return any(each.get("name") == status.get("name") and each.get("readinessProbe") for each in containers)


def _is_of_job(pod: Json) -> bool:
    return any(owner.get("kind") == "Job" for owner in metadata(pod).get("ownerReferences") or [])


def _statuses(pod: Json) -> Iterator[Json]:
    status = part(pod, "status")
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _key(pod: Json, status: Json) -> _Key:
    return _uid(pod), str(status.get("name"))


def _uid(pod: Json) -> str:
    return str(metadata(pod).get("uid"))


def _restarts(status: Json) -> int:
    return int(status.get("restartCount") or 0)


def _line(pod: Json, status: Json) -> str:
    ended = part(part(status, "lastState"), "terminated")
    lines = [line.strip() for line in str(ended.get("message") or "").splitlines() if line.strip()][-LAST_LINES:]
    last_lines = f"; its last lines: {' | '.join(line[:LAST_LINE] for line in lines)}" if lines else ""
    ending = f"ended each time with exit code {ended.get('exitCode', 'unknown')}{last_lines}"
    return (
        f"pod {name_of(pod)}: container {status.get('name')}: CrashLoopBackOff: it has been started "
        f"{_restarts(status) + 1} times and {ending} [code=CrashLoopBackOff]"
    )
