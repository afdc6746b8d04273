"""IAM's SimulatePrincipalPolicy, which moto does not have: answered from what the lab enforces. EDGE.

Served by `service`; everything else of IAM is moto's. Users have the policies of `aws/policies.json`, the guard rails
are those of `guard_rails.json`. Source: IAM API reference, SimulatePrincipalPolicy and EvaluationResult.
"""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import iam_backends

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.iam import guard_rails, inline_policies
from meshctl.lab.aws.iam.iam_requests import IamRequest
from meshctl.lab.aws.iam.rights import BOUNDARY_DENY, Rights, decide
from meshctl.lab.aws.service import Service
from meshctl.lab.state import read_json

Object = dict[str, Any]
_PAGE: Final = 100  # MaxItems where the call says none
_DENIES: Final = "explicitDeny"
# "If the key is not present in the request context, the values do not match and the condition is true" (IAM user guide,
# "IAM JSON policy elements: Condition operators", on negated matching)
_NEGATED: Final = ("ArnNotEquals", "ArnNotLike", "StringNotEquals", "StringNotLike")


class Simulations(Service):
    name: ClassVar[str] = "iam"
    replaces_moto: ClassVar[bool] = False
    invalid: ClassVar[str] = "InvalidInput"

    def __init__(self, root: Path, rights: Rights) -> None:
        self.rights = rights
        self.rails = root / "guard_rails.json"

    def simulate_principal_policy(self, call: Call, given: Object) -> Object:
        policies = self._policies(given["PolicySourceArn"])
        results = simulate(policies, given, read_json(self.rails))
        start, size = int(given.get("Marker") or 0), int(given.get("MaxItems") or _PAGE)
        page: Object = {"EvaluationResults": results[start : start + size], "IsTruncated": start + size < len(results)}
        return {**page, "Marker": str(start + size)} if page["IsTruncated"] else page

    def before(self, call: Call) -> None:
        if call.operation == "PutRolePolicy":
            inline_policies.refuse(self.given(call))

    def _policies(self, source: str) -> list[Object] | None:
        """None for administrators, and for roles, whose rights the lab does not look at."""
        iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
        if source in {role.arn for role in iam.roles.values()}:
            return None
        if source not in {user.arn for user in iam.users.values()}:
            raise ApiError("NoSuchEntity", f"The entity with ARN {source} cannot be found.", status=404)
        return self.rights.policies(source.rpartition("/")[2])


def simulate(policies: list[Object] | None, given: Mapping[str, Any], rails: Mapping[str, Any]) -> list[Object]:
    """The results by action. `policies`: None allows everything. `rails`: as `guard_rails` has them."""
    keys = {each["ContextKeyName"]: each["ContextKeyValues"][0] for each in given.get("ContextEntries") or ()}
    resources = list(given.get("ResourceArns") or ["*"])
    policies = policies and [_as_simulated(policy, keys) for policy in policies]
    return [_result(policies, action, resources, keys, rails) for action in given["ActionNames"]]


def _as_simulated(policy: Object, keys: Mapping[str, str]) -> Object:
    """The document as the simulation evaluates it: an exemption from a Deny is not seen where its key was not given,
    which no answer says (aws-cli issue 10525)."""
    statements = policy["Statement"] if isinstance(policy["Statement"], list) else [policy["Statement"]]
    return {**policy, "Statement": [_without_unseen(each, keys) for each in statements]}


def _without_unseen(statement: Object, keys: Mapping[str, str]) -> Object:
    if statement["Effect"] != "Deny":
        return statement
    conditions = {
        operator: wanted
        for operator, wanted in statement.get("Condition", {}).items()
        if operator not in _NEGATED or any(key in keys for key in wanted)
    }
    return {**statement, "Condition": conditions}


def _result(
    policies: list[Object] | None, action: str, resources: list[str], keys: Mapping[str, str], rails: Mapping[str, Any]
) -> Object:
    verdicts = [_verdict(policies, IamRequest(action, each, keys), rails) for each in resources]
    singles = [
        {"EvalResourceName": resource, "EvalResourceDecision": _decision(verdict), "MissingContextValues": []}
        for resource, verdict in zip(resources, verdicts, strict=True)
    ]
    worst = next((each for each in (_DENIES, BOUNDARY_DENY, "implicitDeny") if each in verdicts), "allowed")
    return {
        "EvalActionName": action,
        "EvalResourceName": resources[0],
        "EvalDecision": _decision(worst),
        "MissingContextValues": [],
        # what a policy of the lab denies, the organization denies: see `rights`
        "OrganizationsDecisionDetail": {"AllowedByOrganizations": _DENIES not in verdicts},
        "PermissionsBoundaryDecisionDetail": {"AllowedByPermissionsBoundary": BOUNDARY_DENY not in verdicts},
        "ResourceSpecificResults": singles,
    }


def _verdict(policies: list[Object] | None, request: IamRequest, rails: Mapping[str, Any]) -> str:
    if rails and _breaks(request, rails):
        return _DENIES
    return decide(policies, request) if policies is not None else "allowed"


def _breaks(request: IamRequest, rails: Mapping[str, Any]) -> bool:
    if request.action == "ec2:RunInstances":
        return _breaks_of_instances(request.keys, rails)
    service, _, operation = request.action.partition(":")
    if service != "iam" or operation not in guard_rails.OPERATIONS:
        return False
    start = "aws:RequestTag/"
    tags = [key.removeprefix(start) for key in request.keys if key.startswith(start)]
    values = {f"Tags.member.{number}.Key": tag for number, tag in enumerate(tags, start=1)}
    values |= {"PermissionsBoundary": request.keys.get("iam:PermissionsBoundary", "")}
    try:
        guard_rails.refuse(operation, values, rails)
    except ApiError:
        return True
    return False


def _breaks_of_instances(keys: Mapping[str, str], rails: Mapping[str, Any]) -> bool:
    """The simulation denies instances whose type or tags the question does not say: negated matching is true of a key
    that is missing."""
    types = rails.get("instanceTypes")
    machine = keys.get("ec2:InstanceType", "")
    is_of_another_type = types is not None and not any(fnmatch.fnmatchcase(machine, each) for each in types)
    return is_of_another_type or any(f"aws:RequestTag/{tag}" not in keys for tag in rails.get("requiredTags", ()))


def _decision(verdict: str) -> str:
    return "implicitDeny" if verdict == BOUNDARY_DENY else verdict
