"""Opens the project for a command that works on environments. EDGE.

Separate from `context`, which every command imports, because the imports here take most of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from meshctl.cli import signals
from meshctl.cli.context import Context
from meshctl.deploy.session import Session
from meshctl.migrate.journal import guard
from meshctl.project import Project
from meshctl.shift import in_force


@contextmanager
def opened(context: Context, command: str, *, break_lock: bool = False) -> Iterator[Project]:
    """The project; while the block runs, Ctrl-C and other signals stop the engine. `command`: the user's command."""
    mesh, environments = context.load()
    session = Session(context.folder, mesh.name, environments, context.progress(), break_lock, command)
    project = Project(mesh, environments, session)
    session.shifts_in_force = partial(in_force.of_project, project)
    project.expands_by_gateway = partial(guard.expands_by_gateway, project)
    project.notes_on_expansion = partial(guard.notes_on_expansion, project)
    with signals.finishing(session.program, project.on_stop):
        yield project
