"""The fabric of a pool is measured by nccl-tests: the Job, its script, and what comes back."""

from __future__ import annotations

import base64
import gzip
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from meshctl.bench import cluster_jobs, fabric
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import UsageError
from meshctl.lab.images import python_script
from meshctl.lab.images.programs.nccl_tests import RECORDING
from meshctl.lab.pods import addresses
from meshctl.measure import nccl, packed
from meshctl.measure.results import Taken
from meshctl.model.deployment import Deployment
from meshctl.render import benchmark_scripts, benchmarks
from meshctl.render.benchmarks import FabricRun
from tests.unit.advise.situations import RECORDED, ROOT, deployment
from tests.unit.bench.fabric_pools import of_racks, with_pool

TCP = (RECORDED / "nccl-tcp.txt").read_text(encoding="utf-8")
RUN = FabricRun(pool="train")


@pytest.fixture
def deployed() -> Deployment:
    return with_pool(deployment())


def message_of(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


@pytest.mark.parametrize(("head", "origin"), [("", "measured"), ("# replayed by the lab\n", "replayed")])
def test_the_results_are_of_the_pool_and_say_whether_they_are_a_recording(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch, head: str, origin: str
) -> None:
    started: list[tuple[Any, Any]] = []

    def run(
        _access: Any, manifest: Any, _say: Any, *, companions: Any, start_s: float, holder: Any
    ) -> cluster_jobs.Ended:
        started.append((manifest, companions))
        return cluster_jobs.Ended(message_of(head + TCP), "n1")

    monkeypatch.setattr(cluster_jobs, "run", run)
    results = fabric.measure(deployed, RUN, ClusterAccess("aws-east"), "2026-11-29", lambda _: None)
    assert {each.setting["subject"] for each in results} == {"pool/train"}
    assert {(each.taken.machine, each.taken.origin) for each in results} == {("p4d.24xlarge", origin)}
    assert results[-1].value == 4.13
    ((manifest, (secret, service)),) = started
    assert manifest["spec"]["completions"] == 2
    assert secret["kind"] == "Secret"
    assert "OPENSSH PRIVATE KEY" in next(text for key, text in secret["stringData"].items() if key.endswith("key"))
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_pods_get_the_devices_and_settings_of_the_pools_trainers(deployed: Deployment) -> None:
    manifest, _ = benchmarks.fabric_objects(deployed, RUN, "key")
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["vpc.amazonaws.com/efa"] == "32"
    assert container["resources"]["limits"]["nvidia.com/gpu"] == "8"
    names = {entry["name"] for entry in container["env"]}
    assert {"FI_PROVIDER", "FI_EFA_USE_DEVICE_RDMA", "NCCL_DEBUG"} <= names
    assert "FI_PROVIDER" in container["args"][4].split()  # what the ranks get from rank 0
    assert "key" not in manifest["spec"]["template"]["metadata"].get("annotations", {}).values()


def test_the_key_is_in_a_secret_alone(deployed: Deployment) -> None:
    manifest, (secret, _) = benchmarks.fabric_objects(deployed, RUN, "the private key")
    assert "the private key" in str(secret)
    assert "the private key" not in str(manifest)
    assert {volume["name"]: set(volume) - {"name"} for volume in manifest["spec"]["template"]["spec"]["volumes"]}[
        "0-files"
    ] == {"secret"}


def test_where_trainers_share_nvlink_the_pods_have_a_domain_of_their_own_and_any_rack() -> None:
    deployed = with_pool(deployment(), nodes=36)
    racks = tuple(
        pool.model_copy(update={"fabric": pool.fabric.model_copy(update={"nvlink": "rack"})}) if pool.fabric else pool
        for pool in deployed.pools
    )
    manifest, companions = benchmarks.fabric_objects(deployed.model_copy(update={"pools": racks}), RUN, "key")
    pod = manifest["spec"]["template"]["spec"]
    (claim,) = pod["resourceClaims"]
    (domain,) = (each for each in companions if each["kind"] == "ComputeDomain")
    assert domain["spec"]["channel"]["resourceClaimTemplate"]["name"] == claim["resourceClaimTemplateName"]
    assert domain["spec"]["numNodes"] == 36
    assert domain["metadata"]["labels"][benchmarks.KIND_LABEL] == "fabric"
    assert "nvidia.com/gpu.clique" not in str(pod.get("affinity"))
    assert {each["kind"] for each in benchmarks.fabric_objects(deployed, RUN, "key")[1]} == {"Secret", "Service"}

    some = FabricRun(pool=RUN.pool, nodes=4)  # as a gang of so many, which is in one rack
    manifest, companions = benchmarks.fabric_objects(deployed.model_copy(update={"pools": racks}), some, "key")
    (domain,) = (each for each in companions if each["kind"] == "ComputeDomain")
    assert (manifest["spec"]["completions"], domain["spec"]["numNodes"]) == (4, 4)
    assert "nvidia.com/gpu.clique" in str(manifest["spec"]["template"]["spec"]["affinity"])


def test_so_many_nodes_as_a_gang_has_are_measured(deployed: Deployment) -> None:
    nodes = deployed.pool("train").nodes
    assert fabric.runs(deployed, "pool/train", 2) == (FabricRun(pool="train", nodes=2),)
    for number in (1, nodes + 1):
        with pytest.raises(UsageError, match=f"--nodes {number}: pool train has {nodes} nodes"):
            fabric.runs(deployed, "pool/train", number)


def test_only_pools_with_a_network_between_accelerators_are_measured(deployed: Deployment) -> None:
    assert fabric.runs(deployed, "pool/train") == (RUN,)
    with pytest.raises(UsageError, match='the fabric of "pool/web" can\'t be measured'):
        fabric.runs(deployed, "pool/web")
    without = deployed.model_copy(
        update={"pools": tuple(each.model_copy(update={"gpus_per_node": 0}) for each in deployed.pools)}
    )
    with pytest.raises(UsageError, match="no pool with whole NVIDIA accelerators on at least two nodes") as raised:
        fabric.runs(without, "")
    assert "between GPUs of different nodes" in raised.value.why


STUBS: Mapping[str, str] = {
    "ssh-keygen": "echo public",
    "sshd": "exit 0",
    "ssh": 'echo "$@" >> "$CALLS"',
    "mpirun": 'echo "mpirun $*" >> "$CALLS"; cat "$OUTPUT"; exit ${CODE:-0}',
}


def run_script(
    folder: Path, programs_of_image: Mapping[str, str] = STUBS, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The script of rank 0, with the programs of its image played."""
    programs, keys, own = folder / "bin", folder / "keys", folder / "own"
    for each in (programs, keys):
        each.mkdir()
    (keys / "key").write_text("private")
    for name, text in programs_of_image.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    script = benchmark_scripts.FABRIC_SCRIPT.replace("/run/meshctl-bench", str(keys))
    script = script.replace("/tmp/meshctl-bench", str(own))  # noqa: S108 (of a container)
    script = script.replace("/run/sshd", str(folder / "sshd"))
    env = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "CALLS": str(folder / "calls"),
        "MESH_RANK": "0",
        "MESH_NODES": "2",
        "HOSTS": "train-0.train,train-1.train",
        **variables,
    }
    return subprocess.run(
        ["bash", "-c", script, "bench", "8G", "8", "LD_LIBRARY_PATH FI_PROVIDER", str(folder / "report")],  # noqa: S607
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_the_script_packs_what_is_read_of_a_large_log(tmp_path: Path) -> None:
    """With NCCL_DEBUG=INFO each rank writes hundreds of lines; a termination message has 4096 bytes."""
    noise = "".join(
        f"train-0:71:{n} [0] NCCL INFO Channel {n:02} : 0[0] -> 8[0] [send] via NET/Socket\n" for n in range(9000)
    )
    (tmp_path / "output").write_text(noise + TCP)
    done = run_script(tmp_path, OUTPUT=str(tmp_path / "output"))
    assert done.returncode == 0, done.stderr
    message = (tmp_path / "report").read_text()
    assert len(message) <= 4096
    taken = Taken(machine="p4d.24xlarge", date="2026-11-29", source="a test")
    results = nccl.read(packed.unpacked(message), taken)
    assert [each.value for each in results] == [4.04, 4.08, 4.13]
    assert results[0].setting["network"] == "Socket"
    assert "fell back to TCP sockets over eth0" in results[0].warnings[0]
    calls = (tmp_path / "calls").read_text()
    assert "--host train-0.train:8,train-1.train:8 -np 16 " in calls
    assert "-x LD_LIBRARY_PATH -x FI_PROVIDER" in calls
    assert "all_reduce_perf -b 512M -e 8G" in calls


def of_ranks(hosts: int, models: Sequence[str] = ("NVIDIA H100 80GB HBM3",)) -> str:
    """What nccl-tests prints on so many nodes with eight accelerators each."""
    ranks = [(host, device) for host in range(hosts) for device in range(8)]
    listed = "".join(
        f"#  Rank {rank:3} Group  0 Pid {4071 + 7919 * rank % 99991:6} on bench-fabric-train-{host} device {device:2}"
        f" [0000:{53 + device * 11 + host % 7:02x}:00] {models[host % len(models)]}\n"
        for rank, (host, device) in enumerate(ranks)
    )
    row = (
        "{0:12} {1:13}     float     sum      -1    43980  {2:.2f}  {3:.2f}      0    44094  {2:.2f}  {3:.2f}      0\n"
    )
    factor = 2 * (len(ranks) - 1) / len(ranks)
    rows = "".join(row.format(2**size, 2**size // 4, 190 + size, (190 + size) * factor) for size in range(29, 34))
    end = "# Out of bounds values : 0 OK\n# Avg bus bandwidth    : 373.187\n"
    return f"# nThread 1 nGpus 1\n# Using devices\n{listed}{rows}{end}"


@pytest.mark.parametrize("hosts", [36, 64, 1250])
def test_a_large_pool_leaves_no_more_than_a_message_takes(tmp_path: Path, hosts: int) -> None:
    """The list of 512 ranks alone is larger, packed, and the kubelet cuts it: no such pool could pass."""
    text = of_ranks(hosts)
    (tmp_path / "output").write_text(text)
    done = run_script(tmp_path, OUTPUT=str(tmp_path / "output"))
    assert done.returncode == 0, done.stderr
    message = (tmp_path / "report").read_text()
    assert len(message) <= 2048
    taken = Taken(machine="", date="2026-11-29", source="a test")
    assert nccl.read(packed.unpacked(message), taken) == nccl.read(text, taken)
    last = nccl.read(text, taken)[-1]
    assert last.metric == nccl.ALL_REDUCE
    assert (last.setting["ranks"], last.setting["hosts"]) == (str(8 * hosts), str(hosts))
    assert last.setting["accelerator"] == "NVIDIA H100 80GB HBM3"


def test_a_list_of_ranks_that_is_damaged_is_not_counted(tmp_path: Path) -> None:
    lines = of_ranks(4, ("NVIDIA H100", "NVIDIA H200")).splitlines(keepends=True)
    (tmp_path / "output").write_text("".join(line for line in lines if "Rank   3" not in line))
    assert run_script(tmp_path, OUTPUT=str(tmp_path / "output")).returncode == 0
    taken = Taken(machine="", date="2026-11-29", source="a test")
    (result, *_) = nccl.read(packed.unpacked((tmp_path / "report").read_text()), taken)
    assert "hosts" not in result.setting
    assert result.metric == nccl.ALL_REDUCE


@pytest.mark.parametrize(("ordered", "best"), [("", 386.56), (TCP, 4.13)])
def test_the_lab_says_that_it_replays(tmp_path: Path, ordered: str, best: float) -> None:
    """What the lab prints in the place of nccl-tests, read as `bench` reads it."""
    program = f'exec "{sys.executable}" -m meshctl.lab.images.commands mpirun "$@"'
    lab = tmp_path / "lab"
    lab.mkdir()
    if ordered:
        (lab / RECORDING).write_text(ordered)
    variables = {"PYTHONPATH": str(ROOT), python_script.ADDRESSES: str(addresses.file(lab))}
    done = run_script(tmp_path, {**STUBS, "mpirun": program}, **variables)
    assert done.returncode == 0, done.stderr
    text = packed.unpacked((tmp_path / "report").read_text())
    assert packed.is_recording(text)
    taken = Taken(machine="", date="2026-11-29", source="a test")
    assert [each.value for each in nccl.read(text, taken)][-1] == best


def test_a_failed_run_leaves_its_last_words_and_no_report(tmp_path: Path) -> None:
    (tmp_path / "output").write_text("train-1: Test CUDA failure: no CUDA-capable device is detected\n")
    done = run_script(tmp_path, OUTPUT=str(tmp_path / "output"), CODE="2")
    assert done.returncode == 2
    assert "no CUDA-capable device" in done.stdout
    assert not (tmp_path / "report").exists()


def test_a_result_of_a_rack_says_what_shares_nvlink(deployed: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_jobs, "run", lambda *_, **__: cluster_jobs.Ended(message_of(TCP), "n1"))
    for pool, setting in (
        (of_racks(18, nvlink="rack"), "rack"),
        (of_racks(18, nvlink=""), "node"),
        (deployed.pool("train"), None),
    ):
        pools = tuple(pool if each.name == "train" else each for each in deployed.pools)
        of_pool = deployed.model_copy(update={"pools": pools})
        results = fabric.measure(of_pool, RUN, ClusterAccess("cw"), "2026-11-29", lambda _: None)
        assert {each.setting.get("nvlink") for each in results} == {setting}


def test_so_many_nodes_are_measured_of_the_pools_that_have_them(deployed: Deployment) -> None:
    large = deployed.pool("train").model_copy(update={"name": "large", "nodes": 8})
    with_both = deployed.model_copy(update={"pools": (*deployed.pools, large)})
    assert fabric.runs(with_both, "", 4) == (FabricRun(pool="large", nodes=4),)
    with pytest.raises(UsageError, match="--nodes 9: pool large has 8 nodes, and no other one has more") as raised:
        fabric.runs(with_both, "", 9)
    assert "--of pool/large --nodes 2 to 8" in raised.value.hint
    with pytest.raises(UsageError, match="--nodes 4: pool train has 2 nodes"):
        fabric.runs(with_both, "pool/train", 4)
