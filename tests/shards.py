"""`pytest --shard 2/4`: the second quarter of the collected tests, so that a long run can be cut over machines.

Every machine collects the same tests in the same order; the shard takes each fourth, after `-m` and `-k` have chosen.
Neighbours tend to take equally long, so the shards do, too. A pytest plugin, loaded by `tests/conftest.py`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import pytest

Item = TypeVar("Item")


class Shard(NamedTuple):
    """`number` counts from 1 to `total`."""

    number: int
    total: int

    def of(self, items: Sequence[Item]) -> list[Item]:
        return list(items[self.number - 1 :: self.total])


def shard(text: str) -> Shard:
    """Raises: argparse.ArgumentTypeError where it isn't `1/4`."""
    form = re.fullmatch(r"(\d+)/(\d+)", text)
    found = Shard(int(form[1]), int(form[2])) if form else Shard(0, 0)
    if not 1 <= found.number <= found.total:
        raise argparse.ArgumentTypeError(f"{text!r} is no shard: 1/4 is the first of four")
    return found


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shard", type=shard, metavar="I/N", help="run the I-th of N equal parts of the tests")


@pytest.hookimpl(trylast=True)  # after `-m` and `-k`
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen: Shard | None = config.getoption("--shard")
    if chosen is None:
        return
    mine = chosen.of(items)
    others = set(items) - set(mine)
    config.hook.pytest_deselected(items=[item for item in items if item in others])
    items[:] = mine
