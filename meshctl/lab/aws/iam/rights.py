"""What the users of the lab's account may do: `ROOT/aws/policies.json`, enforced for each call. EDGE.

Called by `server` for every request. The file holds a list of IAM policy documents by profile of the credentials file:
{"engineer": [{"Version": …, "Statement": […]}]}. A profile that it does not name is an administrator. A statement with
`Deny` stands for a guard rail of the organization, a document with the Id `permissions-boundary` for the boundary of
the user: it gives no right, and what it does not allow is refused. The file may change while the lab runs.

Source: IAM user guide, "Policy evaluation logic"; the texts of the errors: "Troubleshoot access denied error messages".
"""

from __future__ import annotations

import fnmatch
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from meshctl.lab.aws import launches
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.iam.iam_requests import IamRequest, requests
from meshctl.lab.state import read_json

log = logging.getLogger(__name__)
_ALWAYS: Final = ("GetCallerIdentity",)  # no policy can forbid it (STS API reference)
_QUERY_AND_XML: Final = ("iam", "s3", "sts", "route53")  # services whose code for this is AccessDenied
_BOUNDARY: Final = "permissions-boundary"
BOUNDARY_DENY: Final = "implicitDeny by the boundary"
_SOURCE: Final = 'IAM user guide, "Policy evaluation logic"'


class Rights:
    """Reads the file for each call. A missing file restricts nobody."""

    def __init__(self, root: Path) -> None:
        self.file = root / "aws" / "policies.json"

    def policies(self, profile: str) -> list[dict[str, Any]] | None:
        """The documents of a user; None for an administrator."""
        return read_json(self.file).get(profile)

    def allow(self, profile: str, request: IamRequest) -> bool:
        policies = self.policies(profile)
        return policies is None or decide(policies, request) == "allowed"

    def check(self, call: Call, profile: str, user: str, given: Mapping[str, Any]) -> None:
        """`user`: its ARN. Raises: ApiError in the service's own form, which names the action."""
        policies = self.policies(profile)
        if policies is None or call.operation in _ALWAYS:
            return
        for request in requests(call, given, launches.of_call(call, given)):
            verdict = decide(policies, request)
            if verdict != "allowed":
                reason = _reason(request, verdict)
                message = f"User: {user} is not authorized to perform: {request.action} on resource: {request.resource}"
                log.warning("refused %s of %s: %s (%s)", request.action, profile, verdict, _SOURCE)
                raise _denied(call, request, f"{message} {reason}")


def decide(policies: list[dict[str, Any]], request: IamRequest) -> str:
    """`allowed`, `explicitDeny` or `implicitDeny`, as SimulatePrincipalPolicy calls them, or `BOUNDARY_DENY`."""
    boundaries = [policy for policy in policies if policy.get("Id") == _BOUNDARY]
    effects = _effects(policies, request)
    if "Deny" in effects:
        return "explicitDeny"
    if boundaries and "Allow" not in _effects(boundaries, request):
        return BOUNDARY_DENY
    own = [policy for policy in policies if policy not in boundaries]
    return "allowed" if "Allow" in _effects(own, request) else "implicitDeny"


def _effects(policies: list[dict[str, Any]], request: IamRequest) -> set[str]:
    statements = [statement for policy in policies for statement in _listed(policy["Statement"])]
    return {statement["Effect"] for statement in statements if _applies(statement, request)}


def _applies(statement: Mapping[str, Any], request: IamRequest) -> bool:
    is_action = any(fnmatch.fnmatchcase(request.action.lower(), each.lower()) for each in _listed(statement["Action"]))
    is_resource = any(fnmatch.fnmatchcase(request.resource, each) for each in _listed(statement["Resource"]))
    return is_action and is_resource and _meets(statement.get("Condition", {}), request.keys)


def _meets(conditions: Mapping[str, Mapping[str, Any]], keys: Mapping[str, str]) -> bool:
    return all(
        _meets_one(operator, keys.get(key), _listed(values))
        for operator, wanted in conditions.items()
        for key, values in wanted.items()
    )


def _meets_one(operator: str, value: str | None, wanted: list[str]) -> bool:
    """Of the few operators that guard rails need; another one is never met, so that it can't pass unseen. `value`: None
    where the call has no such key ("IAM JSON policy elements: Condition operators", IAM user guide)."""
    is_one = any(fnmatch.fnmatchcase(value or "", each) for each in wanted)
    match operator:
        case "StringEquals" | "ArnLike":
            return is_one
        case "StringNotEquals":
            return not is_one
        case "Null":
            return str(value is None).lower() in wanted
        case _:
            return False


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reason(request: IamRequest, verdict: str) -> str:
    if verdict == "explicitDeny":
        return "with an explicit deny in a service control policy"
    if verdict == BOUNDARY_DENY:
        return f"because no permissions boundary allows the {request.action} action"
    return f"because no identity-based policy allows the {request.action} action"


def _denied(call: Call, request: IamRequest, message: str) -> ApiError:
    if call.service == "eks" and request.action.startswith("ec2:"):
        return launches.refused()
    if call.service == "ec2":
        return ApiError("UnauthorizedOperation", f"You are not authorized to perform this operation. {message}")
    code = "AccessDenied" if call.service in _QUERY_AND_XML else "AccessDeniedException"
    return ApiError(code, message, status=403 if code == "AccessDenied" or call.service == "eks" else 400)
