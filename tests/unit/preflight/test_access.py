"""Who gets into a cluster: its maker by an entry of their own, and what is said to those who do not."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards import cluster_maker
from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.model.deployment import Deployment
from meshctl.model.questions import NO_ANSWER, ApiAnswer, Findings, InPlace
from meshctl.model.stack_state import StackState
from meshctl.platforms.aws.iam import caller
from tests.unit import states
from tests.unit.preflight.asking import MADE, NOTHING, asked, aws, deployment, findings, up_as
from tests.unit.test_recorded import every_version, state_of

ACCOUNT = "arn:aws:iam::123456789012:"
ALICE, BOB, TEAM = f"{ACCOUNT}user/alice", f"{ACCOUNT}user/bob", f"{ACCOUNT}role/teams/genai/platform"
SESSION = "arn:aws:sts::123456789012:assumed-role/platform/alice"
WEB = {"web": {"nodes": 1, "cpu": {"cores": 4}}}


def identity(arn: str) -> ApiAnswer:
    return ApiAnswer({"Account": "123456789012", "Arn": arn})


def role(arn: str) -> ApiAnswer:
    return ApiAnswer({"Role": {"Arn": arn}})


def web(*admins: str, maker: str = "") -> Deployment:
    made = deployment(WEB, kubernetes={"admins": list(admins)})
    return made.model_copy(update={"cluster": made.cluster.model_copy(update={"maker": maker})})


def made_by(answers: dict[str, ApiAnswer], *admins: str) -> Findings:
    return findings(web(*admins), answers)


def test_a2_whoever_makes_the_cluster_gets_an_entry() -> None:
    made = made_by({"caller": identity(ALICE)})
    assert made.placed(web()).cluster.maker == ALICE
    assert (made.gaps, made.caller_gaps, made.notes) == ((), (), ())


def test_a2_the_entry_of_a_session_names_the_role_with_its_path() -> None:
    [question] = [each for each in aws().questions(web(), NOTHING) if each.name == "caller"]
    assert question.then is not None
    [follow_up] = question.then(identity(SESSION))
    assert (follow_up.operation, follow_up.arguments) == ("get_role", {"RoleName": "platform"})
    assert made_by({"caller": identity(SESSION), "caller-role": role(TEAM)}).maker == TEAM
    assert all(each.operation == "simulate_principal_policy" for each in question.then(identity(ALICE)))
    assert question.then(ApiAnswer(code="AccessDenied")) == ()


def test_a_role_whose_path_aws_does_not_say_may_stand_in_the_file() -> None:
    answers = {"caller": identity(SESSION), "caller-role": ApiAnswer(code="AccessDenied")}
    [gap] = made_by(answers).caller_gaps
    assert gap.best == "an entry needs the role's path, which AWS did not return (AccessDenied)"
    assert "`kubernetes.admins`" in gap.hint
    assert made_by(answers, BOB, TEAM).maker == TEAM


@pytest.mark.parametrize(
    ("answer", "best"),
    [
        (identity(f"{ACCOUNT}root"), "an entry needs an IAM role or user; the root user is neither"),
        (identity("arn:aws:sts::123456789012:federated-user/alice"), "EKS makes no entry for a session of STS"),
        (ApiAnswer(code=NO_ANSWER), "AWS did not say in time whose the credentials are"),
    ],
)
def test_who_can_have_no_entry_makes_no_cluster(answer: ApiAnswer, best: str) -> None:
    made = made_by({"caller": answer})
    [gap] = made.caller_gaps
    assert gap.subject == "cluster"
    assert best in gap.best
    assert made.maker == ""


def test_partitions_and_paths_of_users_are_kept() -> None:
    arn = "arn:aws-us-gov:iam::123456789012:user/ml/alice"
    who = caller.of_answers({"caller": identity(arn)})
    assert who is not None
    assert (who.arn, who.kind, who.name) == (arn, "user", "alice")
    who = caller.of_answers({"caller": identity("arn:aws-cn:sts::123456789012:assumed-role/platform/i-0123")})
    assert who is not None
    assert (who.arn, who.has_path) == ("arn:aws-cn:iam::123456789012:role/platform", False)


def state(*resources: dict[str, Any], before: Deployment | None = None) -> StackState:
    records = [{"custom": True, "id": "x", **each, "urn": f"urn:pulumi:e::m::t::{each['urn']}"} for each in resources]
    outputs = {"deployment": before.model_dump(mode="json")} if before else {}
    stack = {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e", "outputs": outputs}
    return states.state(stack, *records)


def cluster(**config: Any) -> dict[str, Any]:
    return {"type": "meshaws:eks:Cluster", "urn": "cluster:eks", "inputs": {"accessConfig": config}}


def entry(principal: str) -> dict[str, Any]:
    return {"type": "meshaws:eks:AccessEntry", "urn": "cluster:maker", "inputs": {"principalArn": principal}}


ENTRY = "meshaws:eks:AccessEntry"
OFF = {"bootstrapClusterCreatorAdminPermissions": False}
ON = {"bootstrapClusterCreatorAdminPermissions": True}


def test_the_entry_of_the_first_engineer_stays_when_the_second_runs_up() -> None:
    placed = Findings(maker=BOB).placed(web())
    assert cluster_maker.as_it_is_up(placed, state(cluster(**OFF), entry(ALICE))).cluster.maker == ALICE
    assert cluster_maker.as_it_is_up(placed, states.NOTHING).cluster.maker == BOB


def test_a_cluster_of_an_older_release_is_let_alone() -> None:
    placed = Findings(maker=BOB).placed(web())
    for config in (ON, {}):
        assert cluster_maker.as_it_is_up(placed, state(cluster(**config))).cluster.maker == ""


def test_whoever_goes_on_with_a_cluster_that_lets_nobody_in_gets_the_entry() -> None:
    assert cluster_maker.as_it_is_up(Findings(maker=BOB).placed(web()), state(cluster(**OFF))).cluster.maker == BOB


def test_a_cluster_that_is_gone_is_made_anew_for_the_same_maker() -> None:
    gone = state(entry(ALICE), before=web(maker=ALICE))
    assert cluster_maker.as_it_is_up(web(), gone).cluster.maker == ALICE
    assert cluster_maker.as_it_is_up(Findings(maker=BOB).placed(web()), gone).cluster.maker == BOB


@every_version
def test_what_older_releases_brought_up_keeps_its_maker(version: str) -> None:
    before = state_of(version, "aws-east")
    wanted = before.deployment
    assert wanted is not None
    assert cluster_maker.as_it_is_up(Findings(maker=BOB).placed(wanted), before) == wanted


def test_who_takes_themselves_out_of_the_list_is_warned() -> None:
    wanted = web(ALICE)
    before = InPlace(wanted.pools, MADE, maker=ALICE, admins=(ALICE, BOB))
    assert asked(wanted, before) == {"caller": "get_caller_identity"}
    [note] = findings(wanted, {"caller": identity(BOB)}, before).notes
    assert note.startswith(f"`kubernetes.admins` no longer has {BOB}")
    assert findings(wanted, {"caller": identity(ALICE)}, before).notes == ()
    assert asked(wanted, InPlace(wanted.pools, {**MADE, ENTRY: 1}, maker=ALICE, admins=(ALICE,))) == {}


def test_an_entry_that_is_gone_may_have_been_the_makers_who_is_gone_too() -> None:
    """EKS makes no entry for a principal that was deleted: somebody else has to become the maker."""
    before = InPlace(web().pools, MADE, maker=ALICE)
    assert asked(web(), before) == {"caller": "get_caller_identity"}
    placed = findings(web(), {"caller": identity(BOB)}, before).placed(web())
    gone = state(cluster(**OFF), before=web(maker=ALICE))
    assert cluster_maker.as_it_is_up(placed, gone).cluster.maker == BOB
    assert asked(web(), InPlace(web().pools, MADE)) == {}  # of an older release, which made none


def test_a_maker_who_leaves_the_list_keeps_their_entry() -> None:
    wanted = web()
    before = InPlace(wanted.pools, MADE, maker=ALICE, admins=(ALICE,))
    assert findings(wanted, {"caller": identity(ALICE)}, before).notes == ()


def test_a_plan_of_one_engineer_is_brought_up_by_another() -> None:
    assert web(maker=ALICE).digest == web(maker=BOB).digest == web().digest
    assert web(BOB).digest != web().digest


def test_what_was_let_in_is_read_from_the_state() -> None:
    read = pools_in_place.in_place(state(cluster(**OFF), before=web(BOB, maker=ALICE)))
    assert (read.maker, read.admins) == (ALICE, (BOB,))
    assert up_as(web()).admins == ()
