"""Guard rails of the account's organisation, as a service control policy has them. EDGE.

`guard_rails.json` in the lab's folder: {"permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"} refuses an
IAM role that is made or changed without this boundary; {"requiredTags": ["cost-centre"]} refuses a role without these
tags. The file may change while the lab runs. Source: "Service control policy examples", AWS Organizations user guide,
and "Permissions boundaries for IAM entities", IAM user guide; the text is that of "Access denied error messages".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.state import read_json

_BOUNDED: Final = ("CreateRole", "PutRolePermissionsBoundary")
OPERATIONS: Final = (*_BOUNDED, "DeleteRolePermissionsBoundary")


class GuardRails:
    def __init__(self, root: Path) -> None:
        self.file = root / "guard_rails.json"

    def check(self, call: Call) -> None:
        """Raises: ApiError when a guard rail forbids the call."""
        if call.service != "iam" or call.operation not in OPERATIONS:
            return
        rules = read_json(self.file)
        if rules:
            refuse(call.operation, call.request.values, rules)


def refuse(operation: str, given: Mapping[str, Any], rules: Mapping[str, Any]) -> None:
    """Raises: ApiError. `given`: the call's parameters as the query protocol has them."""
    boundary, required = rules.get("permissionsBoundary", ""), set(rules.get("requiredTags", ()))
    tags = {value for key, value in given.items() if key.startswith("Tags.member.") and key.endswith(".Key")}
    is_unbounded = bool(boundary) and given.get("PermissionsBoundary") != boundary
    if is_unbounded or (operation == "CreateRole" and required - tags):
        raise ApiError(
            "AccessDenied",
            f"User: arn:aws:iam::{DEFAULT_ACCOUNT_ID}:user/lab is not authorized to perform: iam:{operation} on"
            f" resource: arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role{given.get('Path', '/')}{given.get('RoleName', '')}"
            " with an explicit deny in a service control policy",
            status=403,
        )
