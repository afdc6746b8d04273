"""What a plan says of jobs beside their fields: that a change runs the job's work again. PURE.

Called by `grouping`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshctl.changes.fields import value_at
from meshctl.changes.steps import Step, resource_name
from meshctl.model.keys import job_order

RUNS_AGAIN: Final = "runs again"
_JOB: Final = "kubernetes:batch/v1:Job"
_AFTER: Final = f'metadata.annotations["{job_order.ANNOTATION}"]'
_QUEUE: Final = f'metadata.labels["{job_order.QUEUE_LABEL}"]'


def consequences(steps: Iterable[Step]) -> list[str]:
    """`runs again` where a Job is replaced, as every change of what it runs requires; not where it stays suspended."""
    again = any(step.action == "replace" and is_work(step) and not _stays_suspended(step.new) for step in steps)
    return [RUNS_AGAIN] if again else []


def is_work(step: Step) -> bool:
    """Whether the step is about the Job that does the work of a workload, and not about what starts it."""
    return step.type == _JOB and resource_name(step.urn).endswith(":job")


def is_release(step: Step) -> bool:
    """Whether the step is about what starts a job after others, which follows from the job's own `after`."""
    return resource_name(step.urn).partition(":")[2].startswith("release")


def _stays_suspended(new: Mapping[str, Any]) -> bool:
    """Whether nobody starts it: its release or Kueue starts the one that says what it waits for."""
    is_held = value_at(new, _AFTER) or value_at(new, _QUEUE)
    return bool(value_at(new, "spec.suspend")) and not is_held
