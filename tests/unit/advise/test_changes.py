"""What advice says to write can be written, and then costs and is what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.advise import comparison
from meshctl.advise.figures import Change
from meshctl.catalog import load_catalog
from meshctl.measure.results import Result
from tests.unit.advise.situations import EXAMPLE, MODELS, ROOT, Case, advised, case, measured, of

MESH = (EXAMPLE / "mesh.yaml").read_text(encoding="utf-8")
RAG, BLUEPRINTS = ROOT / "examples" / "rag", ROOT / "examples" / "blueprints"


def written(change: Change, mesh: str, folder: Path, environment: str = "aws-east") -> Case:
    """The environment once a user has written the change into mesh.yaml."""
    document = yaml.safe_load(mesh)
    for path, value in yaml.safe_load(f"{{{change.how}}}").items():
        *above, key = path.split(".")
        section: dict[str, Any] = document
        for name in above:
            section = section.setdefault(name, {})
        section[key] = value
    return case(environment, yaml.safe_dump(document), folder=folder)


def with_replicas(count: str, mesh: str = MESH) -> str:
    """Of the example's model server."""
    return mesh.replace("    replicas: 2\n    image: vllm", f"    replicas: {count}\n    image: vllm")


def copied(example: Path, folder: Path) -> str:
    """The mesh of an example, whose environments are beside the changed mesh then."""
    (folder / "environments.yaml").write_text((example / "environments.yaml").read_text("utf-8"), encoding="utf-8")
    return (example / "mesh.yaml").read_text(encoding="utf-8")


def more_usd(before: Case, after: Case) -> Any:
    """Rounded to cents, a cent more or less."""
    return pytest.approx((after.deployment.hourly_usd or 0) - (before.deployment.hourly_usd or 0), abs=0.0101)


def named(changes: tuple[Change, ...], beginning: str) -> Change:
    return next(each for each in changes if each.what.startswith(beginning))


@pytest.mark.parametrize(
    ("mesh", "replicas", "nodes"),
    [
        (MESH, "3", "{min: 3, max: 6}"),
        (MESH.replace("nodes: {min: 2, max: 6}", "nodes: 2"), "3", "3"),
        (MESH.replace("nodes: {min: 2, max: 6}", "nodes: {min: 2, max: 3}"), "3", "3"),
        (with_replicas("{min: 2, max: 5}"), "{min: 3, max: 5}", "{min: 3, max: 6}"),
    ],
    ids=["range of nodes", "number of nodes", "end of a range", "range of replicas"],
)
def test_one_more_replica_keeps_ranges(tmp_path: Path, mesh: str, replicas: str, nodes: str) -> None:
    before = case(mesh=mesh, folder=tmp_path)
    change = named(of(advised(before, *MODELS), "chat").changes, "one more replica")
    assert change.how == f"workloads.chat.replicas: {replicas}, pools.serve.nodes: {nodes}"
    after = written(change, mesh, tmp_path)
    assert after.deployment.workload("chat").at_least == 3
    assert change.usd_per_hour == more_usd(before, after)


def test_a_replica_of_a_blueprint_is_written_where_the_blueprint_has_it(tmp_path: Path) -> None:
    mesh = copied(RAG, tmp_path)
    before = case(mesh=mesh, folder=tmp_path)
    change = named(of(advised(before), "docs-llm").changes, "one more replica")
    assert change.how == "blueprints.docs.llm.replicas: 2"
    after = written(change, mesh, tmp_path)
    assert after.deployment.workload("docs-llm").replicas == 2
    assert change.usd_per_hour == 0
    assert more_usd(before, after) == 0


def test_a_slot_that_is_the_name_of_its_part_becomes_a_mapping(tmp_path: Path) -> None:
    mesh = copied(RAG, tmp_path).replace("    store: milvus ", "    llm: sglang\n    store: milvus ")
    before = case(mesh=mesh, folder=tmp_path)
    change = named(of(advised(before), "docs-llm").changes, "one more replica")
    assert change.how == "blueprints.docs.llm: {part: sglang, replicas: 2}"
    after = written(change, mesh, tmp_path).deployment.workload("docs-llm")
    assert (after.replicas, after.image) == (2, before.deployment.workload("docs-llm").image)


@pytest.mark.parametrize("in_slot", [False, True])
def test_a_served_model_has_replicas_of_its_own(tmp_path: Path, in_slot: bool) -> None:
    mesh = copied(BLUEPRINTS, tmp_path)
    if in_slot:
        mesh = mesh.replace("llm: {secrets", "llm: {replicas: 2, secrets")
    before = case(mesh=mesh, folder=tmp_path)
    change = named(of(advised(before, "chat=llama-3.1-8b"), "chat").changes, "one more replica")
    where = "blueprints.chat.llm.replicas" if in_slot else "blueprints.chat.replicas"
    assert change.how == f"{where}: 3, pools.gpu.nodes: 5"
    assert written(change, mesh, tmp_path).deployment.workload("chat").replicas == 3


def test_a_training_run_of_a_blueprint_gets_its_nodes_there(tmp_path: Path) -> None:
    mesh = copied(BLUEPRINTS, tmp_path)
    before = case(mesh=mesh, folder=tmp_path)
    tune = of(advised(before, "tune=llama-3.3-70b,tokensPerStep=4e6"), "tune")
    assert tune.bottleneck == "compute"
    change = named(tune.changes, "one more node")
    assert change.how == "blueprints.tune.nodes: 3, pools.gpu.nodes: 5"
    after = written(change, mesh, tmp_path)
    assert after.deployment.workload("tune").replicas == 3
    assert change.usd_per_hour == more_usd(before, after)


@pytest.mark.parametrize(("environment", "model"), [("aws-east", "B200"), ("cw", "H200")])
def test_another_machine_has_the_price_that_check_has(tmp_path: Path, environment: str, model: str) -> None:
    """The region of cw has no B200, which would be cheaper still: it is not named."""
    before = case(environment)
    change = named(of(advised(before, *MODELS), "chat").changes, f"{model} instead of H100")
    after = written(change, MESH, tmp_path, environment)
    assert after.deployment.pool("serve").gpu_model == model
    assert change.usd_per_hour == more_usd(before, after)


def test_a_machine_that_would_leave_accelerators_without_work_is_not_offered(tmp_path: Path) -> None:
    """A model server on one of two nodes with an L4 each: two nodes with 8 x B200 would cost 86 times as much. With one
    H100 there are nodes, too, and the price is that of both."""
    mesh = copied(RAG, tmp_path)
    before = case(mesh=mesh, folder=tmp_path)
    (change,) = (each for each in of(advised(before), "docs-llm").changes if " instead of " in each.what)
    assert change.what == "H100 instead of L4 (p5.4xlarge)"
    after = written(change, mesh, tmp_path)
    assert change.usd_per_hour == pytest.approx(2 * (6.88 - 1.3232), abs=0.01)
    assert change.usd_per_hour == more_usd(before, after)


def test_another_number_of_accelerators_on_a_node_is_written_for_pods_that_have_all(tmp_path: Path) -> None:
    """16 x L40S on 4 nodes with 4 each; on nodes with 8, a pod that has `all` would have 8."""
    mesh = with_replicas("4", MESH.replace("nodes: {min: 2, max: 6}", "nodes: 4"))
    preference = "model: [H100, H200], count: 8}         # in order of preference\n    fabric: backend"
    mesh = mesh.replace(preference, "model: L40S, count: 4}")
    mesh = mesh.replace("{accelerators: 8, cpu: 64, memory: 512GiB}", "{accelerators: all}")
    before = case(mesh=mesh, folder=tmp_path)
    change = named(of(advised(before, "chat=llama-3.1-8b"), "chat").changes, "B200 instead of L40S")
    assert change.how == (
        "pools.serve.accelerator: {model: B200, count: 8}, pools.serve.nodes: 2,"
        " workloads.chat.resources.accelerators: 4"
    )
    after = written(change, mesh, tmp_path)
    assert after.deployment.workload("chat").accelerators == 4
    assert change.usd_per_hour == more_usd(before, after)


def test_a_machine_of_a_reservation_is_not_exchanged(tmp_path: Path) -> None:
    """What is reserved is paid for, and of one machine type."""
    mesh = MESH.replace("    fabric: backend\n  web:", "    fabric: backend\n    capacity: reserved\n  web:")
    environments = (EXAMPLE / "environments.yaml").read_text(encoding="utf-8")
    capacity = "    capacity: {reservations: [cr-0123456789abcdef0]}\n    network: {cidr: 10.64.0.0/16}"
    (tmp_path / "environments.yaml").write_text(
        environments.replace("    network: {cidr: 10.64.0.0/16}", capacity), encoding="utf-8"
    )
    reserved = case(mesh=mesh, folder=tmp_path)
    assert reserved.deployment.pool("serve").reservation
    assert not [each for each in of(advised(reserved, *MODELS), "chat").changes if " instead of " in each.what]


def with_prices(rates: str, folder: Path) -> Case:
    """The example with contract rates in aws-east."""
    environments = (EXAMPLE / "environments.yaml").read_text(encoding="utf-8")
    network = "    network: {cidr: 10.64.0.0/16}"
    (folder / "environments.yaml").write_text(
        environments.replace(network, f"{network}\n    prices: {rates}"), encoding="utf-8"
    )
    return case(mesh=MESH, folder=folder)


def test_a_rate_of_a_pool_is_no_price_of_another_machine(tmp_path: Path) -> None:
    changes = of(advised(with_prices("{serve: 50 USD/h}", tmp_path), *MODELS), "chat").changes
    assert [change.what for change in changes] == ["one more replica on 1 more node"]


def test_a_rate_of_another_machine_is_its_price(tmp_path: Path) -> None:
    before = with_prices("{p5en.48xlarge: 20 USD/h}", tmp_path)
    change = named(of(advised(before, *MODELS), "chat").changes, "H200 instead of H100 (p5en.48xlarge)")
    assert change.usd_per_hour == pytest.approx(2 * (20 - 55.04))


SLOW = (MODELS[0], "pretrain=llama-3.3-70b,params=400e9,tokensPerStep=4e6")


def of_a_client(mbps: float) -> tuple[Result, ...]:
    """Of the file system `shared`, as fio measures it: on whichever machine."""
    results = measured("fio-limited-write.json", value=mbps, subject="storage/shared")
    return tuple(dataclasses.replace(each, taken=dataclasses.replace(each.taken, machine="")) for each in results)


def with_checkpoints_on(storage: str, system: str) -> str:
    """The example, whose training run writes checkpoints to a file system. `system`: its keys."""
    mesh = MESH.replace("checkpoint: {storage: checkpoints,", f"checkpoint: {{storage: {storage},")
    return mesh.replace("size: 4800GiB, throughput: 1.2GB/s, ephemeral: true", system)


def test_more_throughput_of_a_file_system_has_the_price_of_the_next_tier(tmp_path: Path) -> None:
    mesh = with_checkpoints_on("shared", "size: 1200GiB, throughput: 0.1GB/s")
    before = case(mesh=mesh, folder=tmp_path)
    pretrain = of(advised(before, *SLOW, results=of_a_client(40.0)), "pretrain")
    assert pretrain.bottleneck == "storage"
    change = named(pretrain.changes, "more throughput of storage shared")
    assert change.how == "storage.shared.throughput: 292MB/s"
    assert change.effect.startswith("0.146 -> 0.293 GB/s, a checkpoint in ")
    assert change.usd_per_hour == pytest.approx(1200 * (0.21 - 0.145) / 730, abs=0.006)
    assert change.plan == "in place"
    after = written(change, mesh, tmp_path)
    assert [
        system.per_unit_throughput for system in (*before.deployment.file_systems, *after.deployment.file_systems)
    ] == [
        125,
        250,
    ]
    assert change.usd_per_hour == more_usd(before, after)


def test_a_tier_without_a_price_has_none(tmp_path: Path) -> None:
    """A sum of the prices that are known would be lower with the dearer tier."""
    rows = tuple(row for row in load_catalog().storage["aws"] if row.service != "fsx-lustre-250")
    catalog = dataclasses.replace(load_catalog(), storage={"aws": rows})
    before = case(mesh=with_checkpoints_on("shared", "size: 1200GiB, throughput: 0.1GB/s"), folder=tmp_path)
    changes = of(advised(before, *SLOW, results=of_a_client(40.0), catalog=catalog), "pretrain").changes
    assert named(changes, "more throughput").usd_per_hour is None


@pytest.mark.parametrize("environment", ["cw", "dc1"])
def test_a_throughput_that_nobody_sells_is_no_advice(tmp_path: Path, environment: str) -> None:
    """Of a storage class `throughput` is a number of the mesh: to write twice as much would change nothing."""
    mesh = with_checkpoints_on("shared", "size: 1200GiB, throughput: 0.1GB/s")
    before = case(environment, mesh=mesh, folder=tmp_path)
    assert before.deployment.file_systems[0].service == "storage-class"
    unmeasured = of(advised(before, *SLOW), "pretrain")
    assert unmeasured.figures[2].value is None
    assert unmeasured.figures[2].basis == (
        "no expectation known for storage shared (its service only tries to give the 100 MB/s of the mesh);"
        f" `meshctl bench {environment} --what storage --of storage/shared` measures it"
    )
    slow = of(advised(before, *SLOW, results=of_a_client(40.0)), "pretrain")
    assert slow.bottleneck == "storage"
    assert [change.what[:23] for change in slow.changes] == ["storage for checkpoints"]
    slower = of(advised(before, *SLOW, results=of_a_client(4.0)), "pretrain")
    assert slower.changes[0].what == "what the mesh asks of storage shared, of which 4 nodes get 16%"
    assert slower.changes[0].how.startswith("another storage class, or the options of its mount")


STORAGE_POOL = "  store: {nodes: 8, cpu: {cores: 48, memory: 300GiB}, scratch: 29TB}\n  web:\n"


def test_one_more_storage_node_has_its_rate_its_price_and_its_plan(tmp_path: Path) -> None:
    """The vendor has measured 12,455 MB/s of writes on eight i3en.12xlarge with 7 cores; here it has 6."""
    mesh = with_checkpoints_on("shared", "size: 20TiB, engine: neuralmesh, pool: store")
    mesh = mesh.replace("  web:\n", STORAGE_POOL, 1)
    before = case(mesh=mesh, folder=tmp_path)
    assert before.deployment.pool("store").machine == "i3en.12xlarge"
    huge = "pretrain=llama-3.3-70b,params=40000e9,tokensPerStep=4e6"
    pretrain = of(advised(before, MODELS[0], huge), "pretrain")
    assert "neuralmesh: in proportion to published measurements, 8 nodes of store" in pretrain.figures[2].basis
    change = named(pretrain.changes, "+1 storage node")
    assert change.effect.startswith("10.7 -> 12 GB/s, a checkpoint in ")
    assert change.how == "pools.store.nodes: 9"
    assert change.plan == "in place"
    after = written(change, mesh, tmp_path)
    assert after.deployment.neural_mesh is not None
    assert after.deployment.neural_mesh.nodes == 9
    assert change.usd_per_hour == more_usd(before, after)


def test_a_client_of_a_neural_mesh_is_judged_by_what_its_nodes_are_known_to_give(tmp_path: Path) -> None:
    """10,663 MB/s of writes for four nodes that mount it; reads are three times as fast."""
    mesh = with_checkpoints_on("shared", "size: 20TiB, engine: neuralmesh, pool: store")
    deployed = case(mesh=mesh.replace("  web:\n", STORAGE_POOL, 1), folder=tmp_path).deployment
    expected = {"aws-east": comparison.Expectations(deployment=deployed, catalog=load_catalog())}
    slow, fast = (of_a_client(mbps)[:1] for mbps in (2000.0, 3000.0))
    assert [comparison.rows({"aws-east": rows}, expected)[0].verdict for rows in (slow, fast)] == [
        "below",
        "as expected",
    ]
    (read,) = (dataclasses.replace(row, metric="read throughput") for row in fast)
    assert comparison.rows({"aws-east": (read,)}, expected)[0].verdict == "below"


def test_a_neural_mesh_of_unknown_rate_grows_from_what_was_measured(tmp_path: Path) -> None:
    """On drives of p5.48xlarge nobody has published it; the mesh asks for more than it gives."""
    mesh = with_checkpoints_on("shared", "size: 20TiB, throughput: 12GB/s, engine: neuralmesh, pool: train")
    mesh = mesh.replace("  train:\n    role: training\n    nodes: 4\n", "  train:\n    role: training\n    nodes: 8\n")
    before = case(mesh=mesh.replace("scratch: 10TB", "scratch: 28TB"), folder=tmp_path)
    assert before.deployment.neural_mesh is not None
    assert before.deployment.neural_mesh.write_mbps == 0
    changes = of(advised(before, *SLOW, results=of_a_client(40.0)), "pretrain").changes
    change = named(changes, "+1 storage node")
    assert change.effect.startswith("0.16 -> 0.18 GB/s, a checkpoint in ")
    assert change.how == "pools.train.nodes: 9"
    assert change.usd_per_hour == pytest.approx(55.04)
