"""Which errors are transient: the other side did not answer, or was busy. PURE.

This is the one place that decides it: for `rollouts`, which waits for pods, and for `meshctl.migrate`, which retries
for as long as a step may wait. All other errors (wrong credentials, a missing permission, a question for the user, a
bug) don't go away by themselves and stop the command at once.
"""

from __future__ import annotations

from meshctl.engine.failures import PASSING_CODES
from meshctl.errors import BusyError, MeshError, ResourcesFailedError, UnreachableError


def may_pass(error: MeshError) -> bool:
    """Whether a retry can help: there was no answer, or the answer was "not now"."""
    if isinstance(error, ResourcesFailedError):
        return bool(error.failures) and all(failure.code in PASSING_CODES for failure in error.failures)
    return isinstance(error, (UnreachableError, BusyError))


def reason(error: MeshError) -> str:
    """The error in one line."""
    return f"{error.what}: {error.why}" if error.why else error.what
