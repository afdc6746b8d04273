"""Gangs that start together, in the words of a mesh: the gate of their pods, and what the program is that removes it.
PURE.

Called by `fields`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from meshctl.changes.steps import Step, resource_name
from meshctl.model.keys import gangs

Change = tuple[str, Any, Any]  # the term, and both values

PROGRAM: Final = "platform:gang-hold"  # how the names of its objects begin
TERM: Final = "start of the pods"
_UNSHOWN: Final = {"text": "not shown"}


def of_program(step: Step) -> tuple[Change, ...] | None:
    """All that a step changes of an object of the program that releases gangs; None of any other object."""
    if not resource_name(step.urn).startswith(PROGRAM):
        return None
    if not step.properties:
        return ()
    if step.type == "kubernetes:core/v1:ConfigMap":
        return (("program of the gang hold", _UNSHOWN, _UNSHOWN),)
    before, after = (_image(inputs) for inputs in (step.old, step.new))
    return (("image of the gang hold", before, after),) if before != after else ()


def start(gates: Any) -> str | None:
    """How pods with these scheduling gates start."""
    names = [gate.get("name") for gate in gates or () if isinstance(gate, Mapping)]
    if gangs.GATE in names:
        return "all of the gang at once"
    return f"once {', '.join(map(str, names))} is removed" if names else "one by one"


def _image(inputs: Any) -> Any:
    pod = (((inputs or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = pod.get("containers") or [{}]
    return containers[0].get("image") if isinstance(containers[0], Mapping) else None
