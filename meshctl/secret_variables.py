"""Variables of this process's environment that hold secrets: taken out of it, so that no child inherits them. EDGE.

`cli.main` withdraws `MESHCTL_SECRET_…` and the state's passphrase before anything is started, `deploy.session` (and
`cli.context` for commands without a mesh) the variables that environments.yaml names. Out of the environment itself,
not out of a copy for each child: credential programs are started by libraries (the AWS SDK's `credential_process`, a
kubeconfig's `exec`), which hand on what there is. `deploy.secrets.secret_values` reads the secrets here,
`engine.workspace` the passphrase, which goes to Pulumi alone.
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
    """Take these variables out of the environment, and every `MESHCTL_SECRET_…`. What programs read for themselves
    stays: see `program_variables`."""
    own = [name for name in os.environb if name.startswith(PREFIX.encode())]
    given = [os.fsencode(name) for name in names if name not in program_variables.NAMES]
    for name in {*own, *given} & os.environb.keys():
        _withdrawn[name] = os.environb.pop(name)


def value(name: str) -> bytes | None:
    """What the variable holds, withdrawn or not; None where it is not set."""
    key = os.fsencode(name)
    return os.environb.get(key, _withdrawn.get(key))


def forget() -> None:
    """Forget all that was withdrawn."""
    _withdrawn.clear()
