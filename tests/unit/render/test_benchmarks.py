"""The Jobs that `meshctl bench` starts: what they may do, and how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from meshctl.errors import ForeignOutputError
from meshctl.lab.images.programs import fio as fio_of_lab
from meshctl.measure import dcgm, fio, packed, rclone
from meshctl.measure.results import Taken
from meshctl.model.deployment import Deployment
from meshctl.model.pods import own_images
from meshctl.render import benchmark_scripts, benchmarks
from meshctl.render.benchmarks import DiagnosisRun, FabricRun, GpuRun, StorageRun
from tests.golden_files import Golden
from tests.unit.advise.situations import ROOT, deployment

RUN = StorageRun(subject="storage/shared", pool="train", size_mib=64, seconds=8)
TAKEN = Taken(machine="p5.48xlarge", date="2026-11-29", source="a test")


def pod_of(deployed: Deployment, run: StorageRun = RUN) -> dict[str, Any]:
    spec: dict[str, Any] = benchmarks.storage_job(deployed, run)["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("environment", ["aws-east", "cw"])
def test_what_is_started_is_what_was_read(environment: str, golden: Golden) -> None:
    """Each kind of Job as it is sent: whoever changes how they are made sees what that changes."""
    deployed = deployment(environment)
    disk = StorageRun(subject="pool/train", pool="train", size_mib=64, seconds=8)
    fabric, companions = benchmarks.fabric_objects(deployed, FabricRun(pool="train"), "the private key")
    jobs = {
        "a file system": benchmarks.storage_job(deployed, RUN),
        "a disk": benchmarks.storage_job(deployed, disk),
        "an object store": benchmarks.object_job(deployed, OBJECTS),
        "accelerators": benchmarks.gpu_job(deployed, GpuRun(pool="train")),
        "their health": benchmarks.diagnosis_job(deployed, DiagnosisRun(pool="train", level=2)),
        "a fabric": fabric,
        "beside a fabric": companions,
    }
    golden.json(f"bench/jobs-{environment}.json", jobs)


def test_a_job_ends_by_itself_and_gives_way_to_the_mesh() -> None:
    manifest = benchmarks.storage_job(deployment(), RUN)
    spec, pod = manifest["spec"], manifest["spec"]["template"]["spec"]
    assert spec["activeDeadlineSeconds"] == RUN.deadline_s
    assert spec["ttlSecondsAfterFinished"] > 0
    assert spec["backoffLimit"] == 0
    assert "priorityClassName" not in pod
    assert "serviceAccountName" not in pod
    assert pod["nodeSelector"] == {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "train"}
    assert "nvidia.com/gpu" not in str(pod["containers"][0]["resources"])


def test_nobody_takes_it_for_a_workload_of_the_mesh() -> None:
    manifest = benchmarks.storage_job(deployment(), RUN)
    for labels in (manifest["metadata"]["labels"], manifest["spec"]["template"]["metadata"]["labels"]):
        assert labels["app.kubernetes.io/managed-by"] != "meshctl"
        assert labels[benchmarks.KIND_LABEL] == "storage"


def test_it_runs_as_the_user_whose_files_it_stands_beside() -> None:
    deployed = deployment()
    writer = benchmarks.writers(deployed, "shared")[0]
    rooted = writer.model_copy(update={"user": 4711})
    others = tuple(rooted if each.name == writer.name else each for each in deployed.workloads)
    pod = pod_of(deployed.model_copy(update={"workloads": others}))
    assert pod["securityContext"]["runAsUser"] == 4711


def test_files_of_somebody_elses_claim_are_given_to_no_group() -> None:
    deployed = deployment()
    writer = benchmarks.writers(deployed, "shared")[0]
    mounts = tuple(each.model_copy(update={"is_adopted": each.storage == "shared"}) for each in writer.mounts)
    adopting = writer.model_copy(update={"mounts": mounts})
    others = tuple(adopting if each.name == writer.name else each for each in deployed.workloads)
    assert "fsGroup" in pod_of(deployed)["securityContext"]
    assert "fsGroup" not in pod_of(deployed.model_copy(update={"workloads": others}))["securityContext"]


def images_of(deployed: Deployment) -> set[str]:
    """Of each kind of Job, also of the one for EFA and of that for other networks."""
    train = deployed.pool("train")
    assert train.fabric is not None
    plain = train.model_copy(update={"fabric": train.fabric.model_copy(update={"kind": "infiniband"})})
    with_infiniband = deployed.model_copy(
        update={"pools": tuple(plain if each.name == "train" else each for each in deployed.pools)}
    )
    manifests = [
        benchmarks.storage_job(deployed, RUN),
        benchmarks.object_job(deployed, OBJECTS),
        benchmarks.gpu_job(deployed, GpuRun(pool="train")),
        benchmarks.diagnosis_job(deployed, DiagnosisRun(pool="train", level=3)),
        benchmarks.fabric_objects(deployed, FabricRun(pool="train"), "key")[0],
        benchmarks.fabric_objects(with_infiniband, FabricRun(pool="train"), "key")[0],
    ]
    return {each["image"] for job in manifests for each in job["spec"]["template"]["spec"]["containers"]}


def test_the_images_of_all_jobs_come_from_the_mirror() -> None:
    """`images` of the environment, as of the mesh's own. Those of Docker Hub are named without it."""
    deployed = deployment()
    assert images_of(deployed) == set(own_images.of_measurements())
    places = ("ghcr.io", "nvcr.io", "public.ecr.aws", "docker.io")
    mirrored = deployed.model_copy(update={"images": {place: f"registry.acme.example/{place}" for place in places}})
    assert {each.split("/")[0] for each in images_of(mirrored)} == {"registry.acme.example"}


def test_the_disk_of_a_node_is_measured_in_a_folder_of_the_pods_own() -> None:
    pod = pod_of(deployment(), StorageRun(subject="pool/train", pool="train", size_mib=1024, seconds=8))
    (volume,) = pod["volumes"]
    assert volume["emptyDir"] == {"sizeLimit": "2Gi"}
    (container,) = pod["containers"]
    assert container["resources"]["requests"]["ephemeral-storage"] == "1024Mi"


def test_what_is_copied_to_a_store_has_room_on_the_node() -> None:
    (container,) = benchmarks.object_job(deployment(), OBJECTS)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["requests"]["ephemeral-storage"] == "32Mi"
    (container,) = pod_of(deployment())["containers"]
    assert "ephemeral-storage" not in container["resources"]["requests"]


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A file system with files of its users."""
    folder = tmp_path / "mounted"
    folder.mkdir()
    (folder / "checkpoint").write_text("of a training")
    return folder


def started(mounted: Path, program: str) -> subprocess.Popen[bytes]:
    """The container's script, with `program` as the text of its fio."""
    programs = mounted.parent / "bin"
    programs.mkdir()
    (programs / "fio").write_text(program)
    (programs / "fio").chmod(0o755)
    arguments = ["8", "0.2", str(mounted), str(mounted.parent / "report")]
    return subprocess.Popen(
        ["sh", "-c", benchmark_scripts.STORAGE_SCRIPT, "bench", *arguments],  # noqa: S607 (as the container does)
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


FIO = f'#!/bin/sh\nexec "{sys.executable}" -m meshctl.lab.images.commands fio "$@"\n'


def test_the_script_measures_and_leaves_only_its_report(mounted: Path) -> None:
    left = mounted / benchmark_scripts.FOLDER / "of-a-node-that-died"
    left.mkdir(parents=True)
    (left / "data1").write_text("of a run that was killed")
    two_hours_ago = time.time() - 7200
    os.utime(left, (two_hours_ago, two_hours_ago))
    process = started(mounted, FIO)
    assert process.wait(60) == 0
    message = (mounted.parent / "report").read_text()
    assert len(message) <= 4096
    results = fio.read(packed.unpacked(message), TAKEN)
    throughput = {(each.setting["job"], each.metric): each.value for each in results if each.unit == "MB/s"}
    assert set(throughput) == {
        ("write", "write throughput"),
        ("read", "read throughput"),
        ("random-read", "read throughput"),
        ("random-write", "write throughput"),
    }
    assert all(value > 0 for value in throughput.values())
    assert [each.name for each in mounted.iterdir()] == ["checkpoint"]


def test_a_folder_that_is_limited_is_as_slow_as_that(mounted: Path) -> None:
    (mounted / fio_of_lab.RATE_FILE).write_text("10")
    process = started(mounted, FIO)
    assert process.wait(60) == 0
    results = fio.read(packed.unpacked((mounted.parent / "report").read_text()), TAKEN)
    assert all(each.value <= 10.5 for each in results if each.unit == "MB/s")


def test_a_file_system_without_direct_io_is_measured_through_the_page_cache(mounted: Path) -> None:
    refusing = FIO.replace("exec", 'case "$*" in *--direct=1*) echo "Invalid argument" >&2; exit 1;; esac\nexec')
    process = started(mounted, refusing)
    assert process.wait(60) == 0
    results = fio.read(packed.unpacked((mounted.parent / "report").read_text()), TAKEN)
    assert {each.setting["direct"] for each in results} == {"0"}


def test_a_measurement_that_fails_leaves_nothing(mounted: Path) -> None:
    process = started(mounted, "#!/bin/sh\necho 'No space left on device' >&2\nexit 1\n")
    assert process.wait(60) == 1
    assert not (mounted.parent / "report").exists()
    assert [each.name for each in mounted.iterdir()] == ["checkpoint"]


def test_a_run_touches_nothing_of_one_beside_it(mounted: Path) -> None:
    """A pod that is still ending, or that of another environment with the same file system."""
    other = mounted / benchmark_scripts.FOLDER / "another"
    other.mkdir(parents=True)
    (other / "data1").write_text("of a run that goes on")
    assert started(mounted, FIO).wait(60) == 0
    assert [each.name for each in (mounted / benchmark_scripts.FOLDER).iterdir()] == ["another"]
    assert (other / "data1").read_text() == "of a run that goes on"


def test_a_measurement_that_is_ended_leaves_nothing(mounted: Path) -> None:
    process = started(mounted, "#!/bin/sh\nexec sleep 60\n")
    deadline = time.monotonic() + 20
    while not any(mounted.glob(f"{benchmark_scripts.FOLDER}/*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert [each.name for each in mounted.iterdir()] == ["checkpoint"]


OBJECTS = StorageRun(subject="storage/checkpoints", pool="train", size_mib=32, seconds=8)


@pytest.mark.parametrize(("environment", "has_keys"), [("aws-east", False), ("cw", True)])
def test_objects_are_copied_as_the_workload_that_writes_them(environment: str, has_keys: bool) -> None:
    pod = benchmarks.object_job(deployment(environment), OBJECTS)["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "pretrain"
    assert "priorityClassName" not in pod
    (container,) = pod["containers"]
    assert container["image"] == own_images.STAGING
    names = {entry["name"] for entry in container["env"]}
    assert {"RCLONE_S3_PROVIDER", "RCLONE_S3_ENV_AUTH", "AWS_REGION"} <= names
    assert ("AWS_SECRET_ACCESS_KEY" in names) is has_keys
    assert container["args"][2].startswith(":s3:")


def copied(store: Path, size_mib: int = 32) -> subprocess.CompletedProcess[str]:
    """The container's script with the real rclone, and a folder in the place of a bucket."""
    (rclone_program,) = (each for each in [shutil.which("rclone", path=str(Path(sys.executable).parent))] if each)
    arguments = [str(store), str(size_mib), str(store.parent / "disk"), str(store.parent / "report")]
    return subprocess.run(
        ["sh", "-c", benchmark_scripts.OBJECTS_SCRIPT, "bench", *arguments],  # noqa: S607 (as the container does)
        env={**os.environ, "PATH": f"{Path(rclone_program).parent}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_objects_are_written_and_read_and_nothing_of_others_is_touched(mounted: Path) -> None:
    folder = mounted / benchmark_scripts.FOLDER
    now = time.time()
    for run, written in (("of-a-node-that-died", now - 7200), ("another", now)):
        (folder / run).mkdir(parents=True)
        (folder / run / "16").write_text("of another run")
        os.utime(folder / run / "16", (written, written))
    done = copied(mounted)
    assert done.returncode == 0, done.stdout
    results = rclone.read(packed.unpacked((mounted.parent / "report").read_text()), TAKEN, {"subject": "storage/x"})
    assert [each.metric for each in results] == ["write throughput", "read throughput"]
    assert all(each.value > 0 and each.setting["bytes"] == str(32 * 2**20) for each in results)
    assert {each for each in mounted.rglob("*") if each.is_file()} == {
        mounted / "checkpoint",
        folder / "another" / "16",
    }


def test_a_store_that_refuses_is_an_error_with_its_words(mounted: Path) -> None:
    (mounted / "file").write_text("no folder")
    done = copied(mounted / "file")
    assert done.returncode == 1
    assert "not a directory" in done.stdout
    assert not (mounted / "report").exists()


@pytest.mark.parametrize(
    "text", ["", "{}", '{"stats": {}}\n{"stats": {}}', '{"stats": {"bytes": 0, "elapsedTime": 1}}\n{}']
)
def test_statistics_of_nothing_are_no_result(text: str) -> None:
    with pytest.raises(ForeignOutputError):
        rclone.read(text, TAKEN, {})


@pytest.mark.parametrize(("environment", "user"), [("aws-east", 1000), ("cw", 0)])
def test_dcgm_runs_on_all_accelerators_of_each_node_without_privileges(environment: str, user: int) -> None:
    """As root where the mesh's namespace lets pods be that, which InfiniBand needs there."""
    deployed = deployment(environment)
    manifest = benchmarks.diagnosis_job(deployed, DiagnosisRun(pool="train", level=2))
    spec, pod = manifest["spec"], manifest["spec"]["template"]["spec"]
    assert (spec["completions"], spec["parallelism"]) == (deployed.pool("train").nodes, deployed.pool("train").nodes)
    assert spec["activeDeadlineSeconds"] == 1500
    assert (spec["backoffLimitPerIndex"], spec["backoffLimit"]) == (0, spec["completions"])
    (container,) = pod["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    assert pod["securityContext"]["runAsUser"] == user
    assert "privileged" not in str(container["securityContext"])
    assert "SYS_ADMIN" not in str(container["securityContext"])
    assert "hostNetwork" not in pod


DCGM = {
    "nv-hostengine": 'echo "$@" > "$CALLS"',
    "dcgmi": 'echo "$@" >> "$CALLS"; [ "$1" != diag ] || { cat "$OUTPUT"; exit 226; }',
}


def diagnosed(folder: Path, output: str) -> tuple[str, str]:
    """What the container's script reports with these programs, and what it has called."""
    programs = folder / "bin"
    programs.mkdir()
    for name, text in DCGM.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    (folder / "output").write_text(output)
    places = {"CALLS": str(folder / "calls"), "OUTPUT": str(folder / "output"), "TMPDIR": str(folder)}
    done = subprocess.run(
        ["bash", "-c", benchmark_scripts.DIAGNOSIS_SCRIPT, "bench", "2", "600", str(folder / "report")],  # noqa: S607
        env={**os.environ, **places, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr  # what dcgmi exits with is its verdict
    return packed.unpacked((folder / "report").read_text()), (folder / "calls").read_text()


def test_the_diagnosis_is_packed_whatever_it_has_found(tmp_path: Path) -> None:
    recorded = (ROOT / "tests/unit/measure/recorded/dcgm-4-diagnostic.json").read_text(encoding="utf-8")
    text, calls = diagnosed(tmp_path, recorded)
    assert dcgm.read(text, TAKEN)[0].value == 8
    assert calls.splitlines()[1:] == ["discovery -l", "diag -r 2 -v -j"]
    assert len((tmp_path / "report").read_text()) <= 4096


def test_a_diagnosis_that_could_not_begin_says_why(tmp_path: Path) -> None:
    text, _ = diagnosed(tmp_path, "Error: unable to establish a connection to the specified host: localhost\n")
    assert "unable to establish a connection" in text
