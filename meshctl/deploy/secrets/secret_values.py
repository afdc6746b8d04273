"""Reads secret values, which must not be in any file, plan or log: workload secrets, object store keys. EDGE.

Called by `session`; they are marked as Pulumi secrets before the stack sees them. The names are those that
`meshctl.render` gives its deferred values: `secret.<name>`, `object_storage.access_key_id`,
`object_storage.secret_access_key`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from meshctl import secret_variables
from meshctl.deploy.secrets import tls_secrets, weka_passwords
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.environment import Environments, SecretSource
from meshctl.model.pods import pull_secrets, texts
from meshctl.objects import object_access
from meshctl.platforms import registry


def collect(deployment: Deployment, environments: Environments) -> dict[str, str]:
    """The deferred values that are secret, by name.

    Raises: UsageError naming each secret that has no value and why, CredentialsError for the object store's profile.
    """
    values = _workload_secrets(deployment, environments)
    if registry.platform(deployment.provider).objects.has_keys and deployment.object_stores:
        # All stores of an environment are reached with the same variables, so there is one Secret for them.
        access = object_access.access(deployment.object_stores[0])
        values["object_storage.access_key_id"] = access.access_key
        values["object_storage.secret_access_key"] = access.secret_key
        values["object_storage.endpoint"] = access.endpoint or f"https://s3.{access.region}.amazonaws.com"
    return values


def _workload_secrets(deployment: Deployment, environments: Environments) -> dict[str, str]:
    registries = pull_secrets.names(deployment)
    used = {name for w in deployment.workloads for name in (*w.secrets.values(), *w.secret_files.values())}
    of_storage = set(deployment.neural_mesh.own_secrets) if deployment.neural_mesh is not None else set()
    names = sorted(used | registries | of_storage)
    values = {}
    problems = []
    for name in names:
        source = environments.secret_source(name)
        try:
            values[f"secret.{name}"] = _read(source)
        except _NoValue as reason:
            problems.append(f"{name} ({_place(name, source)} {reason})")
    if problems:
        raise UsageError(
            f"no value for the secret{'s' * (len(problems) > 1)} {', '.join(problems)}",
            why="the mesh needs it; meshctl reads values when it uses them, and stores them in no file",
            hint="set the variable, or name another variable or a file under `secrets:` in environments.yaml",
        )
    for name, gateway in sorted(tls_secrets.names(deployment).items()):
        tls_secrets.check(name, gateway, values[f"secret.{name}"])
    for name in sorted(registries):
        _check_registry(name, values[f"secret.{name}"])
    for workload in deployment.workloads:
        _check_sizes(workload, values)
    if deployment.neural_mesh is not None:
        weka_passwords.check(deployment.neural_mesh, values)
    return values


def _check_sizes(workload: Workload, values: Mapping[str, str]) -> None:
    """Values become variables of the container or files, and stand together in one Secret. Raises: UsageError."""
    sizes = {
        variable: len(f"{variable}={values[f'secret.{name}']}".encode()) for variable, name in workload.secrets.items()
    }
    for variable, size in sizes.items():
        if size > texts.LONGEST_STRING:
            name = workload.secrets[variable]
            raise UsageError(
                f"the secret {name} is too long for a variable of {workload.name}",
                why=f"{variable}=… has {size:,} bytes; Linux starts no program with more than {texts.LONGEST_STRING:,}",
                hint=f"make it a file of the pods instead: `secrets: {{/run/secrets/{name}: {name}}}`",
            )
    together = sum(sizes.values()) + sum(
        len(values[f"secret.{name}"].encode()) for name in workload.secret_files.values()
    )
    if together > texts.LONGEST_TOGETHER:
        raise UsageError(
            f"the secrets of {workload.name} are too long",
            why=f"they have {together:,} bytes, and a Secret of Kubernetes holds {texts.LONGEST_TOGETHER:,}",
            hint="keep it in a file of a storage that the workload mounts, and only its key in a secret",
        )


def _place(name: str, source: SecretSource) -> str:
    """Where the value is read from, for a message. Only what looks like the name of a variable is shown, because people
    also paste the value itself there."""
    if source.file:
        return source.file
    variable = source.env or ""
    return f"${variable}" if re.fullmatch(r"[A-Z_][A-Z0-9_]*", variable) else f"the variable of secrets.{name}.env"


class _NoValue(Exception):  # noqa: N818  it says why
    """Why a source has no value. Never the content, which decoding errors contain."""


def _read(source: SecretSource) -> str:
    """The value, without the line ends that editors add. Raises: _NoValue."""
    text = _decoded(_content(source))
    if text is None:
        raise _NoValue("is not UTF-8 text: encode it, for example with base64")
    if not text.strip():
        raise _NoValue("is empty")
    return text


def _content(source: SecretSource) -> bytes:
    if not source.file:
        value = secret_variables.value(source.env or "")
        if value is None:
            raise _NoValue("is not set")
        return value
    try:
        return Path(source.file).read_bytes()
    except FileNotFoundError:
        raise _NoValue("does not exist") from None
    except IsADirectoryError:
        raise _NoValue("is a directory") from None
    except OSError as error:
        raise _NoValue(f"can't be read: {error.strerror}") from None


def _decoded(content: bytes) -> str | None:
    """The content as text; None for bytes that an environment variable of a container can't hold.

    A file of a pod gets the same text.
    """
    try:
        text = content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text


def _check_registry(name: str, value: str) -> None:
    """Kubernetes accepts a Docker configuration that only names a credential helper, but no image can be pulled with
    it.

    Raises: UsageError.
    """
    try:
        entries = json.loads(value)["auths"].values()
        usable = any({"auth", "username", "identitytoken"} & entry.keys() for entry in entries)
    except (ValueError, KeyError, TypeError, AttributeError):
        usable = False
    if not usable:
        raise UsageError(
            f"the secret {name} has no registry credentials",
            why='imagePullSecrets needs a Docker configuration: {"auths": {"ghcr.io": {"auth": "…"}}}',
            hint="`docker login` writes no credentials into its file if a credential helper (credsStore) is set: write"
            " the file by hand",
        )
