"""What a plan says of jobs beside their fields: that a change has the work done again. PURE.

Called by `grouping`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.changes.fields import value_at
from meshctl.changes.steps import Step

RUNS_AGAIN: Final = "runs again"
_JOB = "kubernetes:batch/v1:Job"


def consequences(steps: Iterable[Step]) -> list[str]:
    """`runs again` where a job is made anew, as every change of what it runs wants; not where it is suspended."""
    again = any(
        step.type == _JOB and step.action == "replace" and not value_at(step.new, "spec.suspend") for step in steps
    )
    return [RUNS_AGAIN] if again else []
