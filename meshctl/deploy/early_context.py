"""Writes the kubeconfig of a cluster that meshctl makes as soon as it is there, while `up` still waits for nodes. EDGE.

Used by `session` around an `up`: what keeps it waiting, or has it fail, can be looked at with kubectl. Nothing is
decided by it, and a context that can't be written fails no run: at its end `up` writes it again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from meshctl.deploy import kubeconfig
from meshctl.engine.events import OnProgress, Progress
from meshctl.engine.run import StackRun
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackOutputs, StackState
from meshctl.platforms import registry
from meshctl.platforms.interface import MadeCluster


def watching(deployment: Deployment, folder: Path, on_progress: OnProgress | None) -> OnProgress | None:
    """`on_progress`, which also writes the context of a cluster that the run makes; where the cluster is given, there
    is none to write."""
    cluster = _made(deployment)
    if cluster is None:
        return on_progress

    def watch(moment: Progress) -> None:
        if moment.state == "done" and moment.type == cluster.resource_type:
            _write(deployment, folder, moment.outputs)
        if on_progress is not None:
            on_progress(moment)

    return watch


@contextmanager
def written(deployment: Deployment, folder: Path, state: StackState, run: StackRun) -> Iterator[None]:
    """Around an `up`: the context is there from the beginning, if an earlier run made the cluster (one that was killed
    may not have come to write it), and after a failure."""
    _write_saved(deployment, folder, state)
    try:
        yield
    except MeshError:
        with suppress(MeshError, OSError):
            write_made(run.name, folder, run.outputs())
        raise


def write_made(environment: str, folder: Path, outputs: StackOutputs) -> None:
    """Write the context that the stack's outputs hold; a given cluster has none. Raises: FileError, OSError."""
    if outputs.kubeconfig:
        kubeconfig.write_context(folder, environment, outputs.kubeconfig)


def _write_saved(deployment: Deployment, folder: Path, state: StackState) -> None:
    cluster = _made(deployment)
    if cluster is None:
        return
    for resource in state.of_type(cluster.resource_type):
        if not resource.is_to_be_deleted:
            _write(deployment, folder, resource.outputs)


def _made(deployment: Deployment) -> MadeCluster | None:
    return registry.platform(deployment.provider).cluster.made


def _write(deployment: Deployment, folder: Path, outputs: Mapping[str, Any]) -> None:
    cluster = _made(deployment)
    made = cluster.kubeconfig(deployment, outputs) if cluster is not None else ""
    if made:
        with suppress(MeshError, OSError):
            kubeconfig.write_context(folder, deployment.environment, made)
