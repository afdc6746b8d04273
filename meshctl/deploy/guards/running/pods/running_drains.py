"""How long pods may take to end their open requests, of workloads of which the mesh does not say it. PURE.

Called by `running_pods`. What is new gets the default. What an older version brought up keeps what its pods have: a
grace is a part of a pod, so that a change would replace all pods with the next `up`. Groups of pods have no default, as
the workers of a group wait for the whole time, whether or not requests are open. A gateway has what the longest of the
workloads has that it leads to, and before that the time for which it holds a request where one of them may have no pod.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import drains, scaling
from meshctl.model.stack_state import StackState

_POD = ("spec", "template", "spec", "terminationGracePeriodSeconds")


def with_drains(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment in which each workload that gets a drain has it."""
    older = _without_drain(state)
    decided = {each.name: _drain_s(each, older) for each in deployment.workloads}
    asleep = {each.name for each in deployment.workloads if each.sleeps}
    workloads = []
    for workload in deployment.workloads:
        behind = {name: decided[name] for name in workload.forwards_to if name in decided}
        drain_s = _of_gateway(behind, asleep) if workload.forwards_to else decided[workload.name]
        workloads.append(workload.model_copy(update={"drain_s": drain_s}))
    return deployment.model_copy(update={"workloads": tuple(workloads)})


def _of_gateway(behind: Mapping[str, int | None], asleep: Collection[str]) -> int | None:
    """`behind`: the drains of what it leads to; `asleep`: what may have no pod."""
    drains_s = [drain_s for name, drain_s in behind.items() if name not in asleep and drain_s is not None]
    drains_s += [
        scaling.LONGEST_WAKE_S + (drains.UNSAID_S if drain_s is None else drain_s)
        for name, drain_s in behind.items()
        if name in asleep
    ]
    return max(drains_s, default=None)


def _drain_s(workload: Workload, older: frozenset[str]) -> int | None:
    if workload.drain_s is not None:
        return workload.drain_s
    has_default = workload.kind == "inference" and workload.ports and not workload.is_grouped
    return drains.DEFAULT_S if has_default and workload.name not in older else None


def _without_drain(state: StackState) -> frozenset[str]:
    """The workloads whose pods are up without a drain. Of one that is new in a run that was cut off, there are
    objects alone."""
    declared = state.deployment.workloads if state.deployment is not None else ()
    names = {each.name for each in declared}
    of_objects = {
        resource.subject.removeprefix("workload/")
        for resource in state.resources
        if resource.is_real and _grace_s(resource.inputs) == drains.LEAVING_S + drains.UNSAID_S
    }
    return frozenset({each.name for each in declared if each.drain_s is None} | (of_objects - names))


def _grace_s(inputs: Mapping[str, Any]) -> object:
    value: Any = inputs
    for key in _POD:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
