"""What a plan says of roll-outs: which workload is left without a pod meanwhile. PURE.

Called by `meshctl.deploy.runs.plans`. Only of workloads whose pods the plan replaces, or whose way of replacing them it
changes; `meshctl check -v` says it of all.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.changes.leader_worker_sets import GROUPS, LEADER_WORKER_SET
from meshctl.changes.steps import Step, subject_of
from meshctl.changes.words import scale_words
from meshctl.model.deployment import Deployment
from meshctl.model.keys import roll_outs

_SERVERS: Final = ("kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet", LEADER_WORKER_SET)
_CONCERNED: Final = ("spec.template", "spec.strategy", GROUPS)


def notes(deployment: Deployment, steps: Iterable[Step]) -> list[str]:
    subjects = {subject_of(step.urn) for step in steps if _is_concerned(step)}
    concerned = [w for w in deployment.workloads if f"workload/{w.name}" in subjects and not w.paused]
    texts = (roll_outs.note(workload, deployment.pool(workload.pool)) for workload in concerned)
    return [text for text in texts if text]


def _is_concerned(step: Step) -> bool:
    changes = any(change.path.startswith(_CONCERNED) for change in step.properties)
    if scale_words.of_scaler(step) is not None:  # its pod gets no requests
        return False
    # groups are made anew, what else serves is changed in place
    return step.type in _SERVERS and step.action in ("update", "replace") and changes
