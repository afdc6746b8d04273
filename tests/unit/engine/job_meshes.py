"""A mesh with jobs, and states in which it is up."""

from __future__ import annotations

from typing import Any

from meshctl import render
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.render.sample import sample


def state(deployed: Deployment, *, ran: Deployment | None = None, **more: Any) -> StackState:
    """After an `up` of `deployed`, whose jobs were made by `ran`. `more`: marks of the engine on the jobs."""
    outputs = {"deployment": deployed.model_dump(mode="json")}
    stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e", "outputs": outputs}
    jobs = [item for item in render.platform_objects(ran or deployed) if item.kind == "Job"]
    type_ = "kubernetes:batch/v1:Job"
    made = [{"type": type_, "urn": f"urn:pulumi:e::m::{type_}::{j.name}", "inputs": j.manifest, **more} for j in jobs]
    return states.state(stack, *made)


def changed(workload: str, given: Deployment | None = None, **fields: Any) -> Deployment:
    given = given or sample("coreweave")
    workloads = tuple(w.model_copy(update=fields) if w.name == workload else w for w in given.workloads)
    return given.model_copy(update={"workloads": workloads})
