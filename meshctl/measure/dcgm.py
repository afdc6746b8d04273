"""What `dcgmi diag -r N -j` prints: how many tests passed, and which accelerators failed what. PURE.

Source: github.com/NVIDIA/DCGM, nvvs/include/JsonOutput.h (versions 3 and 4). Versions differ in words like "Fail" and
"FAIL"; some put nulls between the tests, and warnings as objects instead of texts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.measure.foreign import inside, mapping, parsed, refused, sequence
from meshctl.measure.results import Result, Taken

PROGRAM: Final = "dcgmi diag"
_HEAD: Final = "DCGM GPU Diagnostic"
_NOT_RUN: Final = ("skip", "skipped", "not run", "notrun", "")


def read(text: str, taken: Taken) -> tuple[Result, ...]:
    """One result: the tests that passed, with one warning for each that did not.

    Raises: ForeignOutputError, also for a run that tested nothing.
    """
    document = mapping(PROGRAM, inside(PROGRAM, parsed(PROGRAM, text), _HEAD), _HEAD)
    if error := document.get("runtime_error"):
        raise refused(PROGRAM, f"the diagnosis itself failed: {error}")
    outcomes = list(_outcomes(document))
    counts = Counter("pass" if status == "pass" else "fail" for _, status, _ in outcomes if status not in _NOT_RUN)
    if not counts:
        raise refused(PROGRAM, "no test of it has run")
    return (
        Result(
            what="gpu",
            metric="passed diagnostic tests",
            value=counts["pass"],
            unit="tests",
            taken=taken,
            setting={"failed": str(counts["fail"]), "skipped": str(len(outcomes) - counts.total())},
            versions=_versions(document),
            warnings=tuple(_words(*outcome) for outcome in outcomes if outcome[1] not in ("pass", *_NOT_RUN)),
        ),
    )


def _outcomes(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """(test, status in small letters, its entry) for each test and each entity that it looked at."""
    for category in sequence(PROGRAM, document.get("test_categories"), "test_categories"):
        for test in filter(None, mapping(PROGRAM, category, "a category").get("tests") or ()):
            entry = mapping(PROGRAM, test, "a test")
            for each in filter(None, entry.get("results") or ()):
                outcome = mapping(PROGRAM, each, "a result")
                yield str(entry.get("name", "")), str(outcome.get("status", "")).strip().lower(), outcome


def _words(test: str, status: str, outcome: Mapping[str, Any]) -> str:
    where = outcome.get("gpu_ids", outcome.get("entity_id", ""))
    details = outcome.get("warnings") or ()
    texts = [str(each.get("warning", "")) if isinstance(each, dict) else str(each) for each in details]
    place = f" on GPU {where}" if str(where) else ""
    return f"{test}{place}: {status}{': ' * bool(texts)}{'; '.join(texts)}"


def _versions(document: Mapping[str, Any]) -> dict[str, str]:
    named = {"dcgm": document.get("version"), "driver": document.get("driver_version", document.get("Driver Version"))}
    return {name: str(version) for name, version in named.items() if version}
