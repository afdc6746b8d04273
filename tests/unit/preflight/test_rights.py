"""The rights of whoever runs meshctl, as IAM simulates them: what is missing, by whose policy, and what nobody can say.

IAM is played by what the lab enforces, which is written from AWS's references and not from meshctl's policy.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.lab.aws.iam.iam_requests import IamRequest
from meshctl.lab.aws.iam.rights import decide
from meshctl.lab.aws.iam.simulations import simulate
from meshctl.model.deployment import Deployment, ExistingFileSystem
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion, Findings, InPlace, PolicyScope
from tests.unit.preflight.asking import MADE, NOTHING, aws, deployment, findings
from tests.unit.stacks.declared_on_aws import example

ACCOUNT = "123456789012"
ALICE = f"arn:aws:iam::{ACCOUNT}:user/alice"
IDENTITY = ApiAnswer({"Arn": ALICE})
WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
DATA = {"storage": {"data": {"kind": "object", "size": "10GiB"}}}
MIXED = "Invalid Input Actions: [{}] and [{}] require different authorization information."


def first_questions(wanted: Deployment, in_place: InPlace = NOTHING) -> tuple[ApiQuestion, ...]:
    [caller] = [each for each in aws().questions(wanted, in_place) if each.name == "caller"]
    assert caller.then is not None
    return caller.then(IDENTITY)


def answers(
    wanted: Deployment, *policies: dict[str, Any], in_place: InPlace = NOTHING, rails: dict[str, Any] | None = None
) -> dict[str, ApiAnswer]:
    """As IAM answers, question after question."""
    waiting, answered = list(first_questions(wanted, in_place)), {"caller": IDENTITY}
    while waiting:
        question = waiting.pop()
        given = list(policies) or None
        answer = ApiAnswer({"EvaluationResults": simulate(given, question.arguments, rails or {})})
        answered[question.name] = answer
        waiting += question.then(answer) if question.then else ()
    return answered


def rights_of(
    wanted: Deployment, *policies: dict[str, Any], in_place: InPlace = NOTHING, rails: dict[str, Any] | None = None
) -> Findings:
    return findings(wanted, answers(wanted, *policies, in_place=in_place, rails=rails), in_place)


def printed(wanted: Deployment) -> dict[str, Any]:
    policy = aws().policy
    assert policy is not None
    document: dict[str, Any] = json.loads(json.dumps(policy(wanted, PolicyScope())))
    return document


def document(effect: str, *actions: str, resource: str = "*", **more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": effect, "Action": list(actions), "Resource": resource}], **more}


EVERYTHING = document("Allow", "*")


@pytest.mark.parametrize("wanted", [deployment(WEB), deployment(WEB, DATA), example()], ids=["web", "data", "example"])
def test_a12_the_printed_policy_has_every_right(wanted: Deployment) -> None:
    made = rights_of(wanted, printed(wanted))
    assert (made.caller_gaps, made.notes) == ((), ())


def test_few_calls_ask_for_all_actions_of_the_policy() -> None:
    wanted = example()
    questions = first_questions(wanted)
    assert len(questions) <= 8
    assert all(question.arguments["PaginationConfig"] == {"PageSize": 1000} for question in questions)
    asked = {action for question in questions for action in question.arguments["ActionNames"]}
    content = {"s3:GetObject", "s3:PutObject", "s3:ListBucket", "iam:CreateServiceLinkedRole"}
    statements = printed(wanted)["Statement"]
    skipped = {"Lists", "Objects", "Link"}
    printed_actions = {name for each in statements if each["Sid"] not in skipped for name in each["Action"]}
    # what is only asked beforehand may be refused
    assert {"servicequotas:GetServiceQuota", "iam:SimulatePrincipalPolicy"} <= printed_actions - asked
    assert asked <= printed_actions
    assert {"iam:CreateRole", "eks:CreateCluster", "iam:PassRole", "fsx:CreateFileSystem", "s3:CreateBucket"} <= asked
    assert not asked & content


def sources(arn: str, *roles: ApiAnswer) -> set[str]:
    """Whose policies are simulated for a caller. `roles`: what IAM says of the caller's role."""
    [caller] = [each for each in aws().questions(deployment(WEB), NOTHING) if each.name == "caller"]
    assert caller.then is not None
    further = caller.then(ApiAnswer({"Arn": arn}))
    for role in roles:
        [question] = further
        assert question.then is not None
        further = question.then(role)
    return {each.arguments["PolicySourceArn"] for each in further}


def test_the_rights_of_a_session_are_those_of_its_role() -> None:
    session, role = f"arn:aws:sts::{ACCOUNT}:assumed-role/platform/alice", f"arn:aws:iam::{ACCOUNT}:role/ml/platform"
    assert sources(session, ApiAnswer({"Role": {"Arn": role}})) == {role}
    assert sources(session, ApiAnswer(code="AccessDenied")) == {f"arn:aws:iam::{ACCOUNT}:role/platform"}
    assert sources(ALICE) == {ALICE}
    assert sources(f"arn:aws:iam::{ACCOUNT}:root") == set()
    assert sources(f"arn:aws:sts::{ACCOUNT}:federated-user/alice") == set()


def test_a_right_that_no_policy_gives_is_named_before_anything_is_made() -> None:
    wanted, policy = deployment(WEB), printed(deployment(WEB))
    for statement in policy["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name not in ("iam:CreateRole", "ec2:CreateVpc")]
    [gap] = rights_of(wanted, policy).caller_gaps
    assert gap.subject == "account"
    assert gap.wanted == "the right to ec2:CreateVpc, iam:CreateRole"
    assert gap.best == f"no policy of {ALICE} allows it"
    assert "`meshctl doctor --iam-policy e`" in gap.hint


def test_who_may_not_look_for_the_nodes_of_add_ons_brings_up_what_they_may() -> None:
    """A policy that an older release printed lacks the right, and the provider goes on without it."""
    wanted, policy = deployment(WEB), printed(deployment(WEB))
    assert any("eks:ListNodegroups" in statement["Action"] for statement in policy["Statement"])
    for statement in policy["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != "eks:ListNodegroups"]
    assert rights_of(wanted, policy).caller_gaps == ()


def test_who_may_not_read_quotas_brings_up_what_they_may() -> None:
    wanted, policy = deployment(WEB), printed(deployment(WEB))
    for statement in policy["Statement"]:
        statement["Action"] = [name for name in statement["Action"] if name != "servicequotas:GetServiceQuota"]
    assert rights_of(wanted, policy).caller_gaps == ()


def test_a_guard_rail_that_keeps_what_is_up_from_being_deleted_keeps_nobody_from_an_up() -> None:
    deletes = document("Deny", "eks:Delete*", "ec2:Delete*", "ec2:Release*", "s3:Delete*", "iam:Detach*")
    assert rights_of(deployment(WEB, DATA), EVERYTHING, deletes).caller_gaps == ()


def test_half_of_the_rights_is_one_gap_with_every_action() -> None:
    wanted = deployment(WEB)
    policy = printed(wanted)
    policy["Statement"] = policy["Statement"][: len(policy["Statement"]) // 2]
    [gap] = rights_of(wanted, policy).caller_gaps
    assert {"iam:PassRole", "logs:CreateLogGroup"} <= set(gap.wanted.removeprefix("the right to ").split(", "))


def test_a_guard_rail_of_the_organization_is_named_and_keeps_nobody_from_trying() -> None:
    """IAM's simulation is wrong of service control policies that it has not all keys for, and does not say which."""
    made = rights_of(deployment(WEB), EVERYTHING, document("Deny", "iam:CreateRole"))
    assert made.caller_gaps == ()
    [note] = made.notes
    assert f"do not let {ALICE} call iam:CreateRole" in note
    assert "asked for us-east-1, with the tags meshctl.dev/environment, " in note
    assert "`permissionsBoundary`, `rolePath` and `tags` of e" in note


def test_a_guard_rail_with_an_exemption_that_the_simulation_does_not_see_is_a_note() -> None:
    """It answers explicitDeny without any missing key (aws-cli issue 10525), where the call itself is allowed."""
    exempted = {"ArnNotLike": {"aws:PrincipalArn": ALICE}}
    rail = document("Deny", "iam:CreateRole")
    rail["Statement"][0]["Condition"] = exempted
    made = rights_of(deployment(WEB), EVERYTHING, rail)
    assert made.caller_gaps == ()
    [note] = made.notes
    assert "iam:CreateRole" in note
    assert decide([EVERYTHING, rail], IamRequest("iam:CreateRole", "*", {})) == "allowed"


def test_a_guard_rail_that_the_environment_obeys_is_none() -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    rails = {"permissionsBoundary": boundary, "requiredTags": ["cost-centre"]}
    [note] = rights_of(deployment(WEB), EVERYTHING, rails=rails).notes
    assert "iam:CreateRole" in note
    obeying = deployment(WEB, permissionsBoundary=boundary, tags={"cost-centre": "4711"})
    assert not any("iam:CreateRole" in each for each in rights_of(obeying, EVERYTHING, rails=rails).notes)


def test_a_permissions_boundary_is_named() -> None:
    boundary = document("Allow", "ec2:*", "eks:*", "logs:*", "sts:*", "servicequotas:*", Id="permissions-boundary")
    [gap] = rights_of(deployment(WEB), EVERYTHING, boundary).caller_gaps
    assert "iam:CreateRole" in gap.wanted
    assert gap.best == f"the permissions boundary of {ALICE} does not allow it"


def result(action: str, decision: str, **more: Any) -> ApiAnswer:
    return ApiAnswer({"EvaluationResults": [{"EvalActionName": action, "EvalDecision": decision, **more}]})


def simulated(**by_group: ApiAnswer) -> Findings:
    named = {f"rights {name}": answer for name, answer in by_group.items()}
    return findings(deployment(WEB), {"caller": IDENTITY, **named})


def test_a_deny_in_the_callers_own_policies_is_named() -> None:
    allowed = {"OrganizationsDecisionDetail": {"AllowedByOrganizations": True}}
    [gap] = simulated(Roles=result("iam:CreateRole", "explicitDeny", **allowed)).caller_gaps
    assert gap.best == f"a policy of {ALICE} denies it"


@pytest.mark.parametrize("decision", ["implicitDeny", "explicitDeny"])
def test_what_the_simulation_can_not_tell_of_policies_of_the_organization_is_a_note_and_no_gap(decision: str) -> None:
    """A guard rail on regions makes it answer so of all that administrators do (aws-sdk issue 102)."""
    made = simulated(
        Region=result("ec2:CreateVpc", decision, OrganizationsDecisionDetail={"AllowedByOrganizations": False})
    )
    assert made.caller_gaps == ()
    [note] = made.notes
    assert "ec2:CreateVpc" in note
    assert "policies of the organization" in note


def test_what_depends_on_keys_that_nobody_gave_is_a_note_and_no_gap() -> None:
    """A policy that denies everything without a second factor denies every simulation."""
    missing = {"MissingContextValues": ["aws:MultiFactorAuthPresent"]}
    made = simulated(Roles=result("iam:CreateRole", "explicitDeny", **missing))
    [note] = made.notes
    assert made.caller_gaps == ()
    assert "iam:CreateRole: that depends on aws:MultiFactorAuthPresent" in note


@pytest.mark.parametrize(
    ("code", "words"), [("AccessDenied", "AWS did not say (AccessDenied)"), (NO_ANSWER, "AWS did not say in time")]
)
def test_who_may_not_ask_is_told_in_one_line(code: str, words: str) -> None:
    refused = {f"rights {each}": ApiAnswer(code=code) for each in ("Look", "Cluster", "Roles")}
    made = findings(deployment(WEB), {"caller": IDENTITY, **refused})
    [note] = made.notes
    assert made.caller_gaps == ()
    assert note.startswith(f"{words} whether {ALICE} has all rights")


def test_actions_that_one_call_does_not_take_together_are_asked_apart() -> None:
    [question] = [each for each in first_questions(deployment(WEB)) if "iam:PassRole" in each.arguments["ActionNames"]]
    actions = question.arguments["ActionNames"]
    others = [name for name in actions if name != "iam:PassRole"]
    assert question.then is not None
    refused = ApiAnswer(code="InvalidInput", message=MIXED.format("iam:PassRole", ", ".join(others)))
    parts = question.then(refused)
    assert [each.arguments["ActionNames"] for each in parts] == [["iam:PassRole"], others]
    assert all(each.name.startswith(f"{question.name}:") for each in parts)
    assert question.then(ApiAnswer(code="InvalidInput", message="something else")) == ()
    asked_again = {each.name: result("iam:PassRole", "allowed") for each in parts}
    assert findings(deployment(WEB), {"caller": IDENTITY, question.name: refused, **asked_again}).notes == ()


def test_a_policy_that_names_kinds_of_resources_is_enough() -> None:
    wanted, policy = deployment(WEB), printed(deployment(WEB))
    for statement in policy["Statement"]:
        if statement["Sid"] == "Region":
            statement["Action"].remove("ec2:CreateVpc")
    vpcs = document("Allow", "ec2:CreateVpc", resource="arn:aws:ec2:*:*:vpc/*")
    assert rights_of(wanted, policy, vpcs).caller_gaps == ()


def test_who_adds_a_pool_needs_no_rights_for_what_is_up() -> None:
    wanted = deployment({**WEB, "more": {"nodes": 1, "cpu": {"cores": 8}}})
    before = InPlace(deployment(WEB).pools, MADE)
    few = document("Allow", "ec2:*", "eks:*", "iam:PassRole", "iam:GetRole", "iam:ListAttachedRolePolicies")
    assert rights_of(wanted, few, in_place=before).caller_gaps == ()
    [gap] = rights_of(wanted, document("Allow", "ec2:*"), in_place=before).caller_gaps
    assert "eks:CreateNodegroup" in gap.wanted
    assert "iam:CreateRole" not in gap.wanted


def test_a_file_system_that_is_adopted_needs_no_right_to_make_one() -> None:
    """Beside one of meshctl's own, with which the policy has that right, it is nothing that is still to be made."""
    own = example().file_systems[0]
    adopted = own.model_copy(update={"name": "theirs", "existing": ExistingFileSystem(id="fs-0123456789abcdef0")})
    wanted = example().model_copy(update={"file_systems": (own, adopted)})
    made = {**MADE, "meshaws:fsx:FileSystem": 1, "meshaws:s3:Bucket": len(wanted.object_stores)}
    before = InPlace(wanted.pools[1:], made)
    few = document("Allow", "ec2:*", "eks:*", "iam:PassRole", "iam:GetRole", "iam:ListAttachedRolePolicies")
    assert rights_of(wanted, few, in_place=before).caller_gaps == ()
