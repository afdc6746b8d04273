"""The one wait loop: until ready, failed, out of time, cancelled, or gone. Called by `provider` after it changed an
object. EDGE.

A wait that ends badly gives reasons, never an error: the object exists and belongs in the state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from providers.kubernetes import objects
from providers.kubernetes.api import Api, NoMatchError
from providers.kubernetes.connection import ApiError
from providers.kubernetes.objects import Gvk, Json
from providers.kubernetes.waits import crash_loops, groups, readiness
from providers.kubernetes.waits.crash_loops import CrashLoops
from providers.kubernetes.waits.readiness import READY, Verdict
from providers.plugin.provider import ProviderError

FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 1.0
DETAILS_EVERY_S: Final = 5.0
MOST_PODS: Final = 3  # of one owner, whose events are read
ENDPOINT_SLICE: Final = Gvk("discovery.k8s.io", "v1", "EndpointSlice")
STORAGE_CLASS: Final = Gvk("storage.k8s.io", "v1", "StorageClass")
CLAIM: Final = Gvk("", "v1", "PersistentVolumeClaim")
VOLUME: Final = Gvk("", "v1", "PersistentVolume")
POD: Final = Gvk("", "v1", "Pod")
EVENT: Final = Gvk("", "v1", "Event")
OWNERS: Final = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Job", "LeaderWorkerSet"})
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
Status = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """`live`: the object as last seen, None when it is gone. `reasons`: why it isn't ready; empty when it is."""

    live: Json | None
    reasons: tuple[str, ...] = ()


class Waiter:
    """Waits on objects of one cluster. Ends at once when `cancelled` is set."""

    def __init__(self, api: Api, cancelled: threading.Event) -> None:
        self._api = api
        self._cancelled = cancelled

    def verdict(self, gvk: Gvk, live: Json) -> Verdict:
        """Point-in-time readiness; asks for what else it depends on (storage class, endpoints)."""
        rule = groups.rule(gvk, live)
        if rule is None:
            return READY
        outcome = rule(live)
        if not outcome.ready and not outcome.failed and gvk.kind == "PersistentVolumeClaim" and self._binds_later(live):
            return READY
        if outcome.ready and readiness.needs_endpoints(live) and not self._endpoints(live):
            return Verdict(ready=False, message="the service has no ready pods behind it")
        return outcome

    def until_ready(self, gvk: Gvk, live: Json, *, timeout_s: float, status: Status) -> Outcome:
        """Polls until `live` is ready; `status` gets what is missing, and after some seconds why, when it changes."""
        last = [live]
        try:
            return self._until_ready(gvk, last, timeout_s=timeout_s, status=status)
        except ProviderError as error:
            return Outcome(last[0], (f"{gvk.kind} {objects.object_id(live)}: the wait broke off: {error}",))

    def _until_ready(self, gvk: Gvk, last: list[Json], *, timeout_s: float, status: Status) -> Outcome:
        """`last` holds the object as last seen, for the caller too when a call fails."""
        deadline = time.monotonic() + timeout_s
        details, look_at = [], time.monotonic() + DETAILS_EVERY_S
        loops = CrashLoops()
        last_text = ""
        pause_s = FIRST_PAUSE_S
        ready_since: float | None = None
        while True:
            verdict = self.verdict(gvk, last[0])
            late = time.monotonic() >= deadline
            ready_since = (ready_since or time.monotonic()) if verdict.ready else None
            ready_for_s = time.monotonic() - ready_since if ready_since is not None else 0.0
            if verdict.ready and (late or groups.is_settled(last[0], gvk, ready_for_s)):
                return Outcome(last[0])
            if verdict.failed or late or self._cancelled.is_set():
                return Outcome(last[0], self._reasons(gvk, last[0], verdict, timed_out=late, timeout_s=timeout_s))
            if time.monotonic() >= look_at:
                crash_loop = self._crash_loop(gvk, last[0], loops)
                if crash_loop:
                    return Outcome(last[0], (f"{gvk.kind} {objects.object_id(last[0])} failed: {crash_loop}",))
                details, look_at = self._details(gvk, last[0])[:1], time.monotonic() + DETAILS_EVERY_S
            saying = "; ".join([verdict.message, *details])
            if saying != last_text:
                last_text = saying
                status(last_text)
            self._cancelled.wait(min(pause_s, max(0.0, deadline - time.monotonic())))
            pause_s = min(pause_s * 1.6, LONGEST_PAUSE_S)
            again = self._again(gvk, last[0])
            if again is None:
                return Outcome(None, ("the object was deleted while it was waited for [code=Deleted]",))
            last[0] = again

    def until_gone(self, gvk: Gvk, live: Json, *, timeout_s: float, status: Status) -> Outcome:
        """Polls until the object is gone, or another one has taken its name."""
        deadline = time.monotonic() + timeout_s
        uid = objects.metadata(live).get("uid")
        seen: Json | None = live
        last_text = ""
        pause_s = FIRST_PAUSE_S / 4
        while True:
            seen = self._again(gvk, seen or live)
            if seen is None or objects.metadata(seen).get("uid") != uid:
                return Outcome(None)
            if time.monotonic() >= deadline or self._cancelled.is_set():
                return Outcome(seen, _why_not_gone(seen))
            why = "; ".join(_why_not_gone(seen))
            if pause_s >= LONGEST_PAUSE_S and why != last_text:
                last_text = why
                status(why)
            self._cancelled.wait(pause_s)
            pause_s = min(pause_s * 1.6, LONGEST_PAUSE_S)

    def until_volumes_gone(self, namespace: str, claim: str = "", *, timeout_s: float, status: Status) -> Outcome:
        """Polls until the volumes that go with the claims of a namespace, or with one of them, are gone, which is after
        their claims: their driver detaches and deletes them then. Gone itself before that, it leaves disks that cost
        money.
        """
        deadline = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            left = [volume for volume in self._volumes() if readiness.goes_with_claim(volume, namespace, claim)]
            if not left:
                return Outcome(None)
            if time.monotonic() >= deadline or self._cancelled.is_set():
                return Outcome(left[0], tuple(map(_why_not_gone_volume, left)))
            status(f"waiting for {len(left)} volume{'s' if len(left) > 1 else ''} to be deleted")
            self._cancelled.wait(pause_s)
            pause_s = min(pause_s * 1.6, LONGEST_PAUSE_S)

    def _volumes(self) -> list[Json]:
        try:
            return self._api.items(VOLUME, "")
        except ApiError as error:
            if error.status in (401, 403):  # volumes belong to no namespace: not everybody may see them
                return []
            raise

    def _again(self, gvk: Gvk, seen: Json) -> Json | None:
        try:
            return self._api.get(gvk, objects.namespace_of(seen), objects.name_of(seen))
        except NoMatchError:
            return None
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _binds_later(self, claim: Json) -> bool:
        """A class that binds at the first consumer keeps the claim Pending, and that is fine."""
        name = readiness.part(claim, "spec").get("storageClassName")
        try:
            storage_class = self._api.get(STORAGE_CLASS, "", name) if name else self._default_class()
        except ProviderError:
            return False
        return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"

    def _default_class(self) -> Json:
        every = self._api.items(STORAGE_CLASS, "")
        return next((item for item in every if objects.is_true(item, DEFAULT_CLASS)), {})

    def _endpoints(self, service: Json) -> bool:
        label = f"kubernetes.io/service-name={objects.name_of(service)}"
        return readiness.has_endpoints(
            self._api.items(ENDPOINT_SLICE, objects.namespace_of(service), labelSelector=label)
        )

    def _reasons(self, gvk: Gvk, live: Json, verdict: Verdict, *, timed_out: bool, timeout_s: float) -> tuple[str, ...]:
        what = f"{gvk.kind} {objects.object_id(live)}"
        if verdict.failed:
            first = f"{what} failed: {verdict.message} [code={verdict.code or 'Failed'}]"
        elif timed_out:
            first = f"{what} is not ready after {timeout_s:g} s: {verdict.message} [code=Timeout]"
        else:
            first = f"{what}: the wait was cancelled: {verdict.message} [code=Cancelled]"
        return (first, *self._details(gvk, live))

    def _details(self, gvk: Gvk, live: Json) -> list[str]:
        """What pods and events say. Best effort: no right to list them leaves the first reason."""
        try:
            if gvk.kind in OWNERS:
                return self._pod_troubles(live)
            if gvk.kind == "Pod":
                return [*readiness.pod_troubles(live), *self._events(live)]
            return self._events(live)
        except ProviderError:
            return []

    def _crash_loop(self, gvk: Gvk, owner: Json, loops: CrashLoops) -> str:
        """Why the owner's pods will not get ready; "" where they may. Best effort, as `_details`."""
        if gvk.kind not in crash_loops.OWNERS:
            return ""
        namespace = objects.namespace_of(owner)
        try:
            loops.look_at(owner, self._api.items(POD, namespace, labelSelector=groups.selector_of_pods(owner)))
            return loops.verdict(self._api.items(POD, namespace)) if loops.has_any else ""
        except ProviderError:
            return ""

    def _pod_troubles(self, owner: Json) -> list[str]:
        selector = groups.selector_of_pods(owner)
        pods = self._api.items(POD, objects.namespace_of(owner), labelSelector=selector)
        pods_with_probes = [pod for pod in pods if readiness.asks_for_health(pod)][:MOST_PODS]
        lines = [
            line
            for pod in pods
            for line in readiness.pod_troubles(pod, self._own_events(pod) if pod in pods_with_probes else ())
        ]
        lines = lines or [line for pod in pods for line in readiness.restart_troubles(pod)]
        return [*lines[:5], *self._claim_troubles(objects.namespace_of(owner), pods)] or self._events(owner)

    def _claim_troubles(self, namespace: str, pods: list[Json]) -> list[str]:
        """What events say of the claims that pods wait for: the pod itself says only that one is unbound."""
        names = {name for pod in pods for name in readiness.claims_of(pod)}
        claims = self._api.items(CLAIM, namespace) if names else []
        waiting = [claim for claim in claims if objects.name_of(claim) in names and not readiness.claim(claim).ready]
        return [f"claim {objects.name_of(claim)}: {line}" for claim in waiting[:3] for line in self._events(claim)]

    def _events(self, live: Json) -> list[str]:
        return readiness.event_lines(self._own_events(live))

    def _own_events(self, live: Json) -> list[Json]:
        uid = str(objects.metadata(live).get("uid"))
        return self._api.items(EVENT, objects.namespace_of(live), fieldSelector=f"involvedObject.uid={uid}")


def _why_not_gone(live: Json) -> tuple[str, ...]:
    """A namespace says in its conditions what it contains; others wait for finalizers, or for what they own."""
    what = f"{live.get('kind')} {objects.object_id(live)}"
    remaining = [
        f"{what}: {item.get('message')} [code={item.get('reason')}]"
        for item in readiness.part(live, "status").get("conditions") or []
        if live.get("kind") == "Namespace" and item.get("status") == "True"
    ]
    holders = ", ".join(objects.metadata(live).get("finalizers") or []) or "what belongs to it to go"
    return tuple(remaining) or (f"{what} is still there; it waits for {holders} [code=NotGone]",)


def _why_not_gone_volume(volume: Json) -> str:
    reason = readiness.part(volume, "status").get("message") or "its driver has not deleted it"
    return f"PersistentVolume {objects.name_of(volume)} is still there: {reason} [code=NotGone]"
