"""Stacks that are up though no environment of this project names them, since an environment or mesh was renamed. PURE.

Called by `session` with the stacks in the state store. Shown by `status`, and by a `destroy` that has nothing to
delete.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from meshctl.model.files.environment_references import NAMES_STACK
from meshctl.printable import one_line


@dataclass(frozen=True, order=True)
class UnmanagedStack:
    """A stack that has resources. `mesh` is the name that the mesh had when the stack was brought up."""

    mesh: str
    environment: str


def unmanaged_stacks(
    resources: Mapping[str, int], mesh: str, environments: Collection[str]
) -> tuple[UnmanagedStack, ...]:
    """The stacks with resources that are not one of `environments`, the environments in the files, of `mesh`.

    `resources`: the number of resources by Pulumi's name of the stack, which is the environment's name or, in another
    project, ORGANIZATION/MESH/ENVIRONMENT.
    """
    unmanaged = set()
    for name, count in resources.items():
        project, stack = name.split("/")[-2:] if "/" in name else (mesh, name)
        if count and stack != NAMES_STACK and not (project == mesh and stack in environments):
            unmanaged.add(UnmanagedStack(project, stack))
    return tuple(sorted(unmanaged))


def unmanaged_stacks_text(unmanaged: Collection[UnmanagedStack], mesh: str) -> str:
    """A line for each unmanaged environment of `mesh` and for each other mesh, with what to do; "" for none."""
    lines = []
    for name in sorted({stack.mesh for stack in unmanaged}):
        environments = [stack.environment for stack in unmanaged if stack.mesh == name]
        if name == mesh:
            lines += [
                f"{each} is up, but not in environments.yaml: `meshctl destroy {each}` deletes it"
                for each in environments
            ]
        else:
            where = ", ".join(environments)
            lines.append(f"the mesh {name} is up, too ({where}): to reach it, set `name: {name}` in mesh.yaml")
    return "".join(f"{one_line(line)}\n" for line in lines)
