"""Which errors say no more than "the other side did not answer now", and how long it is asked again. PURE.

This is the one place that decides it, for `work.Work`: every step asks again for as long as it may wait. Everything
else (wrong credentials, a missing right, a question for a person, a bug) does not mend itself and stops a step at once.
"""

from __future__ import annotations

from meshctl.engine.failures import PASSING_CODES
from meshctl.errors import BusyError, MeshError, ResourcesFailedError, UnreachableError

ANSWER_S = 600  # how long one question of a step is asked again
TRIES = 5  # at the least, also where each try lasts long by itself, as a copy does
LONGEST_PAUSE_S = 30.0


def may_pass(error: MeshError) -> bool:
    """Whether asking again can help: nobody answered, or the answer was "not now"."""
    if isinstance(error, ResourcesFailedError):
        return bool(error.failures) and all(failure.code in PASSING_CODES for failure in error.failures)
    return isinstance(error, (UnreachableError, BusyError))


def reason(error: MeshError) -> str:
    """The error in one line."""
    return f"{error.what}: {error.why}" if error.why else error.what
