"""How a WEKA cluster does, as its Kubernetes object says. PURE.

Both sides must say it alike: the Kubernetes provider while it waits for a WekaCluster, and `meshctl status`. Fields:
`WekaClusterStatus` in api/v1alpha1 of github.com/weka/weka-k8s-api at 02b60208. A cluster has no phase for trouble:
one that rebuilds what was on a failed drive is Ready, and serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

API_VERSION: Final = "weka.weka.io/v1alpha1"
KIND: Final = "WekaCluster"
_CONTAINER: Final = "WekaContainer"  # made by the operator alone, of a backend, a client or a program for a while
READY: Final = "Ready"
WAITS_FOR_DRIVES: Final = "WaitForDrives"
LEAVING: Final = ("GracePeriod", "Destroying", "Deallocating")
# WEKA's own word for a cluster without trouble. The others of a cluster that serves: REDISTRIBUTING,
# PARTIALLY_PROTECTED, REBUILDING (doc/operator/operations/weka-cluster-ops.md of weka/weka-operator)
_WELL: Final = ("", "OK")


def is_of_container(metadata: Mapping[str, Any]) -> bool:
    """Whether a pod with this metadata runs a container of WEKA. The operator copies the labels of a cluster or client
    to its containers and pods (internal/controllers/factory of weka/weka-operator), so that they say nothing of it."""
    return any(owner.get("kind") == _CONTAINER for owner in metadata.get("ownerReferences") or ())


@dataclass(frozen=True)
class WekaState:
    """`phase`: Init, WaitForDrives, StartingIO, Ready, GracePeriod, Destroying or Deallocating; "" before the operator
    has looked. `health`: WEKA's own word, in lower case; "" where it has no trouble or says nothing.
    `failed_drives`: their serial numbers. `active_drives`, `desired_drives`: 0 where the operator has not counted yet.
    `upgrades_to`: the image that its containers are getting; "" where they have it."""

    phase: str
    health: str = ""
    active_drives: int = 0
    desired_drives: int = 0
    failed_drives: tuple[str, ...] = ()
    upgrades_to: str = ""

    @property
    def is_ready(self) -> bool:
        return self.phase == READY

    @property
    def is_leaving(self) -> bool:
        return self.phase in LEAVING

    @property
    def words(self) -> str:
        """`ready, rebuilding: drive S123 failed`, or `WaitForDrives: 8 of 24 drives are active`."""
        drives = f"{self.active_drives} of {self.desired_drives} drives are active" if self.desired_drives else ""
        failed = f"drive{'s' * (len(self.failed_drives) > 1)} {', '.join(self.failed_drives)} failed"
        details = [failed] if self.failed_drives else []
        if not self.is_ready:
            details = [drives, *details] if drives else details
            return ": ".join(part for part in (self.phase or "waiting for WEKA's operator", "; ".join(details)) if part)
        if self.failed_drives or self.active_drives < self.desired_drives:
            details = details or [drives]
        upgrade = [f"upgrading to {self.upgrades_to}"] if self.upgrades_to else []
        return ": ".join(part for part in (", ".join(["ready", *filter(None, [self.health]), *upgrade]), *details))


def state_of(cluster: Mapping[str, Any]) -> WekaState:
    """Of a WekaCluster as the API server has it."""
    status = _part(cluster, "status")
    stats = _part(status, "stats")
    drives = _part(stats, "drives")
    active, desired = _counts(status, drives)
    health = str(stats.get("clusterStatus") or "")
    phase = str(status.get("status") or "")
    if not phase and _part(cluster, "metadata").get("deletionTimestamp"):
        phase = LEAVING[0]
    wanted, applied = str(_part(cluster, "spec").get("image") or ""), str(status.get("lastAppliedImage") or "")
    return WekaState(
        phase=phase,
        health="" if health in _WELL else health.lower().replace("_", " "),
        active_drives=active,
        desired_drives=desired,
        failed_drives=tuple(sorted(str(each.get("serialId")) for each in drives.get("failures") or ())),
        upgrades_to=wanted if applied and applied != wanted else "",
    )


def _counts(status: Mapping[str, Any], drives: Mapping[str, Any]) -> tuple[int, int]:
    """How many drives are active, and how many there are to be: in numbers, or in the text of a column."""
    counters = _part(drives, "counters")
    if counters.get("desired"):
        return _number(counters.get("active")), _number(counters.get("desired"))
    column = str(_part(status, "printer").get("drives") or "").split("/")  # active/created/desired
    return (_number(column[0]), _number(column[-1])) if len(column) > 1 else (0, 0)


def _number(value: Any) -> int:
    """Counters are numbers or their text."""
    try:
        return int(float(value))
    except (TypeError, ValueError):
        return 0


def _part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = value.get(key)
    return inner if isinstance(inner, Mapping) else {}
