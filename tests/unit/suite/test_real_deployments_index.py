"""Each defect, report and part of the model of `real_deployments_index` has tests, and they are there."""

from __future__ import annotations

import pytest

from tests.unit.suite.real_deployments_index import DEFECTS, FAULTS, MODEL, OUTCOMES, REPORTS
from tests.unit.suite.test_first_contact import texts_of_tests

ALL = (DEFECTS, REPORTS, MODEL, FAULTS, OUTCOMES)
TEST_IDS = sorted({test_id for index in ALL for ids in index.values() for test_id in ids})


@pytest.mark.parametrize("test_id", TEST_IDS)
def test_a_test_of_the_index_is_there(test_id: str) -> None:
    path, _, name = test_id.partition("::")
    assert name in texts_of_tests(path)


def test_nothing_is_without_tests() -> None:
    assert {*DEFECTS} == {f"D{number}" for number in range(1, 16)}
    assert {*REPORTS} == {"01", "05", "06", "12", "14", "18"}
    assert all(all(index.values()) for index in ALL)
