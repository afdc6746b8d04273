"""The control plane's logs: EKS makes their group where there is none, also for what it writes after a deletion. EDGE.

Kept by `clusters`. Source: terraform-aws-eks issues 2446 and 2763: the group is there again, without retention, after
it was deleted together with its cluster.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from moto.core import DEFAULT_ACCOUNT_ID
from moto.logs.models import logs_backends

LATE_S = 3.0


@dataclass
class LateLogs:
    """`_pending`: region and name of a log group -> when the last lines of its cluster are written."""

    _pending: dict[tuple[str, str], float] = field(default_factory=dict)

    def begin(self, region: str, described: dict[str, Any]) -> None:
        """A new cluster writes its first lines, where it writes logs at all."""
        if _writes(described):
            _ensure(region, _group(described))

    def end(self, region: str, described: dict[str, Any]) -> None:
        """A cluster that is being deleted writes its last lines a while later."""
        if _writes(described):
            self._pending[region, _group(described)] = time.monotonic() + LATE_S

    def settle(self) -> None:
        """Write what is due."""
        due = [key for key, at in self._pending.items() if time.monotonic() >= at]
        for key in due:
            del self._pending[key]
            _ensure(*key)


def _writes(described: dict[str, Any]) -> bool:
    return any(setup["enabled"] for setup in described["logging"]["clusterLogging"])


def _group(described: dict[str, Any]) -> str:
    return f"/aws/eks/{described['name']}/cluster"


def _ensure(region: str, group: str) -> None:
    backend = logs_backends[DEFAULT_ACCOUNT_ID][region]
    if group not in backend.groups:
        backend.create_log_group(group, {})
