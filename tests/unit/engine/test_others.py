"""What is up under a name that the files no longer have."""

from __future__ import annotations

from meshctl.deploy.others import Other, others, others_text

STACKS = {
    "cw": 7,
    "dc1": 0,
    "old": 3,
    "edge": 4,
    "organization/former/cw": 5,
    "organization/former/edge": 1,
    "organization/former/dc1": 0,
}


def test_what_is_up_and_named_by_no_file_is_found() -> None:
    assert others(STACKS, "llm", {"cw", "dc1"}) == (Other("former", "cw"), Other("llm", "old"))


def test_each_is_told_with_the_way_to_reach_it() -> None:
    found = others(STACKS, "llm", {"cw", "dc1"})
    assert others_text(found, "llm") == (
        "the mesh former is up, too (cw): to reach it, mesh.yaml must have its name\n"
        "old is up, but not in environments.yaml: `meshctl destroy old` deletes it\n"
    )
    assert others_text((), "llm") == ""
