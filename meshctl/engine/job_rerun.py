"""Which resources a run replaces and updates to run a job again. Only a type: `meshctl.deploy.jobs.job_reruns` makes
it, and `run` uses it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobRerun:
    """The URNs of the Job, which is replaced, and of the Secrets, which get their current values."""

    job: str
    secrets: tuple[str, ...] = ()
