"""Which resources a run replaces and updates to run a job again. PURE: only a type.

`meshctl.deploy.jobs.job_reruns` makes it, and `run` uses it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobRerun:
    """The URNs of the Job, which is replaced, of what its pods read (Secrets, and the size of an elastic gang), which
    gets its current values, and of the Job that starts it after others, which is made anew for it."""

    job: str
    read_by_pods: tuple[str, ...] = ()
    releases: tuple[str, ...] = ()
