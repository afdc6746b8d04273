"""Service-linked roles as AWS names them, where moto does not. EDGE: it changes a table of moto's in place.

`apply` is called by `server` once, before the first call; `has_spot_role` by the EKS part, whose spot instances need
the role ("Service-linked role for Spot Instance requests", EC2 user guide).
"""

from __future__ import annotations

from typing import Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import SERVICE_NAME_CONVERSION, iam_backends

_SPOT: Final = "AWSServiceRoleForEC2Spot"


def apply() -> None:
    SERVICE_NAME_CONVERSION["spot"] = "EC2Spot"


def has_spot_role() -> bool:
    """Nobody needs to have made it by hand: the first request for spot instances in the console does, too."""
    roles = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].roles.values()
    return any(role.name == _SPOT for role in roles)
