"""A role's name holds for all regions of an account: whose role is in the way of a new environment."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.questions import ApiAnswer, Findings
from tests.unit.preflight.asking import H100, asked, deployment, findings, up_as

SERVE = {"serve": {"nodes": 2, "accelerator": H100}}
OURS = {"meshctl.dev/mesh": "m", "meshctl.dev/environment": "e", "meshctl:urn": "urn"}
ELSEWHERE = {**OURS, "meshctl:region": "eu-central-1"}
USED_ELSEWHERE = {"RoleLastUsed": {"Region": "eu-central-1", "LastUsedDate": "2026-11-29T12:00:00Z"}}


def role(tags: dict[str, str], **more: Any) -> ApiAnswer:
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    return ApiAnswer({"Role": {"RoleName": "m-e-cluster", "Tags": listed, **more}})


def with_role(answer: ApiAnswer, name: str = "cluster") -> Findings:
    return findings(deployment(SERVE), {f"role-{name}": answer})


def test_the_roles_that_every_environment_makes_are_asked_about_before_its_cluster_is_there() -> None:
    wanted = deployment(SERVE)
    questions = asked(wanted)
    assert [questions[f"role-{name}"] for name in ("cluster", "nodes")] == ["get_role", "get_role"]
    assert not any(name.startswith("role-") for name in asked(wanted, up_as(wanted)))
    assert findings(wanted, {"role-cluster": role(ELSEWHERE)}, up_as(wanted)).gaps == ()


@pytest.mark.parametrize(
    "answer",
    [
        ApiAnswer(code="NoSuchEntity"),
        role({**OURS, "meshctl:region": "us-east-1"}),  # a first `up` was killed after it had made the role
        role(OURS),  # the same, of an older version; EKS has never used it
        role(OURS, RoleLastUsed={}),
        role(OURS, RoleLastUsed={"Region": "us-east-1"}),
    ],
    ids=["free", "our own", "of an older version", "never used", "used here"],
)
def test_what_a_killed_first_up_has_left_is_no_gap(answer: ApiAnswer) -> None:
    assert with_role(answer) == Findings()


@pytest.mark.parametrize(
    "answer", [role(ELSEWHERE), role(OURS, **USED_ELSEWHERE)], ids=["by its tag", "of an older version, by its use"]
)
def test_a_role_of_the_same_environment_in_another_region_is_not_taken_over(answer: ApiAnswer) -> None:
    [gap] = with_role(answer).gaps
    assert (gap.subject, gap.wanted) == ("cluster", "an IAM role named m-e-cluster")
    assert gap.best == "an environment of the same name in eu-central-1 has it"
    assert "another name than that in eu-central-1" in gap.hint


def test_both_roles_are_one_gap() -> None:
    answers = {"role-cluster": role(ELSEWHERE), "role-nodes": role(ELSEWHERE)}
    assert len(findings(deployment(SERVE), answers).gaps) == 1
    assert len(with_role(role(ELSEWHERE), "nodes").gaps) == 1


def test_where_a_node_was_says_nothing_of_where_its_cluster_is() -> None:
    """Its images come from registries in other regions."""
    assert with_role(role(OURS, **USED_ELSEWHERE), "nodes") == Findings()


def test_a_role_of_somebody_else_is_told_beforehand() -> None:
    [gap] = with_role(role({**OURS, "meshctl.dev/environment": "other"})).gaps
    assert gap.best == "there is one, which meshctl did not make for this environment"


def test_without_the_right_to_ask_it_goes_on() -> None:
    made = with_role(ApiAnswer(code="AccessDenied"))
    assert made.gaps == ()
    [note] = made.notes
    assert "whether the names of the cluster's roles are free" in note
