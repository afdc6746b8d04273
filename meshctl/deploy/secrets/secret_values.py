"""The values that may be in no file, plan or log: workload secrets, credentials for pods. EDGE.

Called by `session`, which marks them secret before the stack sees them. Names are those that `meshctl.render` gives
its late values: `secret.<name>`, `object_storage.access_key_id`, `object_storage.secret_access_key`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from meshctl import secret_variables
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments, SecretSource
from meshctl.objects import object_access
from meshctl.platforms import registry


def collect(deployment: Deployment, environments: Environments) -> dict[str, str]:
    """Every late value that is a secret.

    Raises: UsageError naming each secret that has no value and why, CredentialsError for the object store's profile.
    """
    values = _workload_secrets(deployment, environments)
    if registry.platform(deployment.provider).objects.has_keys and deployment.object_stores:
        # one Secret for each environment: its stores are reached with one set of variables
        found = object_access.access(deployment.object_stores[0])
        values["object_storage.access_key_id"] = found.access_key
        values["object_storage.secret_access_key"] = found.secret_key
        values["object_storage.endpoint"] = found.endpoint or f"https://s3.{found.region}.amazonaws.com"
    return values


def _workload_secrets(deployment: Deployment, environments: Environments) -> dict[str, str]:
    registries = {name for workload in deployment.workloads for name in workload.image_pull_secrets}
    used = {name for w in deployment.workloads for name in (*w.secrets.values(), *w.secret_files.values())}
    names = sorted(used | registries)
    values = {}
    faults = []
    for name in names:
        source = environments.secret_source(name)
        try:
            values[f"secret.{name}"] = _read(source)
        except _NoValue as fault:
            faults.append(f"{name} ({_place(name, source)} {fault})")
    if faults:
        raise UsageError(
            f"no value for the secret{'s' * (len(faults) > 1)} {', '.join(faults)}",
            why="workloads of the mesh need it; values are read when they are used, and kept in no file",
            hint="set the variable, or say where it is under `secrets:` in environments.yaml",
        )
    for name in sorted(registries):
        _check_registry(name, values[f"secret.{name}"])
    return values


def _place(name: str, source: SecretSource) -> str:
    """Where the value is read from, in words. People also paste the value itself there, so that only what looks like a
    variable's name is shown."""
    if source.file:
        return source.file
    variable = source.env or ""
    return f"${variable}" if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else f"the variable of secrets.{name}.env"


class _NoValue(Exception):  # noqa: N818  it says why
    """Why a source has no value. Never its content, which errors of decoding carry."""


def _read(source: SecretSource) -> str:
    """The value, without the line ends that editors add. Raises: _NoValue."""
    text = _decoded(_content(source))
    if text is None:
        raise _NoValue("is no UTF-8 text: encode it, for example with base64")
    if not text.strip():
        raise _NoValue("is empty")
    return text


def _content(source: SecretSource) -> bytes:
    if not source.file:
        found = secret_variables.value(source.env or "")
        if found is None:
            raise _NoValue("is not set")
        return found
    try:
        return Path(source.file).read_bytes()
    except FileNotFoundError:
        raise _NoValue("does not exist") from None
    except IsADirectoryError:
        raise _NoValue("is a directory") from None
    except OSError as error:
        raise _NoValue(f"can't be read: {error.strerror}") from None


def _decoded(content: bytes) -> str | None:
    """None for what no variable of a container can hold; a file of a pod gets the same text."""
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


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
