"""How a run of the tests is cut into parts."""

from __future__ import annotations

import argparse

import pytest

from tests.shards import Shard, shard


@pytest.mark.parametrize(("tests", "count"), [(10, 4), (3, 4), (0, 2), (7, 1)])
def test_each_test_is_in_one_shard(tests: int, count: int) -> None:
    parts = [Shard(index, count).of(range(tests)) for index in range(1, count + 1)]
    assert sorted(number for part in parts for number in part) == list(range(tests))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_is_written_as_a_fraction() -> None:
    assert shard("2/4") == Shard(2, 4)


@pytest.mark.parametrize("text", ["", "1", "0/4", "5/4", "1/0", "a/b", "1/4/2", "-1/4"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="1/4 is the first of four"):
        shard(text)
