"""Paths that environments.yaml names: `~` expanded, the rest relative to the file's folder. EDGE.

Called by `meshctl.load` once the file is valid.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from meshctl import user_paths
from meshctl.model.environment import Environments, Kubeconfig


def absolute(
    environments: Environments, folder: Path, report: Callable[[tuple[str | int, ...], str], None]
) -> Environments:
    """The same environments with absolute paths. `report` hears of a `~` of nobody."""

    def expanded(path: str, *where: str) -> str:
        try:
            return str(folder / user_paths.expanded(path))
        except user_paths.NoHomeError as error:
            report(where, f"{error.what}: {error.why}; {error.hint}")
            return path

    backend = environments.state.backend
    if backend.startswith("file://"):  # relative to another folder: read by whoever opens it
        expanded(backend.removeprefix("file://"), "state", "backend")
    entries = dict(environments.environments)
    for name, environment in entries.items():
        declared = getattr(environment, "kubernetes", None)
        if isinstance(declared, Kubeconfig) and declared.kubeconfig:
            path = expanded(declared.kubeconfig, "environments", name, "kubernetes", "kubeconfig")
            kubernetes = declared.model_copy(update={"kubeconfig": path})
            entries[name] = environment.model_copy(update={"kubernetes": kubernetes})
    secrets = {
        name: source.model_copy(update={"file": expanded(source.file, "secrets", name, "file")})
        if source.file
        else source
        for name, source in environments.secrets.items()
    }
    return environments.model_copy(update={"environments": entries, "secrets": secrets})
