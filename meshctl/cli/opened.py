"""A project for as long as a command works on it. EDGE.

Used by the commands that touch environments. Kept apart from `context`, which every command imports: what is imported
here takes most of a second.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from meshctl.cli import signals
from meshctl.cli.context import Context
from meshctl.deploy.session import Session
from meshctl.project import Project


@contextmanager
def opened(context: Context, command: str, *, break_lock: bool = False) -> Iterator[Project]:
    """The mesh, with Ctrl-C and the like handed to the engine as long as the block runs. `command`: the user's."""
    mesh, environments = context.load()
    session = Session(context.folder, mesh.name, environments, context.progress(), break_lock, command)
    project = Project(mesh, environments, session)
    with signals.finishing(session.program, project.on_stop):
        yield project
