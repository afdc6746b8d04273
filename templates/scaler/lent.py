"""Moves the replicas of a workload that serves in two places: on its own pool, and on nodes that others lend. EDGE, but
for what is marked PURE.

Runs in place of `scaler.py`, by whose rule it finds how many replicas there should be in all (ADR 0079). The own
Deployment is filled first, and the lent one, which its lenders may end at any moment, is emptied first. Own replicas
that have no node (jobs have it, or it is still ordered) count as none: lent nodes carry their load until they start.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import scaler  # beside this file, in the same ConfigMap

NOT_FOUND = 404


@dataclass(frozen=True)
class Lent:
    """`scale_path`: of the API server, to the Deployment on nodes of others. `own_most`: how many replicas have room on
    the own pool; `places`: how many on lent nodes. `label`: which the pods on lent nodes have."""

    scale_path: str
    own_most: int
    places: int
    label: str


@dataclass(frozen=True)
class Seen:
    """`own`, `lent`: how many replicas there are to be. Of the own ones `ready` get requests, and `waiting` have had no
    node for at least a look."""

    own: int
    lent: int
    ready: int
    waiting: int

    @property
    def counted(self) -> int:
        return max(self.own + self.lent - self.waiting, 1)


def read_lent(variables: Mapping[str, str]) -> Lent:
    """PURE. Raises: KeyError, ValueError."""
    return Lent(
        scale_path=variables["LENT_SCALE_PATH"],
        own_most=int(variables["OWN_MAX"]),
        places=int(variables["LENT_MAX"]),
        label=variables["LENT_LABEL"],
    )


def parts_of(wanted: int, enough: int, seen: Seen, lent: Lent) -> tuple[int, int]:
    """The replicas of the own Deployment, and of the lent one. `wanted`: of both together; `enough`: for the load now
    and for the least that there may be, without which the own one does not grow. What takes the place of a lent one has
    to be ready before that goes. PURE.
    """
    own = min(wanted, lent.own_most, max(seen.own, enough))
    still_waiting = max(seen.waiting - max(seen.own - own, 0), 0)  # those without a node go first
    rest = max(wanted - (own - still_waiting), 0)
    until_ready = min(seen.lent, max(wanted - seen.ready, 0))
    return own, min(max(rest, until_ready), lent.places)


def replicas_in(scale: Any) -> int:
    return int(scale.get("spec", {}).get("replicas") or 0)


def own_pods(items: Sequence[Any], label: str) -> list[Any]:
    """Those of the own Deployment that are not ending. PURE."""
    metadata = [each["metadata"] for each in items]
    return [
        pod
        for pod, each in zip(items, metadata, strict=True)
        if label not in (each.get("labels") or {}) and not each.get("deletionTimestamp")
    ]


class LentScaler(scaler.Scaler):
    """The scaler, for two Deployments."""

    def __init__(
        self, settings: scaler.Settings, lent: Lent, api: scaler.Api, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(settings, api, clock)
        self.lent = lent
        self.without_node: frozenset[str] = frozenset()  # the uids of own pods at the last look

    def look(self) -> str:
        """Raises: scaler.UNANSWERED."""
        settings = self.settings
        lent_scale = self.read_lent_scale()  # before the own one, in which a pause between the two is seen
        own_scale = self.api.ask(settings.scale_path)
        own, lent = replicas_in(own_scale), replicas_in(lent_scale)
        if not own:  # it is stopped, by a migration or by hand, and so are its replicas on lent nodes
            self.cooldown = scaler.Cooldown(settings.cooldown_s, self.clock())
            self.bring(self.lent.scale_path, lent_scale, 0)
            return ""
        selector = urllib.parse.quote(settings.selector)
        listed = self.api.ask(f"/api/v1/namespaces/{settings.namespace}/pods?labelSelector={selector}")
        addresses = scaler.ready_pods(listed)
        seen = self.seen(own, lent, listed.get("items", ()), addresses.keys())
        with ThreadPoolExecutor(max_workers=16) as pool:
            answers = pool.map(lambda address: scaler.read_metrics(settings, address), addresses.values())
            readings = dict(zip(addresses, answers, strict=True))
        now_s = self.clock()
        loads = self.loads.of(readings, now_s)
        enough = scaler.enough_for(loads, seen.counted, settings.target)
        wanted = min(max(self.wanted(enough, seen, now_s), settings.least), settings.most)
        new_own, new_lent = parts_of(wanted, max(enough or 0, settings.least), seen, self.lent)
        if (new_own, new_lent) == (own, lent):
            return "" if enough is not None or not addresses else f"no pod has {settings.series[0]}"
        if new_lent > lent and not replicas_in(self.api.ask(settings.scale_path)):
            return ""  # stopped since it was read; the next look sees it
        self.bring_both(own_scale, new_own, lent_scale, new_lent)
        total = sum(load for load in loads if load is not None)
        return (
            f"{own} -> {new_own} replicas on the own pool, {lent} -> {new_lent} on lent nodes: load {total:g} on"
            f" {len(addresses)} pods, target {settings.target:g} each"
        )

    def wanted(self, enough: int | None, seen: Seen, now_s: float) -> int:
        """How many there should be together. Own replicas that wait for a node go only after a cooldown, as all others
        do: a short lull must not cancel the order of their nodes."""
        if enough is None:
            return max(seen.own, seen.counted)
        wanted = self.cooldown.wanted(enough, seen.counted, now_s)
        return max(wanted, min(seen.own, max(count for _, count in self.cooldown.enough)))

    def seen(self, own: int, lent: int, items: Sequence[Any], ready: Any) -> Seen:
        pods = own_pods(items, self.lent.label)
        without_node = frozenset(str(pod["metadata"]["uid"]) for pod in pods if not pod.get("spec", {}).get("nodeName"))
        waiting = len(without_node & self.without_node)  # one that has just been made gets its node in a moment
        self.without_node = without_node
        return Seen(own, lent, sum(str(pod["metadata"]["uid"]) in ready for pod in pods), min(waiting, own))

    def read_lent_scale(self) -> Any:
        """Empty where somebody has deleted the Deployment, until `up` makes it again."""
        try:
            return self.api.ask(self.lent.scale_path)
        except urllib.error.HTTPError as error:
            if error.code != NOT_FOUND:
                raise
            return {}

    def bring_both(self, own_scale: Any, own: int, lent_scale: Any, lent: int) -> None:
        """More first, fewer then."""
        changes = ((self.settings.scale_path, own_scale, own), (self.lent.scale_path, lent_scale, lent))
        for path, scale, replicas in sorted(changes, key=lambda change: change[2] < replicas_in(change[1])):
            self.bring(path, scale, replicas)

    def bring(self, path: str, scale: Any, replicas: int) -> None:
        """Refused (409) where somebody else has changed it since it was read; the next look goes on from there."""
        if not scale or replicas == replicas_in(scale):
            return
        body = {"metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]}, "spec": {"replicas": replicas}}
        self.api.ask(f"{path}?fieldManager={scaler.MANAGER}", body)


def look_on(lent_scaler: LentScaler) -> None:
    """For ever."""
    last_message = ""
    while True:
        try:
            message = lent_scaler.look()
        except scaler.UNANSWERED as error:
            message = f"no look at the load: {error}"
        if message and message != last_message:
            print(message, flush=True)  # noqa: T201 (the pod's log)
        last_message = message
        time.sleep(lent_scaler.settings.period_s)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would not end by itself
    look_on(LentScaler(scaler.read_settings(os.environ), read_lent(os.environ), scaler.Api()))


if __name__ == "__main__":
    main()
