"""Moves the replicas of a workload that serves in two places: on its own pool, and on nodes that others lend. EDGE.

Runs in place of `scaler.py`, whose rule it keeps (ADR 0079). What there is to be moved is the sum of two Deployments:
the own one is filled first, and the lent one, which its lenders may end at any moment, is emptied first.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import scaler  # beside this file, in the same ConfigMap

NOT_FOUND = 404


@dataclass(frozen=True)
class Lent:
    """`scale_path`: of the API server, to the Deployment on nodes of others. `own_most`, `most`: the most replicas of
    the own Deployment, and of this one."""

    scale_path: str
    own_most: int
    most: int


def read_lent(variables: Mapping[str, str]) -> Lent:
    """PURE. Raises: KeyError, ValueError."""
    most = int(variables["LENT_MAX"])
    return Lent(variables["LENT_SCALE_PATH"], int(variables["SCALE_MAX"]) - most, most)


def parts_of(replicas: int, lent: Lent) -> tuple[int, int]:
    """Of so many replicas those of the own Deployment, and those of the other one. PURE."""
    own = min(replicas, lent.own_most)
    return own, min(replicas - own, lent.most)


def replicas_in(scale: Any) -> int:
    return int(scale.get("spec", {}).get("replicas") or 0)


class BothScales(scaler.Api):
    """The API server, to which both Deployments look like one: that of `scale_path`."""

    def __init__(self, scale_path: str, lent: Lent) -> None:
        super().__init__()
        self.scale_path = scale_path
        self.lent = lent
        self.own_scale: Any = {}
        self.lent_scale: Any = {}

    def ask(self, path: str, body: Any = None) -> Any:
        """Raises: scaler.UNANSWERED."""
        if path.partition("?")[0] != self.scale_path:
            return super().ask(path, body)
        return self.read() if body is None else self.change(int(body["spec"]["replicas"]))

    def read(self) -> Any:
        """The own scale with the replicas of both. While somebody has stopped the own Deployment, as a migration does,
        the other one is stopped as well."""
        self.own_scale = super().ask(self.scale_path)
        self.lent_scale = self.read_lent()
        own, lent = replicas_in(self.own_scale), replicas_in(self.lent_scale)
        if not own and lent:
            self.patch(self.lent.scale_path, self.lent_scale, 0)
        return {**self.own_scale, "spec": {"replicas": own + lent if own else 0}}

    def read_lent(self) -> Any:
        """Empty where somebody has deleted the Deployment, until `up` makes it again."""
        try:
            return super().ask(self.lent.scale_path)
        except urllib.error.HTTPError as error:
            if error.code != NOT_FOUND:
                raise
            return {}

    def change(self, replicas: int) -> Any:
        """Bring both to so many replicas together. Where the own Deployment grows, the other one does not shrink at
        the same time: what takes the place of its pods is not ready yet, and the next look goes on. Refused (409) where
        somebody else has changed a Deployment since it was read."""
        own, lent = parts_of(replicas, self.lent)
        own_now, lent_now = replicas_in(self.own_scale), replicas_in(self.lent_scale)
        if own > own_now:
            self.patch(self.scale_path, self.own_scale, own)
        if lent > lent_now or (lent < lent_now and own <= own_now):
            self.patch(self.lent.scale_path, self.lent_scale, lent)
        if own < own_now:
            self.patch(self.scale_path, self.own_scale, own)
        return {}

    def patch(self, path: str, scale: Any, replicas: int) -> None:
        if not scale:  # somebody has deleted it
            return
        body = {
            "metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        super().ask(f"{path}?fieldManager={scaler.MANAGER}", body)


def look_on(both: scaler.Scaler) -> None:
    """For ever."""
    last_message = ""
    while True:
        try:
            message = both.look()
        except scaler.UNANSWERED as error:
            message = f"no look at the load: {error}"
        if message and message != last_message:
            print(message, flush=True)  # noqa: T201 (the pod's log)
        last_message = message
        time.sleep(both.settings.period_s)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as process 1 it would not end by itself
    settings = scaler.read_settings(os.environ)
    look_on(scaler.Scaler(settings, BothScales(settings.scale_path, read_lent(os.environ))))


if __name__ == "__main__":
    main()
