"""Which worker of pytest-xdist runs which tests: whole files, except those whose tests share nothing.

A plugin of `tests/conftest.py`, for `--dist loadfile`. Tests of one file share what they bring up, so a worker runs all
of them. A test of `ALONE` needs nothing but the lab that its worker has anyway: with two hundred of them in a file, one
worker would be busy for an hour after the others have ended.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

ALONE = (
    "tests/faults/test_gone_objects.py",
    "tests/faults/test_random_stops.py",
    "tests/faults/test_real_deployments.py",
)


def unit_of_work(node_id: str) -> str:
    """Tests of the same unit run on the same worker: the test itself for a file of `ALONE`, else its file."""
    file = node_id.split("::", 1)[0]
    return node_id if file in ALONE else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """None (the scheduler that `--dist` names) unless whole files were asked for."""
    return Spread(config, log) if config.getoption("dist") == "loadfile" else None


class Spread(LoadFileScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    def _split_scope(self, nodeid: str) -> str:
        return unit_of_work(nodeid)
