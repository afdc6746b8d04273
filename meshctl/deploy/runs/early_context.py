"""Writes the kubeconfig context of a new cluster as soon as it exists, while `up` still waits for its nodes. EDGE.

Used by `environment_up`, so that kubectl can show why the `up` waits or fails. Nothing depends on the context:
if it can't be written, the run goes on, and `up` writes it again at its end.
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


def progress_writing_context(deployment: Deployment, folder: Path, on_progress: OnProgress | None) -> OnProgress | None:
    """A callback that calls `on_progress`, and writes the context once the run has made the cluster.

    For an existing cluster there is nothing to write, and `on_progress` itself is returned.
    """
    cluster = _made_cluster(deployment)
    if cluster is None:
        return on_progress

    def write_context(progress: Progress) -> None:
        if progress.state == "done" and progress.type == cluster.resource_type:
            _write(deployment, folder, progress.outputs)
        if on_progress is not None:
            on_progress(progress)

    return write_context


@contextmanager
def context_written_around_up(deployment: Deployment, folder: Path, state: StackState, run: StackRun) -> Iterator[None]:
    """Around an `up`: write the context before it if an earlier run made the cluster, and after it if it fails.

    An earlier run may have been killed before it wrote the context.
    """
    _write_from_state(deployment, folder, state)
    try:
        yield
    except MeshError:
        with suppress(MeshError, OSError):
            write_context_of_outputs(run.name, folder, run.outputs())
        raise


def write_context_of_outputs(environment: str, folder: Path, outputs: StackOutputs) -> None:
    """Write the context in the stack's outputs; there is none for an existing cluster. Raises: FileError, OSError."""
    if outputs.kubeconfig:
        kubeconfig.write_context(folder, environment, outputs.kubeconfig)


def _write_from_state(deployment: Deployment, folder: Path, state: StackState) -> None:
    cluster = _made_cluster(deployment)
    if cluster is None:
        return
    for resource in state.of_type(cluster.resource_type):
        if not resource.is_to_be_deleted:
            _write(deployment, folder, resource.outputs)


def _made_cluster(deployment: Deployment) -> MadeCluster | None:
    return registry.platform(deployment.provider).cluster.made


def _write(deployment: Deployment, folder: Path, outputs: Mapping[str, Any]) -> None:
    cluster = _made_cluster(deployment)
    config = cluster.kubeconfig(deployment, outputs) if cluster is not None else ""
    if config:
        with suppress(MeshError, OSError):
            kubeconfig.write_context(folder, deployment.environment, config)
