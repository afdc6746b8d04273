"""What `dcgmi diag -r N -j` prints: how many tests passed, which accelerators failed what, and what was measured. PURE.

Sources: github.com/NVIDIA/DCGM, nvvs/include/JsonOutput.h and JsonResult.hpp (versions 2 and 3), NvvsJsonStrings.h at
0d22068b and dcgmi/tests/DiagTests.cpp at 2fc25add (version 4). Version 4 has another head, names accelerators as
entities, and has its own version in `metadata`. Versions differ in words like "Fail" and "FAIL"; some put nulls between
the tests, warnings as objects instead of texts, and what was measured as one text instead of a list. NVIDIA publishes
no schema of it.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshctl.measure.foreign import mapping, parsed, refused, sequence
from meshctl.measure.results import Result, Taken

PROGRAM: Final = "dcgmi diag"
HEADS: Final = ("DCGM Diagnostic", "DCGM GPU Diagnostic")  # of version 4, and of those before it
PASSED: Final = "passed diagnostic tests"
FAILED: Final = "failed diagnostic tests"
TO_HOST: Final = "copy from GPU to host"
FROM_HOST: Final = "copy from host to GPU"
RATE: Final = "products of matrices of the diagnosis"

SKIPPED: Final = "skip"  # the status of an accelerator of which no test has run

_NOT_RUN: Final = ("skip", "skipped", "not run", "notrun", "")
_DRIVER: Final = ("driver_version", "Driver Version", "Driver Version Detected")
_TOLERATED: Final = 0.9  # of the median of its node
# "GPU 0 GPU to Host bandwidth:\t\t24.02 GB/s" up to version 3, in version 4 without the number of the GPU
_BANDWIDTH: Final = re.compile(r"(?:\bGPU (\d+) )?(GPU to Host|Host to GPU) bandwidth:\s*([\d.]+) GB/s")
_GIGAFLOPS: Final = re.compile(r"\bGPU (\d+) calculated at approximately ([\d.]+) gigaflops")
# dcgm_errors.h, dcgmErrorSeverity_enum (version 4, read 2026-11-29); the worst one first
_TO_DO: Final = {
    2: "it can't do its work: cordon the node, and have the GPU replaced",
    6: "drain the node, and reset the GPU or restart the node",
    4: "cordon the node, and look for the cause: a diagnosis of level 3 tests more",
    3: "cordon the node, and look for the cause: a diagnosis of level 3 tests more",
    1: "it can do its work, and is to be watched",
    5: "a setting of the node, and not its hardware",
}
_TO_DO_UNKNOWN: Final = "cordon the node until the cause is known"


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Of one test, for the entities that it names ("GPU 3"); none where it is of the whole node."""

    test: str
    status: str
    entities: tuple[str, ...]
    warnings: tuple[str, ...]
    severities: frozenset[int]
    infos: tuple[str, ...]

    @property
    def is_run(self) -> bool:
        return self.status not in _NOT_RUN

    @property
    def is_good(self) -> bool:
        return self.status == "pass" or not self.is_run


def read(text: str, taken: Taken) -> tuple[Result, ...]:
    """The tests that passed; for each accelerator that was tested those that it failed, with what to do; and the
    slowest of what was measured, where the output has it.

    Raises: ForeignOutputError, also for a run that tested nothing.
    """
    root = parsed(PROGRAM, text)
    head = next((name for name in HEADS if name in root), None)
    if head is None:
        raise refused(PROGRAM, f"it has neither {HEADS[0]} nor {HEADS[1]}")
    document = mapping(PROGRAM, root[head], head)
    if error := document.get("runtime_error"):
        raise refused(PROGRAM, f"the diagnosis itself failed: {error}")
    outcomes = tuple(_outcomes(document))
    if not any(outcome.is_run for outcome in outcomes):
        raise refused(PROGRAM, "no test of it has run")
    metadata = root.get("metadata")
    made = {"taken": taken, "versions": _versions({**document, **(metadata if isinstance(metadata, dict) else {})})}
    return (_total(outcomes, made), *_of_entities(outcomes, made), *_measured(outcomes, made))


def not_run(why: str, taken: Taken) -> Result:
    """Of a node on which nothing could be tested."""
    setting = {"failed": "0", "skipped": "0"}
    warnings = (f"the diagnosis did not run: {why}",)
    return Result(what="gpu", metric=PASSED, value=0, unit="tests", taken=taken, setting=setting, warnings=warnings)


def _total(outcomes: Sequence[_Outcome], made: dict[str, Any]) -> Result:
    """With one warning for each test of the whole node that did not pass."""
    counts = Counter(outcome.status == "pass" for outcome in outcomes if outcome.is_run)
    setting = {"failed": str(counts[False]), "skipped": str(len(outcomes) - counts.total())}
    of_node = (outcome for outcome in outcomes if not outcome.entities and not outcome.is_good)
    warnings = tuple(_words(outcome, "") for outcome in of_node)
    return Result(
        what="gpu", metric=PASSED, value=counts[True], unit="tests", setting=setting, warnings=warnings, **made
    )


def _of_entities(outcomes: Sequence[_Outcome], made: dict[str, Any]) -> Iterator[Result]:
    """One for each accelerator (or switch, or processor) that a test names, in the order of their numbers."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.entities)
    for name in sorted(names, key=lambda each: (each.rpartition(" ")[0], _number(each))):
        own = [outcome for outcome in outcomes if name in outcome.entities]
        statuses = Counter("skip" if not outcome.is_run else outcome.status for outcome in own)
        worst = next((each for each in ("fail", "warn", "pass") if statuses[each]), SKIPPED)
        setting = {
            "device": name,
            "status": worst,
            "passed": str(statuses["pass"]),
            "skipped": str(statuses["skip"]),
        }
        warnings = tuple(_words(outcome, name) for outcome in own if not outcome.is_good)
        if worst == SKIPPED:
            warnings = tuple(_why_skipped(outcome, name) for outcome in own)
        failed = statuses["fail"]
        yield Result(what="gpu", metric=FAILED, value=failed, unit="tests", setting=setting, warnings=warnings, **made)


def _number(name: str) -> int:
    last = name.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0


def _measured(outcomes: Sequence[_Outcome], made: dict[str, Any]) -> Iterator[Result]:
    """A gang is as fast as its slowest accelerator, so that one is the result."""
    values: dict[str, dict[str, float]] = {TO_HOST: {}, FROM_HOST: {}, RATE: {}}
    for outcome in outcomes:
        (single,) = outcome.entities if len(outcome.entities) == 1 else ("",)
        for text in outcome.infos:
            for number, direction, value in _BANDWIDTH.findall(text):
                metric = TO_HOST if direction == "GPU to Host" else FROM_HOST
                values[metric][f"GPU {number}" if number else single] = float(value)
            for number, value in _GIGAFLOPS.findall(text):
                values[RATE][f"GPU {number}"] = float(value) / 1e3
    for metric, by_gpu in values.items():
        if by_gpu:
            unit = "TFLOPS" if metric == RATE else "GB/s"
            setting = {"accelerators": str(len(by_gpu))}
            warnings = tuple(_slow(by_gpu, metric))
            least = min(by_gpu.values())
            yield Result(what="gpu", metric=metric, value=least, unit=unit, setting=setting, warnings=warnings, **made)


def _slow(by_gpu: Mapping[str, float], metric: str) -> Iterator[str]:
    median = statistics.median(by_gpu.values())
    for name, value in by_gpu.items():
        if value < _TOLERATED * median:
            yield f"{name} has {value / median:.0%} of the {metric} of the others on its node"


def _outcomes(document: Mapping[str, Any]) -> Iterator[_Outcome]:
    """For each test and each entity, or each group of them, that it looked at."""
    for category in sequence(PROGRAM, document.get("test_categories"), "test_categories"):
        for test in filter(None, mapping(PROGRAM, category, "a category").get("tests") or ()):
            entry = mapping(PROGRAM, test, "a test")
            for each in filter(None, entry.get("results") or ()):
                yield _outcome(str(entry.get("name", "")), mapping(PROGRAM, each, "a result"))


def _outcome(test: str, result: Mapping[str, Any]) -> _Outcome:
    warnings = [each for each in result.get("warnings") or () if each]
    of_objects = [each for each in warnings if isinstance(each, dict)]
    infos = result.get("info") or ()
    return _Outcome(
        test=test,
        status=str(result.get("status", "")).strip().lower(),
        entities=tuple(_entities(result)),
        warnings=tuple(str(each.get("warning", "")) if isinstance(each, dict) else str(each) for each in warnings),
        severities=frozenset(
            each["error_severity"] for each in of_objects if isinstance(each.get("error_severity"), int)
        ),
        infos=(infos,) if isinstance(infos, str) else tuple(map(str, infos)),
    )


def _entities(result: Mapping[str, Any]) -> Iterator[str]:
    if "entity_id" in result:
        yield f"{result.get('entity_group') or 'GPU'} {result['entity_id']}"
        return
    for number in str(result.get("gpu_ids", result.get("gpu_id", ""))).split(","):
        if number.strip():
            yield f"GPU {number.strip()}"


def _words(outcome: _Outcome, name: str) -> str:
    place = f" on {name}" if name else ""
    texts = "; ".join(text for text in outcome.warnings if text)
    to_do = next((words for severity, words in _TO_DO.items() if severity in outcome.severities), _TO_DO_UNKNOWN)
    return f"{outcome.test}{place}: {outcome.status}{f': {texts}' if texts else ''} ({to_do})"


def _why_skipped(outcome: _Outcome, name: str) -> str:
    """In the words of the diagnosis, which has them as warnings or beside them."""
    texts = "; ".join(text for text in (*outcome.warnings, *outcome.infos) if text)
    return f"{outcome.test} on {name}: not tested{f': {texts}' if texts else ''}"


def _versions(document: Mapping[str, Any]) -> dict[str, str]:
    driver = next((document[name] for name in _DRIVER if document.get(name)), None)
    named = {"dcgm": document.get("version"), "driver": driver}
    return {name: str(version) for name, version in named.items() if version}
