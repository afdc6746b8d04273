"""What is up under a name that the files no longer have."""

from __future__ import annotations

from meshctl.deploy.unmanaged_stacks import UnmanagedStack, unmanaged_stacks, unmanaged_stacks_text

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
    assert unmanaged_stacks(STACKS, "llm", {"cw", "dc1"}) == (
        UnmanagedStack("former", "cw"),
        UnmanagedStack("llm", "old"),
    )


def test_each_is_told_with_the_way_to_reach_it() -> None:
    found = unmanaged_stacks(STACKS, "llm", {"cw", "dc1"})
    assert unmanaged_stacks_text(found, "llm") == (
        "the mesh former is up, too (cw): to reach it, set `name: former` in mesh.yaml\n"
        "old is up, but not in environments.yaml: `meshctl destroy old` deletes it\n"
    )
    assert unmanaged_stacks_text((), "llm") == ""
