"""The size of the policies that are written into a role, which moto takes of any length. EDGE (reads moto's IAM).

Called by `simulations` before moto answers PutRolePolicy. Blanks and line ends don't count. Source: "IAM and AWS STS
quotas", IAM user guide; the text is that of amplify-cli issue 1699.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.errors import ApiError

_MOST_CHARACTERS: Final = 10_240


def refuse(given: Mapping[str, Any]) -> None:
    """`given`: the input of PutRolePolicy. Raises: ApiError where the policies of the role would be too long."""
    roles = iam_backends[DEFAULT_ACCOUNT_ID]["aws"].roles.values()
    written = next((dict(role.policies) for role in roles if role.name == given["RoleName"]), {})
    written[given["PolicyName"]] = given["PolicyDocument"]
    if sum(len("".join(str(document).split())) for document in written.values()) > _MOST_CHARACTERS:
        raise ApiError(
            "LimitExceeded",
            f"Maximum policy size of {_MOST_CHARACTERS} bytes exceeded for role {given['RoleName']}",
            status=409,
            rule=rules.INLINE_POLICIES,
        )
