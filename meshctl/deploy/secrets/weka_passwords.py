"""Whether WEKA would take the passwords of an organization's users, before anything is made. PURE.

Called by `secret_values`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from meshctl.errors import UsageError
from meshctl.model.neural_mesh import NeuralMesh

_LEAST: Final = 8
# "at least 8 characters, and have at least one uppercase letter, one lowercase letter, and one number or special
# character": docs/UsersBody.md of github.com/weka/RESTapi_client at 25799c1e
_NEEDED: Final = ("[A-Z]", "[a-z]", "[^A-Za-z]")


def check(mesh: NeuralMesh, values: Mapping[str, str]) -> None:
    """`values`: by `secret.NAME`. Raises: UsageError, without the value."""
    organization = mesh.organization
    if organization is None:
        return
    for name in (organization.admin_secret, organization.driver_secret):
        value = values[f"secret.{name}"]
        if len(value) < _LEAST or not all(re.search(pattern, value) for pattern in _NEEDED):
            raise UsageError(
                f"WEKA takes no such password as that of the secret {name}",
                why=f"it must have at least {_LEAST} characters, among them an upper-case letter, a lower-case letter,"
                " and a digit or a special character",
                hint=f"choose another password for the organization {organization.name}",
            )
