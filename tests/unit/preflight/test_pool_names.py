"""The names of a new pool's launch template and placement group, which another environment may have."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Gap
from meshctl.model.questions import ApiAnswer, InPlace
from tests.unit.preflight.asking import H100, MADE, aws, deployment, findings, up_as

RDMA = {"fabrics": {"f": {"kind": "rdma", "bandwidth": "400Gbps", "placement": "cluster"}}}
POOLS: dict[str, Any] = {
    "train": {"nodes": 2, "accelerator": H100, "fabric": "f"},
    "web": {"nodes": 1, "cpu": {"cores": 4}},
}
WANTED = deployment(POOLS, RDMA)
OURS = {"meshctl.dev/mesh": "m", "meshctl.dev/environment": "e"}
THEIRS = {**OURS, "meshctl.dev/environment": "e-train"}
TEMPLATES, GROUPS = "launch template names", "placement group names"


def filters(in_place: InPlace) -> dict[str, Any]:
    asked = {each.name: each for each in aws().questions(WANTED, in_place)}
    return {name: asked[name].arguments["Filters"] for name in (TEMPLATES, GROUPS) if name in asked}


def template(name: str, tags: dict[str, str]) -> ApiAnswer:
    return ApiAnswer({"LaunchTemplates": [{"LaunchTemplateName": name, "Tags": listed(tags)}]})


def group(name: str, tags: dict[str, str]) -> ApiAnswer:
    return ApiAnswer({"PlacementGroups": [{"GroupName": name, "Tags": listed(tags)}]})


def listed(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def gaps(name: str, answer: ApiAnswer, in_place: InPlace | None = None) -> tuple[Gap, ...]:
    return findings(WANTED, {name: answer}, in_place or InPlace()).gaps


def test_each_new_pool_has_a_template_and_one_with_a_placement_a_group() -> None:
    assert filters(InPlace()) == {
        TEMPLATES: [{"Name": "launch-template-name", "Values": ["m-e-train", "m-e-web"]}],
        GROUPS: [{"Name": "group-name", "Values": ["m-e-train"]}],
    }


def test_only_of_pools_that_are_made() -> None:
    assert filters(up_as(WANTED)) == {}
    web_alone = InPlace(tuple(pool for pool in WANTED.pools if pool.name == "web"), MADE)
    assert [each["Values"] for [each] in filters(web_alone).values()] == [["m-e-train"], ["m-e-train"]]
    begun = InPlace(counts=MADE, begun=WANTED.pools)
    assert filters(begun) == {}


def test_the_template_of_another_environment_is_a_gap_of_its_pool() -> None:
    [gap] = gaps(TEMPLATES, template("m-e-web", THEIRS))
    assert (gap.subject, gap.wanted) == ("pool/web", "a launch template named m-e-web")
    assert gap.best == "there is one, which meshctl did not make for this environment"
    assert gap.hint == (
        "give the pool or the environment another name, or delete the launch template if nobody needs it"
    )


def test_so_is_the_placement_group_of_somebody() -> None:
    [gap] = gaps(GROUPS, group("m-e-train", {}))
    assert (gap.subject, gap.wanted) == ("pool/train", "a placement group named m-e-train")


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        (TEMPLATES, template("m-e-web", OURS)),  # a first `up` was killed after it had made it
        (GROUPS, group("m-e-train", OURS)),
        (TEMPLATES, ApiAnswer({"LaunchTemplates": []})),
        (GROUPS, ApiAnswer({})),
    ],
    ids=["our template", "our group", "no template", "no group"],
)
def test_what_is_our_own_or_free_is_none(name: str, answer: ApiAnswer) -> None:
    assert gaps(name, answer) == ()


def test_without_the_right_to_ask_it_goes_on() -> None:
    made = findings(WANTED, {TEMPLATES: ApiAnswer(code="UnauthorizedOperation")})
    assert made.gaps == ()
    [note] = made.notes
    assert "whether the names of the pools' launch templates are free" in note
