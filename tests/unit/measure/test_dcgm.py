"""What DCGM's diagnosis prints, in versions 3 and 4, recorded on real machines (recorded/SOURCES.md)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from meshctl.advise import comparison
from meshctl.errors import ForeignOutputError
from meshctl.measure import dcgm, outputs
from meshctl.measure.results import Result, Taken

RECORDED = Path(__file__).parent / "recorded"
TAKEN = Taken(machine="p5.48xlarge", date="2026-11-29", source="a test")


def text_of(name: str) -> str:
    return (RECORDED / name).read_text(encoding="utf-8")


def read(text: str) -> tuple[Result, ...]:
    return outputs.read(text, TAKEN)


def of_devices(results: tuple[Result, ...]) -> dict[str, Result]:
    return {each.setting["device"]: each for each in results if each.metric == dcgm.FAILED}


def values(results: tuple[Result, ...]) -> dict[str, tuple[float, str]]:
    return {each.metric: (each.value, each.unit) for each in results if each.metric != dcgm.FAILED}


def test_a_healthy_node_passes_all_tests() -> None:
    """Version 3.1, with a warning before the JSON and nulls between the tests."""
    total, *rest = read(text_of("dcgm-pass.txt"))
    assert (total.metric, total.value, total.setting["failed"], total.warnings) == (dcgm.PASSED, 17, "0", ())
    assert total.versions == {"dcgm": "3.1.0"}
    gpus = of_devices(tuple(rest))
    assert list(gpus) == [f"GPU {number}" for number in range(8)]
    assert {(each.value, each.setting["status"], each.setting["passed"]) for each in gpus.values()} == {
        (0, "pass", "10")
    }


def test_what_version_3_has_measured_is_read() -> None:
    results = read(text_of("dcgm-3-level3.json"))
    assert values(results) == {
        dcgm.PASSED: (15, "tests"),
        dcgm.TO_HOST: (13.15, "GB/s"),
        dcgm.FROM_HOST: (13.11, "GB/s"),
        dcgm.RATE: (pytest.approx(11.10302), "TFLOPS"),
    }
    (gpu,) = of_devices(results).values()
    assert (gpu.setting["status"], gpu.setting["passed"], gpu.setting["skipped"]) == ("pass", "6", "1")


def test_version_4_has_another_head_and_names_entities() -> None:
    """It stops saying what it has measured after sixteen lines: of the third GPU on there is none."""
    results = read(text_of("dcgm-4-diagnostic.json"))
    assert values(results) == {dcgm.PASSED: (8, "tests"), dcgm.RATE: (pytest.approx(0.85908), "TFLOPS")}
    assert [each.setting["accelerators"] for each in results if each.metric == dcgm.RATE] == ["2"]
    assert set(of_devices(results)) == {f"GPU {number}" for number in range(8)}


def with_result(name: str, number: int, **changes: object) -> str:
    """The recording of version 4 in which the test `diagnostic` had another result on one GPU."""
    document = json.loads(text_of(name))
    ((category,),) = [document["DCGM Diagnostic"]["test_categories"]]
    category["tests"][0]["results"][number] |= changes
    document["metadata"] = {"version": "4.5.2", "Driver Version Detected": "580.82.09"}
    return json.dumps(document)


@pytest.mark.parametrize(
    ("severity", "to_do"),
    [
        (2, "it can't do its work: cordon the node, and have the GPU replaced"),
        (6, "drain the node, and reset the GPU or restart the node"),
        (5, "a setting of the node, and not its hardware"),
        (None, "cordon the node until the cause is known"),
    ],
)
def test_a_sick_gpu_is_named_with_what_to_do(severity: int | None, to_do: str) -> None:
    warning = {"warning": "Uncorrectable ECC errors", "error_id": 12, "error_category": 10, "error_severity": severity}
    total, *rest = read(with_result("dcgm-4-diagnostic.json", 3, status="Fail", warnings=[warning]))
    assert (total.value, total.setting["failed"], total.warnings) == (7, "1", ())
    assert total.versions == {"dcgm": "4.5.2", "driver": "580.82.09"}
    gpus = of_devices(tuple(rest))
    assert {name: each.setting["status"] for name, each in gpus.items() if each.value} == {"GPU 3": "fail"}
    assert gpus["GPU 3"].warnings == (f"diagnostic on GPU 3: fail: Uncorrectable ECC errors ({to_do})",)
    assert all(not each.warnings for name, each in gpus.items() if name != "GPU 3")


def test_a_warning_is_no_failure_and_is_told() -> None:
    results = read(with_result("dcgm-4-diagnostic.json", 5, status="Warn", warnings=["near its limit"]))
    gpu = of_devices(results)["GPU 5"]
    assert (gpu.value, gpu.setting["status"]) == (0, "warn")
    assert gpu.warnings[0].startswith("diagnostic on GPU 5: warn: near its limit")


def test_a_gpu_that_was_not_tested_is_not_as_expected() -> None:
    text = with_result("dcgm-4-diagnostic.json", 5, status="Skip", info=["another process has the GPU"])
    gpus = of_devices(read(text))
    assert gpus["GPU 5"].warnings == ("diagnostic on GPU 5: not tested: another process has the GPU",)
    table = comparison.rows({"aws-east": list(gpus.values())}, {})
    verdicts = {each.result.setting["device"]: each for each in table}
    assert (verdicts["GPU 5"].verdict, verdicts["GPU 5"].basis) == ("no expectation known", "it was not tested")
    assert verdicts["GPU 4"].verdict == "as expected"
    assert "device GPU 5, status skip" in comparison.text(table)


def test_a_status_that_has_changed_hides_the_one_before() -> None:
    before = of_devices(read(with_result("dcgm-4-diagnostic.json", 5, status="Skip")))["GPU 5"]
    now = replace(of_devices(read(text_of("dcgm-4-diagnostic.json")))["GPU 5"], versions=before.versions)
    assert comparison.newest([before, replace(now, taken=replace(TAKEN, date="2026-11-30"))])[0].setting["status"] == (
        "pass"
    )
    assert len(comparison.newest([before, now])) == 1


def test_an_older_text_as_a_warning_names_its_gpu() -> None:
    text = text_of("dcgm-pass.txt")
    sick = text.replace(
        '"gpu_ids": 3,\n        "status": "PASS"', '"gpu_ids": 3, "status": "Fail", "warnings": ["XID 79"]'
    )
    assert sick != text
    gpu = of_devices(read(sick))["GPU 3"]
    assert gpu.warnings == ("software on GPU 3: fail: XID 79 (cordon the node until the cause is known)",)


def test_a_test_of_the_whole_node_that_failed_is_told_once() -> None:
    failing = text_of("dcgm-3-level3.json").replace('"status": "Pass"', '"status": "Fail"', 1)
    total, *_ = read(failing)
    assert total.warnings == ("Denylist: fail (cordon the node until the cause is known)",)


def test_the_slow_gpu_is_named() -> None:
    info = ["GPU 1 calculated at approximately 400.0 gigaflops during this test"]
    results = read(with_result("dcgm-4-diagnostic.json", 1, info=info))
    (rate,) = (each for each in results if each.metric == dcgm.RATE)
    assert rate.value == 0.4
    assert rate.warnings == (f"GPU 1 has 64% of the {dcgm.RATE} of the others on its node",)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"DCGM Diagnostic": {"runtime_error": "GPU 0 is in use"}}', "the diagnosis itself failed: GPU 0 is in use"),
        ('{"DCGM Diagnostic": {"test_categories": []}}', "test_categories is not a list"),
        ('{"DCGM Diagnostic": {"test_categories": [{"tests": [{"results": [{"status": "Skip"}]}]}]}}', "no test of it"),
        ('{"other": "DCGM Diagnostic"}', "it has neither"),
        ("Error: unable to establish a connection to the host engine", "there is no JSON object"),
    ],
)
def test_a_diagnosis_that_tested_nothing_is_an_error(text: str, why: str) -> None:
    with pytest.raises(ForeignOutputError) as raised:
        dcgm.read(text, TAKEN)
    assert why in raised.value.why


def test_a_node_on_which_it_did_not_run_has_passed_nothing() -> None:
    result = dcgm.not_run("no host engine", TAKEN)
    assert (result.value, result.warnings) == (0, ("the diagnosis did not run: no host engine",))
