"""Faults on order: `ROOT/faults.json` names calls that fail, how, and how often. EDGE.

    [{"operation": "CreateSubnet", "error": "RequestLimitExceeded", "message": "…", "times": 1}]

Also: `"service": "efs"` where two services have an operation of that name, `"async": true` for calls that are accepted
and fail later (EKS clusters, node groups, add-ons, updates), with a code that EKS has for that (`OUTCOMES`), and
`"status": 503` for an HTTP status of one's own. The code of any other fault is one that the operation can end with
(`error_codes`). What has been counted down is kept in memory until the file changes.

`"after": "CreateVpc"` makes a fault begin with each call of that operation: what was made is not seen for `times` calls
of the fault's own. Source: "Eventual consistency in the Amazon EC2 API", EC2 developer guide.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from moto.core.utils import get_service_model

from meshctl.lab.aws import error_codes, rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError

# Operations that fail a while after they were accepted -> the enumeration of EKS's model that holds their codes.
OUTCOMES: Final = {
    "CreateCluster": "ClusterIssueCode",
    "CreateNodegroup": "NodegroupIssueCode",
    "CreateAddon": "AddonIssueCode",
    **dict.fromkeys(
        (
            "UpdateAddon",
            "UpdateClusterConfig",
            "UpdateClusterVersion",
            "UpdateNodegroupConfig",
            "UpdateNodegroupVersion",
        ),
        "ErrorCode",
    ),
}
# EC2's own code, which a node group shows inside `AsgInstanceLaunchFailures`
NO_CAPACITY: Final = "InsufficientInstanceCapacity"


@dataclass
class Fault:
    operation: str
    error: str
    message: str
    times: int
    service: str
    later: bool
    status: int
    after: str = ""  # the operation that it begins after
    remaining: int = 0

    def __post_init__(self) -> None:
        self.remaining = 0 if self.after else self.times


class Faults:
    def __init__(self, root: Path) -> None:
        self.file = root / "faults.json"
        self._stamp: tuple[int, int, int] | None = None
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def check(self, call: Call) -> None:
        """Raises: ApiError when this call is to fail."""
        if self.any():
            fault = self.take(call.service, call.operation, later=False)
            self._begin(call.operation)
            if fault is not None:
                _require_code(fault, call)
                raise ApiError(fault.error, fault.message, status=fault.status, rule=rules.ON_ORDER)

    def any(self) -> bool:
        with self._lock:
            self._refresh()
            return any(fault.remaining > 0 or fault.after for fault in self._faults)

    def take(self, service: str, operation: str, *, later: bool) -> Fault | None:
        """The fault that applies, counted down; `later` for those that show only after the call was accepted.

        Raises: ApiError when EKS has no such code.
        """
        with self._lock:
            self._refresh()
            for fault in self._faults:
                is_meant = fault.operation == operation and fault.service in ("", service)
                if is_meant and fault.later == later and fault.remaining > 0:
                    fault.remaining -= 1
                    if later:
                        _require_outcome(fault)
                    return fault
        return None

    def _begin(self, operation: str) -> None:
        with self._lock:
            for fault in self._faults:
                if fault.after == operation:
                    fault.remaining = fault.times

    def _refresh(self) -> None:
        try:
            stat = self.file.stat()
        except OSError:
            self._faults, self._stamp = [], None
            return
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp == self._stamp:
            return
        try:
            listed = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return  # half written: the next call reads it again
        self._stamp = stamp
        self._faults = [_fault(item) for item in listed]


def _require_outcome(fault: Fault) -> None:
    """Raises: ApiError for a code that EKS's model doesn't have: nobody would ever see it on AWS."""
    enumeration = OUTCOMES[fault.operation]
    codes = get_service_model("eks").shape_for(enumeration).enum
    if fault.error not in codes and (fault.operation, fault.error) != ("CreateNodegroup", NO_CAPACITY):
        raise ApiError(
            "LabConfigurationError",
            f"faults.json: {fault.operation} can't end with {fault.error}: EKS has no such {enumeration}."
            f" It has {', '.join(sorted(codes))}.",
            rule=rules.ON_ORDER,
        )


def _require_code(fault: Fault, call: Call) -> None:
    """Raises: ApiError for a code with which the operation never ends on AWS."""
    codes = error_codes.codes_of(call.model, call.operation)
    if fault.error not in codes:
        raise ApiError(
            "LabConfigurationError",
            f"faults.json: {fault.operation} of {call.service} can't end with {fault.error}."
            f" It can with {', '.join(sorted(codes))}.",
            rule=rules.ON_ORDER,
        )


def _fault(item: dict[str, Any]) -> Fault:
    return Fault(
        operation=item["operation"],
        error=item["error"],
        message=item.get("message") or f"{item['error']}: on order",
        times=int(item.get("times", 1)),
        service=item.get("service", ""),
        later=bool(item.get("async", False)),
        after=item.get("after", ""),
        status=int(item.get("status", 0)),
    )
