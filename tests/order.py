"""`pytest tests/unit --reversed` runs the tests from the last to the first: each must pass in any order.

A plugin of `tests/conftest.py`. Of two tests of which one leaves something that the other needs or doesn't bear, one
order or the other goes red.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reversed", action="store_true", default=False, help="run the tests from the last to the first")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--reversed"):
        items.reverse()
