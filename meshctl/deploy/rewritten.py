"""Servers whose pods are rolled since this version writes their texts down in another way than an older one. PURE.

Called by `runs` for the notes of a plan. Without a change of the mesh nothing that is up is to be rolled; texts that
did not reach the container as mesh.yaml has them are the exception, and the plan gives the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshctl.render.cluster import platform
from meshctl.render.pod import container_fields, rewriting

_SERVERS = ("kubernetes:apps/v1:Deployment", "kubernetes:apps/v1:StatefulSet")


def notes(deployment: Deployment, state: StackState) -> list[str]:
    """One for each such workload. `state`: before the run."""
    saved_specs = {resource.name: resource.inputs.get("spec") or {} for resource in state.of_type(*_SERVERS)}
    all_notes = []
    for workload in deployment.workloads:
        if workload.is_job or workload.is_grouped or not saved_specs:
            continue
        item = platform.server(deployment, workload)
        texts = (
            list(_rewritten_texts(saved_specs[item.name], item.manifest["spec"])) if saved_specs.get(item.name) else []
        )
        if texts:
            all_notes.append(_note(workload.name, texts))
    return all_notes


def _note(workload: str, texts: list[str]) -> str:
    return (
        f"workload/{workload} is rolled out with {', '.join(texts)} as they are written: an older meshctl had"
        " Kubernetes read `$$` and `$(NAME)` in them"
    )


def _rewritten_texts(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    before, now = rewriting.main_container(old), rewriting.main_container(rewriting.rewritten(old, new))
    for field in container_fields.FIELDS:
        if field.is_expanded and list(before.get(field.key) or ()) != list(now.get(field.key) or ()):
            yield field.key
    values = [{entry["name"]: entry for entry in container.get("env") or ()} for container in (before, now)]
    for name in sorted(values[0].keys() & values[1].keys()):
        if values[0][name] != values[1][name]:
            yield f"env.{name}"
    order = [[entry["name"] for entry in container.get("env") or ()] for container in (before, now)]
    if values[0].keys() == values[1].keys() and order[0] != order[1]:
        yield "references of env to MESH_ variables"
