"""Accelerators of one node: products of matrices, held against what others have published."""

from __future__ import annotations

import base64
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshctl.advise import comparison
from meshctl.advise.comparison import Expectations
from meshctl.bench import accelerators, cluster_jobs
from meshctl.catalog import load_catalog
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import ForeignOutputError, UsageError
from meshctl.lab.images.programs import dcgm as dcgm_of_lab
from meshctl.measure import dcgm, gemm, outputs, packed
from meshctl.measure.results import Result, Taken
from meshctl.model.deployment import Deployment, ReservedCapacity
from meshctl.render import benchmarks
from meshctl.render.benchmarks import DiagnosisRun, GpuRun
from tests.unit.advise.situations import deployment

TAKEN = Taken(machine="p5.48xlarge", date="2026-11-29", source="a test")


def output(*tflops: float, name: str = "NVIDIA H100 80GB HBM3") -> str:
    """In the program's words; the numbers are made up."""
    rows = [{"name": name, "memory_gb": 85.0, "bf16_tflops": each, "copy_gbps": 2800.0} for each in tflops]
    return json.dumps({"program": gemm.PROGRAM, "torch": "2.8.0+cu128", "accelerators": rows})


def test_the_slowest_accelerator_is_the_result_and_is_named() -> None:
    product, copy = outputs.read(output(700.0, 702.0, 350.0), TAKEN)
    assert (product.metric, product.value, product.unit) == (gemm.PRODUCT, 350.0, "TFLOPS")
    assert product.warnings == ("GPU 2 has 50% of the BF16 matrix product of the others on its node",)
    assert (copy.value, copy.unit, copy.warnings) == (2800.0, "GB/s", ())
    assert product.setting["accelerators"] == "3"


@pytest.mark.parametrize(
    "text", ['{"program": "meshctl gemm", "accelerators": []}', output(float("nan")), output(1.0)[:60]]
)
def test_a_damaged_output_is_an_error(text: str) -> None:
    with pytest.raises(ForeignOutputError):
        gemm.read(text, TAKEN)


@pytest.mark.parametrize(
    ("name", "tflops", "verdict"),
    [
        ("NVIDIA H100 80GB HBM3", 700.0, "as expected"),
        ("NVIDIA H100 80GB HBM3", 500.0, "below"),
        ("Acme A1", 500.0, "no expectation known"),
    ],
)
def test_it_is_held_against_what_is_published_for_the_accelerator(name: str, tflops: float, verdict: str) -> None:
    results = [result for result in gemm.read(output(tflops, name=name), TAKEN) if result.metric == gemm.PRODUCT]
    expected = Expectations(deployment=deployment(), catalog=load_catalog())
    (row,) = comparison.rows({"aws-east": results}, {"aws-east": expected})
    assert row.verdict == verdict


def test_a_job_takes_all_accelerators_of_one_node(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []

    def run(_access: Any, manifest: Any, _say: Any, *, start_s: float) -> cluster_jobs.Ended:
        started.append(manifest)
        return cluster_jobs.Ended(base64.b64encode(gzip.compress(output(700.0).encode())).decode(), "n1")

    monkeypatch.setattr(cluster_jobs, "run", run)
    results = accelerators.measure(deployment(), GpuRun(pool="train"), ClusterAccess("aws-east"), "d", lambda _: None)
    assert results[0].setting["subject"] == "pool/train"
    assert "on node n1" in results[0].taken.source
    (container,) = started[0]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert started[0]["spec"]["completions"] == 1


def test_without_accelerators_it_says_so() -> None:
    deployed = deployment()
    assert [run.pool for run in accelerators.runs(deployed, "")] == ["train", "serve"]
    with pytest.raises(UsageError, match='"pool/web" has no accelerators'):
        accelerators.runs(deployed, "pool/web")
    without = tuple(each.model_copy(update={"gpus_per_node": 0}) for each in deployed.pools)
    with pytest.raises(UsageError, match="there is no GPU here"):
        accelerators.runs(deployed.model_copy(update={"pools": without}), "")


TORCH = """
class cuda:
    is_available = staticmethod(lambda: COUNT > 0)
    device_count = staticmethod(lambda: COUNT)
    synchronize = staticmethod(lambda: None)
    get_device_name = staticmethod(lambda number: "NVIDIA H100 80GB HBM3")
    class get_device_properties:
        def __init__(self, number): self.total_memory = 85e9
    class device:
        def __init__(self, number): pass
        def __enter__(self): pass
        def __exit__(self, *_): pass
class Tensor:
    def copy_(self, other): pass
__version__, bfloat16, uint8 = "2.8.0", "bf16", "u8"
randn = empty = randint = empty_like = lambda *_, **__: Tensor()
mm = lambda left, right, out: None
"""


@pytest.mark.parametrize(("torch", "last"), [(2, ""), (0, "no GPU here: CUDA finds none"), (None, "no GPU here that")])
def test_the_program_measures_each_gpu_or_says_that_there_is_none(tmp_path: Path, torch: int | None, last: str) -> None:
    """With a PyTorch that does nothing: what is shown is the program's way, and not its numbers."""
    manifest = benchmarks.gpu_job(deployment(), GpuRun(pool="train"))
    script, _, program, _ = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / "torch.py").write_text(
        f"COUNT = {torch}\n{TORCH}" if torch is not None else "raise ImportError('torch')"
    )
    done = subprocess.run(
        ["sh", "-c", script, "bench", program.replace("SECONDS = 3.0", "SECONDS = 0.01"), str(tmp_path / "report")],  # noqa: S607
        env={**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if last:
        assert done.returncode == 1
        assert last in done.stderr
        assert not (tmp_path / "report").exists()
    else:
        results = gemm.read(packed.unpacked((tmp_path / "report").read_text()), TAKEN)
        assert results[0].setting["accelerators"] == "2"


RECORDED = Path(__file__).parents[1] / "measure" / "recorded" / "dcgm-4-diagnostic.json"


def with_pool(**changes: Any) -> Deployment:
    """The example, with another pool `train` and no other one with accelerators."""
    deployed = deployment()
    pools = tuple(
        each.model_copy(update=changes if each.name == "train" else {"gpus_per_node": 0}) for each in deployed.pools
    )
    return deployed.model_copy(update={"pools": pools})


def message_of(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


def diagnosed(
    monkeypatch: pytest.MonkeyPatch, deployed: Deployment, *ended: cluster_jobs.Ended, ready: int = 0
) -> tuple[list[Result], list[str]]:
    said: list[str] = []
    monkeypatch.setattr(clusters, "ready_nodes", lambda *_: {"train": ready})
    monkeypatch.setattr(cluster_jobs, "run_on_each", lambda *_, **__: ended)
    run = DiagnosisRun(pool="train", level=2)
    return list(accelerators.diagnose(deployed, run, ClusterAccess("aws-east"), "2026-11-29", said.append)), said


def test_each_accelerator_of_each_node_has_its_verdict_and_a_sick_one_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    healthy = RECORDED.read_text(encoding="utf-8")
    document = json.loads(healthy)
    sick = document["DCGM Diagnostic"]["test_categories"][0]["tests"][0]["results"][3]
    sick |= {"status": "Fail", "warnings": [{"warning": "XID 79", "error_severity": 2}]}
    deployed = with_pool(nodes=2)
    rows, said = diagnosed(
        monkeypatch,
        deployed,
        cluster_jobs.Ended(message_of(healthy), "n1"),
        cluster_jobs.Ended(message_of(json.dumps(document)), "n2"),
    )
    assert said == []
    devices = {(each.setting["node"], each.setting["device"]): each for each in rows if each.metric == dcgm.FAILED}
    assert len(devices) == 16
    assert {key for key, each in devices.items() if each.value} == {("n2", "GPU 3")}
    assert devices["n2", "GPU 3"].warnings == (
        "node n2: diagnostic on GPU 3: fail: XID 79 (it can't do its work: cordon the node, and have the GPU replaced)",
    )
    assert {(each.setting["subject"], each.setting["level"], each.setting["user"]) for each in rows} == {
        ("pool/train", "2", "1000")
    }
    table = comparison.rows({"aws-east": rows}, {})
    verdicts = {
        (each.result.setting["node"], each.result.setting["device"]): each.verdict
        for each in table
        if each.result.metric == dcgm.FAILED
    }
    assert verdicts["n1", "GPU 3"] == "as expected"
    assert verdicts["n2", "GPU 3"] == "above"
    assert "warning: node n2: diagnostic on GPU 3: fail: XID 79" in comparison.text(table)


def test_a_node_that_tested_nothing_and_one_without_room_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    words = message_of("Error: unable to establish a connection to the specified host: localhost\n")
    rows, said = diagnosed(monkeypatch, with_pool(nodes=2), cluster_jobs.Ended(words, "n1"))
    assert said == ["1 node of pool train had no free accelerators, and were not diagnosed"]
    (row,) = rows
    assert row.warnings == (
        "node n1: the diagnosis did not run: Error: unable to establish a connection to the specified host: localhost",
    )


def test_nodes_that_failed_are_told_beside_those_that_did_not(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, said = diagnosed(
        monkeypatch,
        with_pool(nodes=3),
        cluster_jobs.Ended(message_of(RECORDED.read_text(encoding="utf-8")), "n1"),
        cluster_jobs.Ended("", "n2", "Evicted"),
        cluster_jobs.Ended("no report", "n3"),
    )
    assert said == []
    assert {each.setting["node"] for each in rows if each.metric == dcgm.FAILED} == {"n1"}
    evicted, damaged = (each for each in rows if each.setting["node"] != "n1")
    assert evicted.warnings == ("node n2: the diagnosis did not run: Evicted",)
    assert damaged.warnings[0].startswith("node n3: the diagnosis did not run: ")


def test_as_many_nodes_are_diagnosed_as_are_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a range the mesh says the least."""
    started: list[Any] = []
    words = message_of("no host engine")

    def run_on_each(_access: Any, manifest: Any, _say: Any, *, start_s: float) -> tuple[cluster_jobs.Ended, ...]:
        started.append(manifest)
        return tuple(cluster_jobs.Ended(words, f"n{number}") for number in range(7))

    monkeypatch.setattr(clusters, "ready_nodes", lambda *_: {"train": 8})
    monkeypatch.setattr(cluster_jobs, "run_on_each", run_on_each)
    said: list[str] = []
    run = DiagnosisRun(pool="train", level=2)
    access = ClusterAccess("aws-east")
    accelerators.diagnose(with_pool(nodes=2, nodes_min=2, nodes_max=8), run, access, "2026-11-29", said.append)
    assert started[0]["spec"]["completions"] == 8
    assert said == ["1 node of pool train had no free accelerators, and were not diagnosed"]


@pytest.mark.parametrize(
    ("reserved", "problem"),
    [
        (ReservedCapacity(starts="2999-01-01T00:00:00Z"), "its reservation begins at 2999-01-01T00:00:00Z"),
        (ReservedCapacity(has_ended=True), "its reservation has ended"),
        (ReservedCapacity(starts="2020-01-01T00:00:00Z"), ""),
    ],
)
def test_a_pool_without_nodes_by_its_reservation_is_refused(reserved: ReservedCapacity, problem: str) -> None:
    """One whose reservation has begun since the last `up` has nodes."""
    deployed = with_pool(reserved=reserved)
    if not problem:
        assert accelerators.diagnoses(deployed, "", 2) == (DiagnosisRun(pool="train", level=2),)
        return
    with pytest.raises(UsageError, match=problem):
        accelerators.diagnoses(deployed, "", 2)


def test_what_the_lab_prints_is_a_recording(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dcgm_of_lab, "_TAKES_S", 0.0)
    assert dcgm_of_lab.main(["dcgmi", "diag", "-r", "2"]) == 0
    rows, _ = diagnosed(monkeypatch, with_pool(nodes=1), cluster_jobs.Ended(message_of(capsys.readouterr().out), "n1"))
    assert {each.taken.origin for each in rows} == {"replayed"}
    assert rows[0].value == 8


def test_dcgm_diagnoses_whole_accelerators_of_nvidia_alone() -> None:
    assert accelerators.diagnoses(with_pool(), "", 3) == (DiagnosisRun(pool="train", level=3),)
    with pytest.raises(UsageError, match="DCGM has no diagnosis 4"):
        accelerators.diagnoses(with_pool(), "", 4)
    with pytest.raises(UsageError, match=r"pool train has amd\.com/gpu"):
        accelerators.diagnoses(with_pool(gpu_resource="amd.com/gpu"), "pool/train", 2)
    with pytest.raises(UsageError, match="whole accelerators of NVIDIA alone"):
        accelerators.diagnoses(with_pool(share="1g.10gb", share_resource="nvidia.com/mig-1g.10gb"), "", 2)
    with pytest.raises(UsageError, match="there is no GPU here"):
        accelerators.diagnoses(with_pool(gpus_per_node=0), "", 2)
