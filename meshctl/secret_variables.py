"""Removes variables with secrets from this process's environment, so that no child process inherits them. EDGE.

`cli.main` withdraws `MESHCTL_SECRET_…` and the state's passphrase before anything is started; `deploy.session` (and
`cli.context` for commands without a mesh) withdraws the variables that environments.yaml names. They are removed from
the environment itself, not from a copy for each child, because libraries start credential programs (the AWS SDK's
`credential_process`, a kubeconfig's `exec`) with the whole environment. `deploy.secrets.secret_values` reads the
secrets here, `engine.workspace` the passphrase, which goes to Pulumi alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

from meshctl import program_variables

PREFIX: Final = "MESHCTL_SECRET_"
PASSPHRASE: Final = "PULUMI_CONFIG_PASSPHRASE"  # noqa: S105  the name of a variable

_withdrawn: dict[bytes, bytes] = {}


def withdraw(names: Iterable[str]) -> None:
    """Remove these variables, and every `MESHCTL_SECRET_…`, from the environment. Variables that programs read
    themselves stay: see `program_variables`."""
    own = [name for name in os.environb if name.startswith(PREFIX.encode())]
    listed = [os.fsencode(name) for name in names if name not in program_variables.NAMES]
    for name in {*own, *listed} & os.environb.keys():
        _withdrawn[name] = os.environb.pop(name)


def value(name: str) -> bytes | None:
    """The value of the variable, withdrawn or not; None when it is not set."""
    key = os.fsencode(name)
    return os.environb.get(key, _withdrawn.get(key))


def forget() -> None:
    """Forget all that was withdrawn."""
    _withdrawn.clear()
