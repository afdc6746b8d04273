"""`meshctl bench --what` as a user runs it, against a server of this process. Jobs leave what one has printed once."""

from __future__ import annotations

import base64
import gzip
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshctl.bench import cluster_jobs, in_use, storage
from meshctl.cli import guards
from meshctl.cli.context import Context
from meshctl.clients.kubernetes import clusters
from meshctl.dns import lookup
from meshctl.errors import LockedError, MeasurementError, UnreachableError, UsageError
from meshctl.model.observed import PodState
from meshctl.model.pods import own_images
from meshctl.render.benchmarks import StorageRun
from tests.command_line import meshctl
from tests.unit.advise.situations import RECORDED, deployment


def test_a_server_is_measured_through_its_endpoint(folder: Path, up: list[str]) -> None:
    arguments = ("--what", "serve", "--rate", "30", "--seconds", "1", "--tokens", "4/6", "--yes", "--output", "json")
    result = meshctl("bench", "aws-east", *arguments, folder=folder)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    by_metric = {row["result"]["metric"]: row["result"] for row in document["results"]}
    assert by_metric["output tokens"]["setting"]["model"] == "/models"
    assert by_metric["output tokens"]["setting"]["replicas"] == "2"
    assert by_metric["output tokens"]["value"] > 0
    assert by_metric["output tokens"]["warnings"] == []
    assert by_metric["output tokens"]["taken"]["machine"] == "p5.48xlarge"
    assert set(by_metric["time to first token"]["percentiles"]) == {"p50", "p90", "p95", "p99"}
    assert (folder / ".meshctl" / "state" / document["files"][0]).is_file()
    assert up == ["aws-east"] * 2  # at once, and before it is measured


def test_it_asks_before_it_sends_load(folder: Path, up: list[str]) -> None:
    result = meshctl("bench", "aws-east", "--what", "serve", folder=folder)
    assert result.returncode == 64
    assert "this must be confirmed" in result.stderr
    assert not (folder / ".meshctl" / "state" / "bench").exists()


def test_a_workload_without_an_endpoint_is_not_measured(folder: Path, up: list[str]) -> None:
    result = meshctl("bench", "aws-east", "--what", "serve", "--workload", "chats", "--yes", folder=folder)
    assert result.returncode == 64
    assert 'did you mean "chat"' in result.stderr


TEXT = (RECORDED / "fio-limited-write.json").read_bytes()


@pytest.fixture
def fio(up: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The Jobs that were started, by name. Each leaves what fio has printed once for a limited folder."""
    started: list[str] = []

    def run(_access: Any, manifest: Any, _say: Any, **_: Any) -> cluster_jobs.Ended:
        started.append(manifest["metadata"]["name"])
        text = (RECORDED / "fio-limited-write.json").read_bytes()
        return cluster_jobs.Ended(base64.b64encode(gzip.compress(text)).decode(), "n1")

    monkeypatch.setattr(cluster_jobs, "run", run)
    return started


def test_storage_is_measured_by_a_job_and_the_results_are_kept(folder: Path, fio: list[str]) -> None:
    result = meshctl("bench", "aws-east", "--what", "storage", "--yes", "--output", "json", folder=folder)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert fio == ["bench-storage-shared"]
    throughput = next(row for row in document["results"] if row["result"]["metric"] == "write throughput")
    assert throughput["subject"] == "storage/shared"
    assert throughput["result"]["taken"]["machine"] == "p5.48xlarge"
    assert throughput["result"]["taken"]["source"] == "meshctl bench: fio on a node of pool train"
    assert throughput["result"]["versions"]["image"] == own_images.FIO
    assert (folder / ".meshctl" / "state" / document["files"][0]).is_file()


def test_what_was_measured_is_kept_although_the_next_one_fails(
    folder: Path, up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = [base64.b64encode(gzip.compress((RECORDED / "fio-limited-write.json").read_bytes())).decode()]
    disk = StorageRun(subject="pool/train", pool="train", size_mib=64, seconds=8)

    def run(*_: Any, **__: Any) -> cluster_jobs.Ended:
        if not messages:
            raise MeasurementError("the second one failed")
        return cluster_jobs.Ended(messages.pop(), "n1")

    monkeypatch.setattr(cluster_jobs, "run", run)
    monkeypatch.setattr(storage, "runs", lambda *_: (replace(disk, subject="storage/shared"), disk))
    result = meshctl("bench", "aws-east", "--what", "storage", "--yes", folder=folder)
    assert result.returncode == 3, result.stderr
    results = folder / ".meshctl" / "state" / "bench" / "llm-prod" / "aws-east"
    assert len(list(results.iterdir())) == 1


def test_storage_is_not_written_to_unasked(folder: Path, fio: list[str]) -> None:
    result = meshctl("bench", "aws-east", "--what", "storage", folder=folder)
    assert result.returncode == 64
    assert "this must be confirmed" in result.stderr
    assert fio == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--of", "storage/weights"), "no workload writes to it, and a measurement has to"),
        (("--of", "storage/checkpoints", "--size", "5GiB"), "16 MiB at least and 4096 MiB at most"),
        (("--of", "storage/share"), 'did you mean "storage/shared"'),
        (("--of", "workload/chat"), "these can be measured: storage/shared, storage/checkpoints, pool/train"),
    ],
    ids=str,
)
def test_what_fio_can_not_measure_is_named(
    folder: Path, fio: list[str], arguments: tuple[str, ...], message: str
) -> None:
    result = meshctl("bench", "aws-east", "--what", "storage", "--yes", *arguments, folder=folder)
    assert result.returncode == 64
    assert message in result.stderr
    assert fio == []


def test_a_measurement_never_fills_a_storage() -> None:
    deployed = deployment()
    small = tuple(each.model_copy(update={"size_gib": 5}) for each in deployed.file_systems)
    with pytest.raises(UsageError, match="more than a tenth of storage shared") as raised:
        storage.runs(deployed.model_copy(update={"file_systems": small}), "", storage.checked_size(1, 30))
    assert raised.value.hint == "--size 512MiB"


def test_a_measurement_never_fills_the_disk_of_a_node() -> None:
    deployed = deployment()
    small = tuple(each.model_copy(update={"disk_gib": 100}) for each in deployed.pools)
    with pytest.raises(UsageError, match="more than a tenth of the disk of a node of pool web") as raised:
        storage.runs(deployed.model_copy(update={"pools": small}), "pool/web", storage.checked_size(64, 30))
    assert raised.value.hint == "--size 10240MiB"


def test_a_file_system_that_nobody_writes_to_is_left_alone() -> None:
    deployed = deployment()
    readers = tuple(
        each.model_copy(update={"mounts": tuple(m.model_copy(update={"read_only": True}) for m in each.mounts)})
        for each in deployed.workloads
    )
    reading = deployed.model_copy(update={"workloads": readers})
    with pytest.raises(UsageError, match="can't be measured") as raised:
        storage.runs(reading, "storage/shared", storage.checked_size(1, 30))
    assert raised.value.why == "no workload writes to it, and a measurement has to"


@pytest.mark.parametrize(("environment", "is_refused"), [("aws-east", True), ("cw", True), ("dc1", False)])
def test_nothing_is_measured_beside_a_migration(
    monkeypatch: pytest.MonkeyPatch, environment: str, is_refused: bool
) -> None:
    from meshctl.migrate.journal import guard
    from meshctl.shift import in_force

    plan = SimpleNamespace(source=SimpleNamespace(environment="aws-east"), target=SimpleNamespace(environment="cw"))
    history = SimpleNamespace(plan=plan, share=None, state="waiting")
    monkeypatch.setattr(guard, "open_migration_of", lambda _: SimpleNamespace(migration="m-1", history=history))
    monkeypatch.setattr(in_force, "open_shifts_of", lambda *_: [])
    project: Any = None
    if is_refused:
        with pytest.raises(LockedError, match="part of migration m-1"):
            guards.refuse_if_moving(project, environment)
    else:
        guards.refuse_if_moving(project, environment)


def test_several_kinds_are_measured_in_order_and_what_can_not_be_is_a_line(folder: Path, fio: list[str]) -> None:
    """The fabric of the mesh has 2 nodes with accelerators; the recording of fio is no output of nccl-tests."""
    load = ("--rate", "30", "--seconds", "4", "--tokens", "4/6", "--size", "64MiB")
    arguments = ("--what", "rag,storage,serve", *load, "--yes", "--output", "json")
    result = meshctl("bench", "aws-east", *arguments, folder=folder)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert {row["result"]["what"] for row in document["results"]} == {"serve", "storage"}
    assert [path.partition("/")[0] for path in document["files"]] == ["bench", "bench"]
    assert "not measured: rag: --what rag needs questions (--questions FILE" in result.stderr
    assert result.stderr.index("measuring chat.") < result.stderr.index("measuring storage/shared")


def test_by_default_all_is_measured_and_a_failure_ends_only_its_own_kind(
    folder: Path, up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any, **__: Any) -> cluster_jobs.Ended:
        raise MeasurementError("no node has room")

    monkeypatch.setattr(cluster_jobs, "run", run)
    arguments = ("--rate", "30", "--seconds", "4", "--tokens", "4/6", "--size", "64MiB", "--yes")
    result = meshctl("bench", "aws-east", *arguments, folder=folder)
    assert result.returncode == 3, result.stderr
    assert "workload/chat: output tokens" in result.stdout
    for kind in ("storage", "fabric", "gpu"):
        assert f"not measured: {kind}: no node has room" in result.stderr
    assert result.stderr.count("error: no node has room") == 1


def test_one_question_names_all_that_is_measured(folder: Path, fio: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    questions: list[str] = []
    monkeypatch.setattr(Context, "must_confirm", property(lambda _: True))
    monkeypatch.setattr(Context, "confirm", lambda _, question: questions.append(question))
    arguments = ("--what", "storage,serve", "--rate", "30", "--seconds", "4", "--tokens", "4/6", "--size", "64MiB")
    assert meshctl("bench", "aws-east", *arguments, folder=folder).returncode == 0
    (question,) = questions
    assert question.startswith("send about 120 requests within 4 s to chat.")
    assert question.endswith("and read and write it for 4 s in aws-east, beside its workloads?")


def test_where_nothing_can_be_measured_each_reason_is_said(folder: Path, up: list[str]) -> None:
    arguments = ("--what", "serve,fabric", "--workload", "train", "--of", "pool/web", "--yes")
    result = meshctl("bench", "aws-east", *arguments, folder=folder)
    assert result.returncode == 64
    assert "none of serve, fabric can be measured in aws-east" in result.stderr
    assert "no inference workload train with an endpoint" in result.stderr
    assert 'the fabric of "pool/web" can\'t be measured' in result.stderr


MEASURED = ("--rate", "30", "--seconds", "4", "--tokens", "4/6", "--size", "64MiB")


def test_an_endpoint_without_an_address_ends_only_its_own_kind(
    folder: Path, fio: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a new load balancer takes a minute until DNS has it."""

    def address_of(_: str) -> str:
        raise UnreachableError("lb.example has no address")

    monkeypatch.setattr(lookup, "address_of", address_of)
    result = meshctl("bench", "aws-east", "--what", "serve,storage", *MEASURED, "--yes", folder=folder)
    assert fio == ["bench-storage-shared"]
    assert "not measured: serve: lb.example has no address" in result.stderr
    assert result.returncode == UnreachableError("").exit_code


def test_a_migration_that_begins_between_two_measurements_ends_the_second(
    folder: Path, up: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the first one has failed, and where both are of one kind."""
    started: list[str] = []
    disk = StorageRun(subject="pool/train", pool="train", size_mib=64, seconds=8)

    def run(_access: Any, manifest: Any, *_: Any, **__: Any) -> cluster_jobs.Ended:
        started.append(manifest["metadata"]["name"])
        return cluster_jobs.Ended(base64.b64encode(gzip.compress(TEXT)).decode(), "n1")

    def refuse(*_: Any) -> None:
        if started:
            raise LockedError("aws-east is part of migration m-1")

    monkeypatch.setattr(cluster_jobs, "run", run)
    monkeypatch.setattr(storage, "runs", lambda *_: (replace(disk, subject="storage/shared"), disk))
    monkeypatch.setattr(guards, "refuse_if_moving", refuse)
    for kinds in ("storage", "storage,gpu"):
        started.clear()
        result = meshctl("bench", "aws-east", "--what", kinds, "--yes", folder=folder)
        assert result.returncode == LockedError("").exit_code, result.stderr
        assert len(started) == 1


def test_of_several_kinds_none_waits_for_accelerators_that_the_mesh_holds(
    folder: Path, fio: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = [
        PodState(f"{name}-{number}", name, "Running", True, f"{name}-{number}", 0)
        for name in ("pretrain", "chat")
        for number in range(4)
    ]
    monkeypatch.setattr(clusters, "pods", lambda *_: held)
    result = meshctl("bench", "aws-east", *MEASURED, "--yes", folder=folder)
    assert result.returncode == 0, result.stderr
    assert fio == ["bench-storage-shared"]
    assert "not measured: fabric: the accelerators of pool train are in use by pretrain" in result.stderr
    assert "not measured: gpu: the accelerators of pool train are in use by pretrain" in result.stderr
    assert "the accelerators of pool serve are in use by chat" in result.stderr
    asked_for = meshctl("bench", "aws-east", "--what", "gpu", "--yes", folder=folder)
    assert "are in use by" not in asked_for.stderr
    assert any(name.startswith("bench-gpu") for name in fio)


def test_what_a_pool_has_free_is_measured() -> None:
    deployed = deployment()
    nodes = deployed.pool("train").nodes

    def on(count: int, phase: str = "Running") -> list[PodState]:
        return [PodState(f"pretrain-{number}", "pretrain", phase, True, f"n{number}", 0) for number in range(count)]

    assert in_use.held_by(deployed, on(1), {}, "train", nodes) == ("pretrain",)
    assert in_use.held_by(deployed, on(1), {}, "train", nodes - 1) == ()
    assert in_use.held_by(deployed, on(nodes), {}, "train", 1) == ("pretrain",)
    assert in_use.held_by(deployed, on(nodes), {"train": nodes + 1}, "train", 1) == ()
    assert in_use.held_by(deployed, on(nodes, "Succeeded"), {}, "train", 1) == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--what", ""), 'nothing named "" can be measured'),
        (("--machine", "p5.48xlarge"), "--machine, --date and --replayed can only be used with --from"),
        (("--what", "gpu", "--date", "2026-11-29"), "--machine, --date and --replayed can only be used with --from"),
        (("--replayed",), "--machine, --date and --replayed can only be used with --from"),
    ],
    ids=str,
)
def test_a_forgotten_file_or_kind_is_no_order_to_measure_all(
    folder: Path, fio: list[str], arguments: tuple[str, ...], message: str
) -> None:
    result = meshctl("bench", "aws-east", *arguments, "--yes", folder=folder)
    assert result.returncode == 64
    assert message in result.stderr
    assert fio == []
