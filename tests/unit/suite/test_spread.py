"""Which tests stay together on a worker."""

from __future__ import annotations

from tests.folders import TESTS
from tests.spread import ALONE, unit_of_work


def test_tests_of_a_file_stay_together() -> None:
    assert unit_of_work("tests/faults/test_shift.py::test_a") == unit_of_work("tests/faults/test_shift.py::test_b[2]")


def test_tests_that_share_nothing_are_spread() -> None:
    assert [file for file in ALONE if unit_of_work(f"{file}::test_a[1]") == unit_of_work(f"{file}::test_a[2]")] == []


def test_the_files_that_are_spread_exist() -> None:
    assert [file for file in ALONE if not (TESTS.parent / file).is_file()] == []
