"""Faults on order: `ROOT/faults.json` names calls that fail, how, and how often. EDGE.

    [{"operation": "CreateNodegroup", "error": "InsufficientInstanceCapacity", "message": "…", "times": 1}]

Also: `"service": "efs"` where two services have an operation of that name, `"async": true` for calls that are accepted
and fail later (EKS clusters, node groups, add-ons, updates), `"status": 503` for an HTTP status of one's own. What has
been counted down is kept in memory until the file changes.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError


@dataclass
class Fault:
    operation: str
    error: str
    message: str
    times: int
    service: str
    later: bool
    status: int


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
            if fault is not None:
                raise ApiError(fault.error, fault.message, status=fault.status)

    def any(self) -> bool:
        with self._lock:
            self._refresh()
            return any(fault.times > 0 for fault in self._faults)

    def take(self, service: str, operation: str, *, later: bool) -> Fault | None:
        """The fault that applies, counted down; `later` for those that show only after the call was accepted."""
        with self._lock:
            self._refresh()
            for fault in self._faults:
                is_meant = fault.operation == operation and fault.service in ("", service)
                if is_meant and fault.later == later and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

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


def _fault(item: dict[str, Any]) -> Fault:
    return Fault(
        operation=item["operation"],
        error=item["error"],
        message=item.get("message") or f"{item['error']}: on order",
        times=int(item.get("times", 1)),
        service=item.get("service", ""),
        later=bool(item.get("async", False)),
        status=int(item.get("status", 0)),
    )
