"""EC2's dry runs of what a run would make: a refusal is one clear answer, before anything is made.

EC2 is played by what the lab enforces, which is written from AWS's references and not from meshctl's questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from meshctl.lab.aws.iam import guard_rails
from meshctl.lab.aws.iam.iam_requests import IamRequest
from meshctl.lab.aws.iam.rights import decide
from meshctl.lab.aws.launches import Launched
from meshctl.model.deployment import Deployment
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion, Findings, InPlace
from meshctl.platforms.aws.iam.iam_actions import operation_of
from tests.unit.preflight.asking import H100, MADE, NOTHING, aws, deployment

ALICE = "arn:aws:iam::123456789012:user/alice"
IDENTITY = ApiAnswer({"Arn": ALICE})
VPC = "dry run vpc"
WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}
SERVE = {"serve": {"nodes": 2, "accelerator": H100}}
ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}
IMAGE = ApiAnswer({"Parameter": {"Value": "ami-0123"}})
FAILED = "An error occurred (UnauthorizedOperation) when calling the {} operation: "
REFUSED = (
    "You are not authorized to perform this operation. User: {} is not authorized to perform: {} on resource: {} {}"
)
REASONS = {
    "explicitDeny": "with an explicit deny in a service control policy",
    "implicitDeny": "because no identity-based policy allows the {} action",
    "implicitDeny by the boundary": "because no permissions boundary allows the {} action",
}


def subnets(*zones: str) -> ApiAnswer:
    listed = [{"SubnetId": f"subnet-{zone}", "AvailabilityZone": f"us-east-1{zone}"} for zone in zones]
    return ApiAnswer({"Subnets": listed})


def statement(effect: str, action: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    made = {"Effect": effect, "Action": action, "Resource": resource}
    return {**made, "Condition": condition} if condition else made


def ec2(question: ApiQuestion, policies: list[dict[str, Any]], rails: Mapping[str, Any]) -> ApiAnswer:
    """As EC2 answers a dry run."""
    assert question.arguments["DryRun"] is True
    operation = operation_of(question.operation)
    keys = {"aws:RequestedRegion": "us-east-1"}
    requests = [IamRequest(f"ec2:{operation}", "*", keys)]
    if operation == "RunInstances":
        given = question.arguments
        launched = Launched("us-east-1", (given["InstanceType"],), given, given["SubnetId"])
        requests = [IamRequest("ec2:RunInstances", arn, {**keys, **own}) for arn, own in launched.resources()]
        arn = guard_rails.forbidden(launched, rails)
        if arn:
            return refusal(operation, arn, REASONS["explicitDeny"])
    for request in requests:
        verdict = decide(policies, request)
        if verdict != "allowed":
            return refusal(operation, request.resource, REASONS[verdict].format(request.action))
    return ApiAnswer(code="DryRunOperation")


def refusal(operation: str, resource: str, reason: str) -> ApiAnswer:
    text = REFUSED.format(ALICE, f"ec2:{operation}", resource, reason)
    return ApiAnswer(code="UnauthorizedOperation", message=FAILED.format(operation) + text)


def answers(
    wanted: Deployment,
    *statements: dict[str, Any],
    in_place: InPlace = NOTHING,
    rails: Mapping[str, Any] | None = None,
    **more: ApiAnswer,
) -> dict[str, ApiAnswer]:
    """Question after question. `more`: by the operations of questions."""
    waiting = [each for each in aws().questions(wanted, in_place) if each.name.startswith("dry run ")]
    answered = {"caller": IDENTITY}
    given = {"describe_subnets": subnets("a", "b"), "get_parameter": IMAGE, **more}
    while waiting:
        question = waiting.pop()
        by_policies = given.get(question.operation) or ec2(question, [{"Statement": list(statements)}], rails or {})
        answered[question.name] = by_policies
        waiting += question.then(by_policies) if question.then else ()
    return answered


def findings_of_all(wanted: Deployment, in_place: InPlace = NOTHING) -> Findings:
    return aws().findings(wanted, in_place, answers(wanted, ALL, in_place=in_place))


def findings_with(wanted: Deployment, *statements: dict[str, Any], **more: Any) -> Findings:
    in_place = more.get("in_place", NOTHING)
    return aws().findings(wanted, in_place, answers(wanted, *statements, **more))


def test_who_may_make_it_all_hears_nothing() -> None:
    made = findings_of_all(deployment({**WEB, **SERVE}))
    assert (made.gaps, made.caller_gaps, made.notes) == ((), (), ())


def test_every_question_that_makes_something_without_dry_run_is_none() -> None:
    """A preflight changes nothing: each operation reads, or is a dry run."""
    wanted = deployment({**WEB, **SERVE})
    waiting, operations = list(aws().questions(wanted, NOTHING)), set()
    given = {"describe_subnets": subnets("a"), "get_parameter": IMAGE, "get_caller_identity": IDENTITY}
    while waiting:
        question = waiting.pop()
        operations.add(question.operation)
        reads = question.operation.startswith(("describe_", "get_", "list_", "head_", "simulate_"))
        assert reads != (question.arguments.get("DryRun") is True), question
        waiting += question.then(given.get(question.operation, ApiAnswer())) if question.then else ()
    assert {"create_vpc", "allocate_address", "create_launch_template", "run_instances"} <= operations


def test_a_new_pool_asks_for_what_it_makes_alone() -> None:
    wanted = deployment({**WEB, "more": {"nodes": 1, "cpu": {"cores": 8}}})
    before = InPlace(deployment(WEB).pools, MADE)
    answered = answers(wanted, ALL, in_place=before)
    assert {name for name, answer in answered.items() if answer.code == "DryRunOperation"} == {
        "dry run launch template",
        "dry run instance more",
    }
    assert not any(name.startswith("dry run ") for name in answers(deployment(WEB), ALL, in_place=before))


def test_an_instance_is_asked_for_as_its_launch_template_says() -> None:
    """Else a guard rail on the metadata service refuses it (karpenter-provider-aws issue 9018)."""
    wanted = deployment(SERVE, tags={"cost-centre": "4711"})
    rails = {"requiredTags": ["cost-centre"], "instanceTypes": ["p5.*"]}
    tokens = statement("Deny", "ec2:*", "*:instance/*", StringNotEquals={"ec2:MetadataHttpTokens": "required"})
    plain = statement("Deny", "ec2:*", "*:volume/*", StringNotEquals={"ec2:Encrypted": "true"})
    assert findings_with(wanted, ALL, tokens, plain, rails=rails).caller_gaps == ()


GUARD_RAILS = pytest.mark.parametrize(
    ("rails", "statements"),
    [
        ({"instanceTypes": ["m7i.*", "m6i.*"]}, ()),
        ({"requiredTags": ["cost-centre"]}, ()),
        ({}, [statement("Deny", "ec2:RunInstances", "*:instance/*", StringEquals={"ec2:InstanceType": "p5.48xlarge"})]),
        ({}, [statement("Deny", "ec2:RunInstances", "*:instance/*", Null={"aws:RequestTag/cost-centre": "true"})]),
    ],
    ids=["type by guard rail", "tags by guard rail", "type by policy", "tags by policy"],
)


def simulated(decision: str, *missing_keys: str) -> dict[str, ApiAnswer]:
    """What IAM's simulation says of instances: by the organization's policies, if it denies them."""
    result = {
        "EvalActionName": "ec2:RunInstances",
        "EvalDecision": decision,
        "MissingContextValues": list(missing_keys),
        "OrganizationsDecisionDetail": {"AllowedByOrganizations": decision == "allowed"},
    }
    return {"rights Region": ApiAnswer({"EvaluationResults": [result]})}


@GUARD_RAILS
def test_a_guard_rail_on_instances_is_named_before_anything_is_made(
    rails: dict[str, Any], statements: list[dict[str, Any]]
) -> None:
    wanted = deployment(SERVE)
    denied = answers(wanted, ALL, *statements, rails=rails)
    made = aws().findings(wanted, NOTHING, {**denied, **simulated("explicitDeny")})
    [gap] = made.caller_gaps
    assert gap.wanted == "the right to ec2:RunInstances of p5.48xlarge (pool serve)"
    assert gap.best == f"a policy of the organization denies it to {ALICE}"
    assert "`tags` and machines for e that they allow" in gap.hint
    planned = made.of_a_plan()
    assert planned.caller_gaps == ()
    assert any(note.startswith(f"{gap.wanted}, which `up` needs: ") for note in planned.notes)


@GUARD_RAILS
@pytest.mark.parametrize(
    "simulation",
    [{}, simulated("allowed"), simulated("explicitDeny", "ec2:LaunchTemplate")],
    ids=["not asked", "allowed", "depends"],
)
def test_a_guard_rail_on_instances_that_the_simulation_does_not_see_is_a_note(
    rails: dict[str, Any], statements: list[dict[str, Any]], simulation: dict[str, ApiAnswer]
) -> None:
    """The launch by EKS says more of itself than a dry run, such as its launch template, for which a policy may exempt
    it: `up` would be refused for good."""
    wanted = deployment(SERVE)
    made = aws().findings(wanted, NOTHING, {**answers(wanted, ALL, *statements, rails=rails), **simulation})
    assert made.caller_gaps == ()
    [note] = [each for each in made.notes if "dry run does not let" in each]
    assert "call ec2:RunInstances of p5.48xlarge (pool serve)" in note


def test_a_market_is_asked_for_as_eks_buys_it() -> None:
    spot = deployment({"serve": {"nodes": 1, "accelerator": H100, "capacity": "spot"}})
    assert market_of(spot) == {"MarketType": "spot"}
    assert market_of(deployment(SERVE)) is None


def market_of(wanted: Deployment) -> Any:
    [subnets_question] = [each for each in aws().questions(wanted, NOTHING) if each.name == "dry run subnets"]
    assert subnets_question.then is not None
    [image] = subnets_question.then(subnets("a", "b"))
    assert image.then is not None
    [instance] = image.then(IMAGE)
    return instance.arguments.get("InstanceMarketOptions")


def test_a_pool_that_gets_another_machine_makes_no_launch_template() -> None:
    """It gets a version of the one that it has."""
    before = InPlace(deployment({"web": {"nodes": 1, "cpu": {"cores": 8}}}).pools, MADE)
    asked = {each.name for each in aws().questions(deployment(WEB), before)}
    assert "dry run subnets" in asked
    assert "dry run launch template" not in asked
    begun = InPlace(begun=before.pools, counts=MADE)
    assert "dry run launch template" not in {each.name for each in aws().questions(deployment(WEB), begun)}


def test_a_guard_rail_on_regions_is_one_gap() -> None:
    deny = statement("Deny", "ec2:*", StringNotEquals={"aws:RequestedRegion": "eu-central-1"})
    wanted = deployment(WEB)
    [gap] = aws().findings(wanted, NOTHING, {**answers(wanted, ALL, deny), **simulated("explicitDeny")}).caller_gaps
    for action in ("ec2:AllocateAddress", "ec2:CreateLaunchTemplate", "ec2:CreateVpc", "ec2:RunInstances of "):
        assert action in gap.wanted


def test_who_may_neither_ask_nor_make_gets_one_gap() -> None:
    made = findings_with(deployment(WEB))
    [gap] = made.caller_gaps
    assert gap.wanted == "the right to ec2:AllocateAddress, ec2:CreateLaunchTemplate, ec2:CreateVpc"
    assert gap.best == f"no policy of {ALICE} allows it"
    assert gap.hint == "attach the policy that `meshctl doctor --iam-policy e` prints"


def test_the_tags_of_what_is_made_need_a_right_of_their_own() -> None:
    denied = {VPC: refusal("CreateTags", "*", "because no identity-based policy allows the ec2:CreateTags action")}
    made = aws().findings(deployment(WEB), NOTHING, {"caller": IDENTITY, **denied})
    assert [gap.wanted for gap in made.caller_gaps] == ["the right to ec2:CreateTags"]


def test_a_reason_in_code_is_said_with_how_to_read_it() -> None:
    message = "You are not authorized to perform this operation. Encoded authorization failure message: 4GIOHlTkIaWHQD0"
    coded = ApiAnswer(code="UnauthorizedOperation", message=message)
    [gap] = aws().findings(deployment(WEB), NOTHING, {"caller": IDENTITY, VPC: coded}).caller_gaps
    assert gap.wanted == "the right to ec2:CreateVpc"
    assert "aws sts decode-authorization-message" in gap.hint


@pytest.mark.parametrize(
    ("resource", "reason"),
    [
        ("arn:aws:ec2:us-east-1:1:subnet/subnet-a", "with an explicit deny in a service control policy"),
        ("arn:aws:ec2:us-east-1::image/ami-0123", "with an explicit deny in a service control policy"),
        ("arn:aws:ec2:us-east-1:1:instance/*", "because no identity-based policy allows the ec2:RunInstances action"),
        ("arn:aws:ec2:us-east-1:1:instance/*", "because no permissions boundary allows the ec2:RunInstances action"),
    ],
)
def test_what_depends_on_what_is_not_there_yet_is_a_note_and_no_gap(resource: str, reason: str) -> None:
    """Such as a subnet of the own network, or a policy that asks for the launch template."""
    denied = {"dry run instance web": refusal("RunInstances", resource, reason)}
    made = aws().findings(deployment(WEB), NOTHING, {"caller": IDENTITY, **denied})
    assert made.caller_gaps == ()
    [note] = made.notes
    assert "call ec2:RunInstances of " in note
    assert "(pool web)" in note
    assert "so `up` goes on" in note


def test_what_a_dry_run_allows_no_simulation_denies() -> None:
    """IAM's simulation denies what an exemption lets through (aws-cli issue 10525)."""
    wanted = deployment(WEB)
    organization = {"OrganizationsDecisionDetail": {"AllowedByOrganizations": False}}
    results = [
        {"EvalActionName": action, "EvalDecision": "explicitDeny", **organization}
        for action in ("ec2:CreateVpc", "ec2:RunInstances", "ec2:CreateSubnet")
    ]
    by_iam = {"rights Region": ApiAnswer({"EvaluationResults": results})}
    [note] = aws().findings(wanted, NOTHING, {**answers(wanted, ALL), **by_iam}).notes
    assert "call ec2:CreateSubnet (asked for" in note


def test_what_the_simulation_finds_missing_is_said_once() -> None:
    wanted = deployment(WEB)
    results = [{"EvalActionName": "ec2:CreateVpc", "EvalDecision": "implicitDeny"}]
    by_iam = {"rights Region": ApiAnswer({"EvaluationResults": results})}
    denied = {VPC: refusal("CreateVpc", "*", "because no identity-based policy allows the ec2:CreateVpc action")}
    [gap] = aws().findings(wanted, NOTHING, {"caller": IDENTITY, **by_iam, **denied}).caller_gaps
    assert gap.wanted == "the right to ec2:CreateVpc"


def test_an_account_without_a_subnet_is_not_asked_about_instances_which_is_said() -> None:
    """Without one EC2 looks in the default VPC, which there may not be (karpenter-provider-aws issue 7834)."""
    made = findings_with(deployment(WEB), ALL, describe_subnets=subnets("f"))
    assert made.caller_gaps == ()
    [note] = made.notes
    assert "(pool web): its dry run needs a subnet, and the account has none in us-east-1" in note


@pytest.mark.parametrize("code", ["Unsupported", "RequestLimitExceeded", NO_ANSWER])
def test_another_answer_about_instances_is_a_note(code: str) -> None:
    made = findings_with(deployment(WEB), ALL, run_instances=ApiAnswer(code=code))
    assert (made.gaps, made.caller_gaps) == ((), ())
    assert made.notes == (f"EC2 did not say whether policies let you start its instances: {code}",)


@pytest.mark.parametrize("code", ["VpcLimitExceeded", "AddressLimitExceeded"])
def test_quotas_are_told_by_others(code: str) -> None:
    limit = ApiAnswer(code=code)
    made = findings_with(deployment(WEB), ALL, create_vpc=limit, allocate_address=limit)
    assert (made.gaps, made.caller_gaps, made.notes) == ((), (), ())


def test_a_subnet_of_the_environment_goes_before_others() -> None:
    own = {"meshctl.dev/mesh": "m", "meshctl.dev/environment": "e"}
    tags = [{"Key": key, "Value": value} for key, value in own.items()]
    zone = "us-east-1a"
    listed: list[dict[str, Any]] = [
        {"SubnetId": "subnet-1", "AvailabilityZone": zone},
        {"SubnetId": "subnet-2", "AvailabilityZone": zone, "DefaultForAz": True},
        {"SubnetId": "subnet-3", "AvailabilityZone": zone, "Tags": tags},
    ]
    chosen: list[str] = []
    while listed:
        [subnets_question] = [
            each for each in aws().questions(deployment(WEB), NOTHING) if each.name == "dry run subnets"
        ]
        assert subnets_question.then is not None
        [image] = subnets_question.then(ApiAnswer({"Subnets": listed}))
        assert image.then is not None
        [instance] = image.then(IMAGE)
        chosen.append(str(instance.arguments["SubnetId"]))
        listed = [each for each in listed if each["SubnetId"] != chosen[-1]]
    assert chosen == ["subnet-3", "subnet-2", "subnet-1"]
