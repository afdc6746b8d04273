"""The access entry of whoever runs a command is made again where somebody has deleted it."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import botocore.session
import botocore.validate
import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.guards import deleted_entries
from meshctl.engine.events import Progress
from meshctl.errors import CredentialsError
from meshctl.model.stack_state import StackState, as_outputs
from tests.unit import states
from tests.unit.deployments import deployment

CI, OPS = "arn:aws:iam::123456789012:role/team/ci", "arn:aws:iam::123456789012:user/ops"
SESSION_OF_CI = "arn:aws:sts::123456789012:assumed-role/ci/run-1"
ADMIN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
PROVIDER = "urn:pulumi:east::mesh::pulumi:providers:meshaws::aws"


def entry(name: str, principal: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a stack has for one principal, its policy first: in a state they stand in any order."""
    inputs = {"clusterName": "mesh-east", "principalArn": principal}
    association = {**inputs, "policyArn": ADMIN, "accessScope": {"type": "cluster"}}
    kinds = {
        "AccessPolicyAssociation": (f"{name}-policy", association),
        "AccessEntry": (name, {**inputs, "Tags": {"a": "b"}}),
    }
    policy, made = (
        {
            "urn": f"urn:pulumi:east::mesh::meshaws:eks:{kind}::cluster:{name_of_kind}",
            "type": f"meshaws:eks:{kind}",
            "custom": True,
            "inputs": of_kind,
            "provider": f"{PROVIDER}::1",
        }
        for kind, (name_of_kind, of_kind) in kinds.items()
    )
    return policy, made


@pytest.fixture
def state() -> StackState:
    return stack({})


def stack(outputs: dict[str, Any]) -> StackState:
    stack_itself = {
        "urn": "urn:pulumi:east::mesh::pulumi:pulumi:Stack::mesh-east",
        "type": "pulumi:pulumi:Stack",
        "outputs": {**as_outputs(deployment("aws-east")), **outputs},
    }
    provider = {
        "urn": PROVIDER,
        "id": "1",
        "type": "pulumi:providers:meshaws",
        "custom": True,
        "inputs": {"region": "us-east-1"},
    }
    return states.state(stack_itself, provider, *entry("maker", CI), *entry("admin-ops", OPS))


def assert_takes(operation: str, inputs: dict[str, Any]) -> None:
    """EKS has an operation with these arguments, by botocore's model of it."""
    shape = botocore.session.get_session().get_service_model("eks").operation_model(operation).input_shape
    assert shape is not None
    assert not botocore.validate.ParamValidator().validate(inputs, shape).has_errors()


class Aws:
    """STS and EKS. `entries`: the policies of each principal that has one."""

    def __init__(self, caller: str, entries: dict[str, list[str]], refused: str = "") -> None:
        self.caller, self.entries, self.refused = caller, entries, refused
        self.made: list[dict[str, Any]] = []
        self.unseen = 0  # calls that do not see yet what was just made

    def create_client(self, _service: str, **_options: Any) -> Aws:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": self.caller}

    def describe_access_entry(self, clusterName: str, principalArn: str) -> dict[str, Any]:  # noqa: N803 (the API's)
        if self.refused or principalArn not in self.entries:
            code = self.refused or "ResourceNotFoundException"
            raise botocore.exceptions.ClientError({"Error": {"Code": code, "Message": clusterName}}, "Describe")
        return {"accessEntry": {}}

    def create_access_entry(self, **inputs: Any) -> dict[str, Any]:
        assert_takes("CreateAccessEntry", inputs)
        self.made.append(inputs)
        self.entries[inputs["principalArn"]] = []
        return {"accessEntry": inputs}

    def list_associated_access_policies(self, clusterName: str, principalArn: str) -> dict[str, Any]:  # noqa: N803
        if self.unseen:
            self.unseen -= 1
            raise botocore.exceptions.ClientError(
                {"Error": {"Code": "ResourceNotFoundException", "Message": ""}}, "List"
            )
        return {"associatedAccessPolicies": [{"policyArn": policy} for policy in self.entries[principalArn]]}

    def associate_access_policy(self, **inputs: Any) -> dict[str, Any]:
        assert_takes("AssociateAccessPolicy", inputs)
        self.made.append(inputs)
        self.entries[inputs["principalArn"]].append(inputs["policyArn"])
        return {"associatedAccessPolicy": inputs}


def run(monkeypatch: pytest.MonkeyPatch, aws: Aws, state: StackState) -> list[Progress]:
    said: list[Progress] = []
    monkeypatch.setattr(deleted_entries, "aws_session", lambda _profile, _region: aws)
    deleted_entries.recreate_deleted_entries("east", state, said.append)
    return said


def test_the_entry_of_the_caller_is_made_again_with_its_policy(
    monkeypatch: pytest.MonkeyPatch, state: StackState
) -> None:
    aws = Aws(SESSION_OF_CI, {OPS: [ADMIN]})
    (said,) = run(monkeypatch, aws, state)
    names = {"clusterName": "mesh-east", "principalArn": CI}
    assert aws.made == [
        {**names, "tags": {"a": "b"}},
        {**names, "policyArn": ADMIN, "accessScope": {"type": "cluster"}},
    ]
    assert "somebody had deleted the access entry" in said.detail + said.action


def test_what_was_just_made_may_not_be_seen_at_once(monkeypatch: pytest.MonkeyPatch, state: StackState) -> None:
    monkeypatch.setattr(deleted_entries, "_LOOK_EVERY_S", 0.0)
    aws = Aws(SESSION_OF_CI, {})
    aws.unseen = 3
    run(monkeypatch, aws, state)
    assert aws.entries[CI] == [ADMIN]


def test_a_policy_that_was_taken_away_is_given_again(monkeypatch: pytest.MonkeyPatch, state: StackState) -> None:
    aws = Aws(SESSION_OF_CI, {CI: [], OPS: [ADMIN]})
    run(monkeypatch, aws, state)
    assert aws.entries[CI] == [ADMIN]


def test_an_entry_that_is_there_is_left_alone(monkeypatch: pytest.MonkeyPatch, state: StackState) -> None:
    aws = Aws(SESSION_OF_CI, {CI: [ADMIN], OPS: [ADMIN]})
    assert (run(monkeypatch, aws, state), aws.made) == ([], [])


def test_who_was_shut_out_on_purpose_gets_in_by_nobody_elses_run(
    monkeypatch: pytest.MonkeyPatch, state: StackState
) -> None:
    aws = Aws(SESSION_OF_CI, {CI: [ADMIN]})
    assert (run(monkeypatch, aws, state), aws.made) == ([], [])


def test_without_the_right_to_look_the_checks_that_follow_decide(
    monkeypatch: pytest.MonkeyPatch, state: StackState
) -> None:
    aws = Aws(SESSION_OF_CI, {}, refused="AccessDeniedException")
    assert (run(monkeypatch, aws, state), aws.made) == ([], [])


def test_a_state_without_entries_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deleted_entries, "aws_session", pytest.fail)
    deleted_entries.recreate_deleted_entries("east", states.NOTHING, None)


def test_the_cluster_is_waited_for_until_it_lets_the_caller_in(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [CredentialsError("401"), CredentialsError("401"), None]
    asked: list[ClusterAccess] = []

    def uid(access: ClusterAccess) -> str:
        asked.append(access)
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        return "1"

    monkeypatch.setattr("meshctl.clients.kubernetes.clusters.uid", uid)
    monkeypatch.setattr(deleted_entries, "_LOOK_EVERY_S", 0.0)
    run(monkeypatch, Aws(SESSION_OF_CI, {}), stack({"kubeconfig": "{}"}))
    assert (len(asked), answers) == (3, [])


@pytest.mark.parametrize(
    ("caller", "is_same"),
    [
        (SESSION_OF_CI, True),
        (CI, True),
        ("arn:aws:sts::123456789012:assumed-role/cd/run-1", False),
        ("arn:aws:sts::210987654321:assumed-role/ci/run-1", False),
        ("arn:aws:iam::123456789012:user/ci", False),
    ],
)
def test_a_session_is_of_a_role_with_a_path(caller: str, is_same: bool) -> None:
    assert deleted_entries.is_same_principal(CI, caller) is is_same
