"""Guard rails of the account's organisation, as a service control policy has them. EDGE.

`guard_rails.json` in the lab's folder: {"permissionsBoundary": "arn:aws:iam::123456789012:policy/boundary"} refuses an
IAM role that is made or changed without this boundary; {"requiredTags": ["cost-centre"]} refuses a role, instances and
volumes without these tags; {"instanceTypes": ["m7i.*"]} refuses instances of other types; {"regions": ["us-east-1"]}
refuses all calls of EC2 and EKS elsewhere. The file may change while the lab runs. Source: "Service control policy
examples", AWS Organizations user guide, and "Permissions boundaries for IAM entities", IAM user guide; the text is that
of "Access denied error messages".
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID

from meshctl.lab.aws import launches, rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.launches import Launched
from meshctl.lab.aws.service import parsed
from meshctl.lab.state import read_json

_BOUNDED: Final = ("CreateRole", "PutRolePermissionsBoundary")
OPERATIONS: Final = (*_BOUNDED, "DeleteRolePermissionsBoundary")


class GuardRails:
    def __init__(self, root: Path) -> None:
        self.file = root / "guard_rails.json"

    def check(self, call: Call) -> None:
        """Raises: ApiError when a guard rail forbids the call."""
        rails = read_json(self.file)
        if not rails:
            return
        if call.service == "iam" and call.operation in OPERATIONS:
            refuse(call.operation, call.request.values, rails)
        if call.service not in ("ec2", "eks"):
            return
        arn = _foreign(call, rails)
        if call.operation in launches.OPERATIONS and not arn:
            launched = launches.of_call(call, parsed(call))
            arn = forbidden(launched, rails) if launched is not None else ""
            if arn and call.service == "eks":
                raise launches.refused()
        if arn:
            raise _denied(call, arn)


def _foreign(call: Call, rails: Mapping[str, Any]) -> str:
    """What is refused in a region that the organization does not want; "" elsewhere."""
    regions = rails.get("regions", ())
    return "*" if regions and call.region not in regions else ""


def forbidden(launched: Launched, rails: Mapping[str, Any]) -> str:
    """The ARN of what a guard rail does not let the call start; "" for nothing."""
    start = f"arn:aws:ec2:{launched.region}:{DEFAULT_ACCOUNT_ID}:"
    allowed, required = rails.get("instanceTypes", ["*"]), set(rails.get("requiredTags", ()))
    if not all(any(fnmatch.fnmatchcase(each, pattern) for pattern in allowed) for each in launched.types):
        return f"{start}instance/*"
    untagged = (kind for kind in ("instance", "volume") if required - launched.tags(kind).keys())
    return next((f"{start}{kind}/*" for kind in untagged), "")


def _denied(call: Call, arn: str) -> ApiError:
    text = (
        f"User: arn:aws:iam::{DEFAULT_ACCOUNT_ID}:user/lab is not authorized to perform:"
        f" {call.service}:{call.operation} on resource: {arn} with an explicit deny in a service control policy"
    )
    if call.service == "ec2":
        refused = f"You are not authorized to perform this operation. {text}"
        return ApiError("UnauthorizedOperation", refused, rule=rules.LAUNCH_RIGHTS if "/" in arn else None)
    return ApiError("AccessDeniedException", text, status=403)


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
