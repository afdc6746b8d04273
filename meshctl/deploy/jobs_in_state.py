"""The Jobs of workloads as the state has them. PURE.

Called by `jobs`, which decides what becomes of them, and by `guards.running`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from meshctl.model.stack_state import StackState

Spec = Mapping[str, Any]

_JOB: Final = "kubernetes:batch/v1:Job"


def specs(state: StackState) -> dict[str, Spec]:
    """The specs of the Jobs in the state, by workload; without those that a killed run has deleted to replace them."""
    specs = {name: inputs.get("spec") or {} for name, inputs in _inputs(state).items()}
    return {name: spec for name, spec in specs.items() if spec}


def labels(state: StackState) -> dict[str, Mapping[str, Any]]:
    """The labels of the Jobs in the state, by workload; of the same Jobs as `specs`."""
    inputs_by_workload = _inputs(state)
    return {name: (inputs.get("metadata") or {}).get("labels") or {} for name, inputs in inputs_by_workload.items()}


def without_job(state: StackState, workload: str) -> StackState:
    """The state as it is for a run that makes this Job anew: nothing of the old one has to stay."""
    name = f"workload/{workload}:job"
    return replace(state, resources=tuple(each for each in state.resources if each.name != name))


def _inputs(state: StackState) -> dict[str, Mapping[str, Any]]:
    inputs_by_workload = {}
    for job in state.of_type(_JOB):
        is_current = not (job.is_deleted_for_replacement or job.is_to_be_deleted)
        if is_current and job.name == f"{job.subject}:job":  # not the release of a job
            inputs_by_workload[job.subject.removeprefix("workload/")] = job.inputs
    return inputs_by_workload
