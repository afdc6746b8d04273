"""What a run is told to make anew. Only a type: `meshctl.deploy.jobs.job_reruns` fills it in, `run` acts on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JobRerun:
    """URNs: of the Job, which is made anew, and of the Secrets, which get the values of now."""

    job: str
    secrets: tuple[str, ...] = ()
