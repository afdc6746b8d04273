"""What is up and named by no file any more: an environment or a mesh was given another name. PURE.

Called by `session` with the stacks of the state; shown by `status`, and by a `destroy` that finds nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from meshctl.model.references import NAMES_STACK
from meshctl.printable import one_line


@dataclass(frozen=True, order=True)
class Other:
    """A stack with something in it. `mesh` is the name that the mesh had when it was brought up."""

    mesh: str
    environment: str


def others(resources: Mapping[str, int], mesh: str, known: Collection[str]) -> tuple[Other, ...]:
    """`resources`: the number of them by the engine's name of the stack, which is the environment's or, in another
    project, ORGANIZATION/MESH/ENVIRONMENT. `known`: the environments that the files have now."""
    found = set()
    for name, count in resources.items():
        project, stack = name.split("/")[-2:] if "/" in name else (mesh, name)
        if count and stack != NAMES_STACK and not (project == mesh and stack in known):
            found.add(Other(project, stack))
    return tuple(sorted(found))


def others_text(found: Collection[Other], mesh: str) -> str:
    """One line for each mesh, and how to reach what it has; "" for none."""
    lines = []
    for name in sorted({other.mesh for other in found}):
        stacks = [other.environment for other in found if other.mesh == name]
        if name == mesh:
            lines += [f"{s} is up, but not in environments.yaml: `meshctl destroy {s}` deletes it" for s in stacks]
        else:
            lines.append(f"the mesh {name} is up, too ({', '.join(stacks)}): to reach it, mesh.yaml must have its name")
    return "".join(f"{one_line(line)}\n" for line in lines)
