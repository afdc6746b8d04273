"""The values that may be in no file, plan or log: workload secrets, credentials for pods. EDGE.

Called by `session`, which marks them secret before the stack sees them. Names are those that `meshctl.render` gives
its late values: `secret.<name>`, `object_storage.access_key_id`, `object_storage.secret_access_key`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from meshctl.engine import object_access
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments


def collect(deployment: Deployment, environments: Environments) -> dict[str, str]:
    """Every late value that is a secret.

    Raises: UsageError naming each secret that has no value, CredentialsError for the object store's profile.
    """
    values = _workload_secrets(deployment, environments)
    if deployment.provider != "aws" and deployment.object_stores:
        # one Secret for each environment: its stores are reached with one set of variables
        found = object_access.access(deployment.object_stores[0])
        values["object_storage.access_key_id"] = found.access_key
        values["object_storage.secret_access_key"] = found.secret_key
        values["object_storage.endpoint"] = found.endpoint
    return values


def _workload_secrets(deployment: Deployment, environments: Environments) -> dict[str, str]:
    registries = {name for workload in deployment.workloads for name in workload.image_pull_secrets}
    names = sorted({name for workload in deployment.workloads for name in workload.secrets.values()} | registries)
    values = {}
    missing = []
    for name in names:
        source = environments.secret_source(name)
        value = _from_file(source.file) if source.file else os.environ.get(source.env or "")
        if value is None:
            missing.append(f"{name} (from {source.file or '$' + str(source.env)})")
        else:
            values[f"secret.{name}"] = value
    if missing:
        raise UsageError(
            f"no value for the secret{'s' * (len(missing) > 1)} {', '.join(missing)}",
            why="workloads of the mesh need it; values are read when they are used, and kept in no file",
            hint="set the variable, or say where it is under `secrets:` in environments.yaml",
        )
    for name in sorted(registries):
        _check_registry(name, values[f"secret.{name}"])
    return values


def _check_registry(name: str, value: str) -> None:
    """A Docker configuration that only names a credential helper would be taken, and then open no registry."""
    try:
        entries = json.loads(value)["auths"].values()
        usable = any({"auth", "username", "identitytoken"} & entry.keys() for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise UsageError(
            f"the secret {name} opens no registry",
            why='imagePullSecrets needs a Docker configuration: {"auths": {"ghcr.io": {"auth": "…"}}}',
            hint="`docker login` writes no keys where a credential helper (credsStore) is set: write the file by hand",
        )


def _from_file(path: str) -> str | None:
    file = Path(path).expanduser()
    return file.read_text().rstrip("\n") if file.is_file() else None
