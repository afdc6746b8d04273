"""Which errors say no more than "the other side did not answer now". PURE.

This is the one place that decides it: for `rollouts`, which waits for pods, and for `meshctl.migrate`, which asks again
for as long as a step may wait. Everything else (wrong credentials, a missing right, a question for a person, a bug)
does not mend itself and stops what is done at once.
"""

from __future__ import annotations

from meshctl.engine.failures import PASSING_CODES
from meshctl.errors import BusyError, MeshError, ResourcesFailedError, UnreachableError


def may_pass(error: MeshError) -> bool:
    """Whether asking again can help: nobody answered, or the answer was "not now"."""
    if isinstance(error, ResourcesFailedError):
        return bool(error.failures) and all(failure.code in PASSING_CODES for failure in error.failures)
    return isinstance(error, (UnreachableError, BusyError))


def reason(error: MeshError) -> str:
    """The error in one line."""
    return f"{error.what}: {error.why}" if error.why else error.what
