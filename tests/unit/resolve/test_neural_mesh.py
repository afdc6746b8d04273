"""A NeuralMesh in an environment: which pool carries it, what it takes of nodes, and what it can't be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl.catalog import load_catalog
from meshctl.model.deployment import Deployment, NeuralMesh, Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, ShiftsInForce
from meshctl.model.stack_state import StackState
from meshctl.project import Project
from meshctl.resolve import resolve
from meshctl.resolve.placement.machine_types import prices
from stacks.aws.pools import user_data
from tests.unit.resolve.meshes import AWS, CW, DC, H100, gap, gpu_node, resolved

STORE = {"nodes": 6, "cpu": {"cores": 48, "memory": "384GiB"}, "scratch": "30TB"}
TRAIN = {**H100, "nodes": 8, "scratch": "28TB"}
FILES = {"kind": "filesystem", "size": "20TiB", "engine": "neuralmesh"}
MOUNT = {"mounts": {"s": {"path": "/data"}}}
UDP = {"neuralMesh": {"udp": True, "drives": 8}}


def work(pool: str = "p", **more: Any) -> dict[str, Any]:
    return {"w": {"kind": "service", "pool": pool, "image": "i", **MOUNT, **more}}


def carried(
    pools: dict[str, Any], environment: dict[str, Any], storage: dict[str, Any] = FILES, **more: Any
) -> Resolution:
    more = {"storage": {"s": storage}, "workloads": work(), **more}
    return resolved(pools, environment, more.pop("facts", None), **more)


def deployed(resolution: Resolution) -> tuple[Deployment, NeuralMesh]:
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.neural_mesh is not None
    return resolution.deployment, resolution.deployment.neural_mesh


def test_on_a_pool_of_storage_machines() -> None:
    deployment, mesh = deployed(carried({"p": STORE}, AWS))
    assert deployment.pool("p").machine == "i3en.12xlarge"
    assert (mesh.pool, mesh.nodes, mesh.least_nodes, mesh.client_pools) == ("p", 6, 6, ("p",))
    assert (mesh.stripe_width, mesh.redundancy, mesh.hot_spare) == (3, 2, 1)
    assert (mesh.makes_interfaces, mesh.data_interfaces, mesh.sign_drives) == (True, 7, "aws-all")
    assert mesh.shares["p"].hugepages_mib == 16_284
    assert mesh.read_mbps == round(38_869 * 6 / 8 * 6 / 7)
    assert (mesh.name, mesh.namespace, mesh.operator_version) == ("m", "m", "v1.11.0")
    (system,) = deployment.file_systems
    assert (system.service, system.size_gib, system.drive_gib, system.tier) == ("neuralmesh", 20 * 1024, 0, "")


def test_its_nodes_keep_their_drives_for_storage() -> None:
    """Joined to a volume of the node, they could not be signed; and pods have the root volume for their own files."""
    deployment, _ = deployed(carried({"p": STORE}, AWS))
    pool = deployment.pool("p")
    assert (pool.scratch_gb, pool.disk_gib) == (0, 200)
    assert pool.storage is not None
    assert "RAID0" not in user_data(pool)
    native = resolved({"p": STORE}, AWS).pools[0]
    assert native.scratch_gb == 30_000
    assert "RAID0" in user_data(native)


@pytest.mark.parametrize("environment", [AWS, {**CW, **UDP}, {**DC, **UDP}], ids=["aws", "cw", "onprem"])
def test_converged_with_gpus_everywhere(environment: dict[str, Any]) -> None:
    deployment, mesh = deployed(carried({"p": TRAIN}, environment))
    assert (mesh.pool, mesh.nodes, mesh.least_nodes) == ("p", 8, 8)
    assert mesh.drives is not None
    assert (mesh.drives.containers, mesh.drives.drives, mesh.drives.cores) == (8, 8, 4)
    assert deployment.file_systems[0].service == "neuralmesh"
    assert mesh.sign_drives == ("aws-all" if environment is AWS else "all-not-root")
    assert mesh.udp is (environment is not AWS)


def test_clients_of_another_pool_give_cores_and_pages_too() -> None:
    resolution = carried(
        {"p": STORE, "web": {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}},
        AWS,
        {**FILES, "pool": "p"},
        workloads=work("web"),
    )
    _, mesh = deployed(resolution)
    assert mesh.client_pools == ("web",)
    assert (mesh.client.containers, mesh.shares["web"].cpu_cores, mesh.shares["web"].drives) == (2, 3, 0)
    assert mesh.shares["p"].cpu_cores == 2 * (2 + 4) + 2  # nobody mounts there: no client
    assert mesh.shares["p"].network_interfaces == 6


def test_pools_that_lend_to_a_job_that_mounts_are_clients_too() -> None:
    gpus = {**H100, "nodes": 2}
    pools = {"p": STORE, "jobs": gpus, "idle": {**gpus, "lend": {"upTo": 1}}, "apart": gpus}
    job = {"kind": "batch", "pool": "jobs", "image": "i", "burst": True, "resources": {"accelerators": 8}, **MOUNT}
    _, mesh = deployed(carried(pools, AWS, {**FILES, "pool": "p"}, workloads={"w": job}))
    assert mesh.client_pools == ("jobs", "idle")
    _, mesh = deployed(carried(pools, AWS, {**FILES, "pool": "p"}, workloads={"w": {**job, "burst": False}}))
    assert mesh.client_pools == ("jobs",)


def test_its_nodes_are_in_one_zone() -> None:
    """As the vendor asks; a pool like it without storage is in both."""
    deployment, _ = deployed(carried({"p": STORE, "web": STORE}, AWS))
    assert (deployment.pool("p").zones, len(deployment.pool("web").zones)) == (("us-east-1a",), 2)


def test_drives_that_may_go_at_any_time_carry_nothing() -> None:
    found = gap(carried({"p": {**STORE, "capacity": "spot"}}, AWS), "storage/s")
    assert found.best == "nodes of pool p are spot: they go at any time, with data"
    block = {**AWS, "capacity": {"blocks": [{"id": "cr-1", "pool": "p", "zone": "us-east-1a"}]}}
    pool = {**TRAIN, "capacity": "reserved"}
    found = gap(carried({"p": pool}, block), "storage/s")
    assert found.best == "nodes of pool p are a capacity block: they go at its end, with data"
    assert deployed(carried({"p": pool}, block, {**FILES, "ephemeral": True}))[1].pool == "p"


def test_where_storage_has_the_drives_pods_have_the_root_disk() -> None:
    storage = {"s": FILES, "shards": {"kind": "local", "size": "500GiB"}}
    workloads = work(mounts={"s": {"path": "/data"}, "shards": {"path": "/shards"}})
    found = gap(resolved({"p": STORE}, AWS, storage=storage, workloads=workloads), "workload/w")
    assert found.best == "i3en.12xlarge of pool p has 170 GiB for it, as storage has its drives"
    assert "scratch" not in found.hint


@pytest.mark.parametrize(
    ("pool", "resources"),
    [(TRAIN, {"accelerators": 8, "cpu": 164}), (TRAIN, {"accelerators": 8, "memory": "1900GiB"})],
    ids=["cores", "memory"],
)
def test_what_storage_takes_is_not_there_for_pods(pool: dict[str, Any], resources: dict[str, Any]) -> None:
    """A p5.48xlarge has 192 cores, of which 191 are for pods; WEKA has 29 of these with hyper-threading."""
    notes = carried({"p": pool}, AWS).notes
    assert any(note.startswith("pool/p: each node has 162.3 cores and 1832") for note in notes)
    native = resolved({"p": pool}, AWS, workloads={"w": {**work()["w"], "mounts": {}, "resources": resources}})
    assert native.deployment is not None
    found = gap(carried({"p": pool}, AWS, workloads=work(resources=resources)), "workload/w")
    assert "storage takes 29 cores, 79 GiB memory, 36,940 MiB of huge pages and 13 network interfaces of each node" in (
        found.best
    )


def test_pods_that_would_fit_alone_no_longer_fit_together() -> None:
    workloads = {**work(resources={"cpu": 100}, replicas=8), "v": {**work()["w"], "replicas": 8, "mounts": {}}}
    workloads["v"]["resources"] = {"cpu": 70}
    found = gap(carried({"p": TRAIN}, AWS, workloads=workloads), "pool/p")
    assert "storage takes 29 cores" in found.best


def test_the_pool_is_asked_for_where_it_could_be_several_or_none() -> None:
    two = {"a": STORE, "b": STORE}
    workloads = {**work("a"), "v": {**work("b")["w"]}}
    found = gap(carried(two, AWS, workloads=workloads), "storage/s")
    assert (found.wanted, found.best) == (
        "a pool whose nodes' drives carry it",
        "pools a and b have `scratch` and mount it",
    )
    assert deployed(carried(two, AWS, {**FILES, "pool": "b"}, workloads=workloads))[1].pool == "b"
    plain = {"p": {"nodes": 6, "cpu": {"cores": 48}}}
    assert gap(carried(plain, AWS), "storage/s").best == "no pool has `scratch` and a workload that mounts it"


def test_too_few_nodes() -> None:
    found = gap(carried({"p": {**STORE, "nodes": 4}}, AWS), "storage/s")
    assert found.best.startswith("at least 5")
    assert found.hint == "ask for at least 5 nodes"


def test_nobody_scales_nodes_that_carry_data() -> None:
    """An autoscaler ends nodes on which no pod of the mesh runs, several at a time."""
    found = gap(carried({"p": {**STORE, "nodes": {"min": 6, "max": 9}}}, AWS), "storage/s")
    assert found.best == "pool p has 6 to 9: who scales it ends nodes with data on them"
    assert found.hint == "write one number: `nodes: 6`, or more"
    up, _ = deployed(carried({"p": {**STORE, "nodes": 8}}, AWS))
    assert gap(resolved_again({"min": 6, "max": 9}, up), "storage/s").hint == "write one number: `nodes: 8`, or more"


def test_gaps_of_the_sizing_are_those_of_the_storage() -> None:
    assert (
        "81,000 GB = 6 x 4 x 7500 GB" in gap(carried({"p": STORE}, AWS, {**FILES, "size": "200TiB"}), "storage/s").best
    )
    fast = {**FILES, "throughput": "100GB/s"}
    assert "37.5 GB/s = 6 x 50 Gbit/s" in gap(carried({"p": STORE}, AWS, fast), "storage/s").best
    small = {"p": {"nodes": 6, "cpu": {"cores": 4}, "accelerator": {"model": "T4", "count": 1}, "scratch": "100GB"}}
    assert "network interface" in gap(carried(small, AWS), "storage/s").wanted


def test_drives_and_devices_are_asked_for_where_nobody_knows_them() -> None:
    assert (
        "neuralMesh: {drives: 8}" in gap(carried({"p": TRAIN}, {**CW, "neuralMesh": {"udp": True}}), "storage/s").hint
    )
    assert "neuralMesh: {devices: [eth1]}" in gap(carried({"p": TRAIN}, CW), "storage/s").hint
    paths = {"neuralMesh": {"devices": ["ens1f0"], "drives": ["/dev/nvme1n1", "/dev/nvme2n1"]}}
    _, mesh = deployed(carried({"p": TRAIN}, {**DC, **paths}))
    assert (mesh.sign_drives, mesh.drive_paths) == ("device-paths", ("/dev/nvme1n1", "/dev/nvme2n1"))
    assert mesh.drives is not None
    assert (mesh.drives.drives, mesh.ethernet_devices) == (2, ("ens1f0",))
    assert mesh.shares["p"].network_interfaces == 0  # cores share the device


def test_fewer_drives_than_the_machine_has_are_smaller_storage() -> None:
    _, whole = deployed(carried({"p": STORE}, AWS))
    _, half = deployed(carried({"p": STORE}, {**AWS, "neuralMesh": {"drives": ["/dev/nvme1n1", "/dev/nvme2n1"]}}))
    assert half.net_capacity_gib == pytest.approx(whole.net_capacity_gib / 2, rel=0.001)


def test_cold_data_in_an_object_store_needs_less_of_the_drives() -> None:
    storage = {"s": {**FILES, "size": "200TiB", "tier": "cold"}, "cold": {"kind": "object", "size": "300TiB"}}
    resolution = resolved({"p": STORE}, AWS, storage=storage, workloads=work())
    deployment, _ = deployed(resolution)
    (system,) = deployment.file_systems
    assert (system.tier, system.drive_gib, system.size_gib) == ("cold", 40 * 1024, 200 * 1024)
    assert resolution.storage_as["s"] == "NeuralMesh, 40 TiB of it on the drives of pool p, cold data in cold"
    assert list(resolution.storage_as) == ["s", "cold"]


def test_an_environment_may_have_something_else_for_it() -> None:
    resolution = carried({"p": STORE}, {**DC, "storage": {"s": {"nfs": "nfs.example.com:/export"}}})
    assert resolution.deployment is not None
    assert resolution.deployment.neural_mesh is None
    assert resolution.deployment.file_systems[0].service == "nfs"


def test_a_weka_cluster_that_exists_gets_clients_alone() -> None:
    weka = {"cluster": "main", "namespace": "weka", "driver": "csi.weka.io"}
    environment = {**DC, "neuralMesh": {"devices": ["eth1"]}, "storage": {"s": {"weka": weka}}}
    resolution = carried({"p": {"nodes": 2, "cpu": {"cores": 16}}}, environment)
    deployment, mesh = deployed(resolution)
    assert mesh.joined is not None
    assert (mesh.joined.cluster, mesh.joined.namespace, mesh.pool, mesh.nodes) == ("main", "weka", "", 0)
    assert mesh.joined.csi_driver == "csi.weka.io"
    assert any("set `neuralMesh.image` to the image of the cluster" in note for note in resolution.notes)
    assert (mesh.drives, mesh.compute, mesh.sign_drives, mesh.client.containers) == (None, None, "", 2)
    assert resolution.storage_as["s"] == "NeuralMesh of the WEKA cluster weka/main"
    assert deployment.pool("p").disk_gib == 0
    assert "24 hours" not in " ".join(resolution.notes)


def test_huge_pages_of_nodes_that_are_there_are_compared() -> None:
    nodes = tuple(gpu_node(f"g{number}", scratch_gb=900, huge_pages_mib=40_000 * (number != 3)) for number in range(8))
    found = gap(carried({"p": TRAIN}, {**DC, **UDP}, facts=Facts(nodes=nodes)), "pool/p")
    assert (found.wanted, found.best) == (
        "35,276 MiB of huge pages on each node for WEKA",
        "1 node set aside fewer (g3: 0 MiB)",
    )
    assert "vm.nr_hugepages=22528" in found.hint


def test_nodes_are_not_told_by_the_disk_that_the_kubelet_has() -> None:
    """Drives without a file system are in no node's ephemeral storage: 900 GB are the root disk's."""
    nodes = tuple(
        gpu_node(f"g{number}", scratch_gb=900, huge_pages_mib=40_000, allocatable_memory_gib=460) for number in range(8)
    )
    workloads = work(resources={"cpu": 48, "memory": "380GiB"}, replicas=8)
    resolution = carried({"p": TRAIN}, {**DC, **UDP}, facts=Facts(nodes=nodes), workloads=workloads)
    deployment, mesh = deployed(resolution)
    assert len(deployment.pool("p").node_names) == 8
    assert deployment.pool("p").disk_gib == pytest.approx(838.2, abs=0.1)
    assert mesh.shares["p"].cpu_cores == 16
    more = work(resources={"cpu": 49}, replicas=8)
    assert (
        "storage takes"
        in gap(carried({"p": TRAIN}, {**DC, **UDP}, facts=Facts(nodes=nodes), workloads=more), "workload/w").best
    )


def files_of(nodes: Any, environment: dict[str, Any] = AWS, **storage: Any) -> tuple[Mesh, Environments]:
    mesh = {
        "apiVersion": "meshctl/v1",
        "kind": "Mesh",
        "name": "m",
        "pools": {"p": {**STORE, "nodes": nodes}, "other": STORE},
        "storage": {"s": {**FILES, "pool": "p", **storage}},
        "workloads": work(),
    }
    environments = {"apiVersion": "meshctl/v1", "kind": "Environments", "environments": {"e": environment}}
    return Mesh.model_validate(mesh), Environments.model_validate(environments)


def resolved_again(nodes: Any, up: Deployment, environment: dict[str, Any] = AWS, **storage: Any) -> Resolution:
    return resolve(*files_of(nodes, environment, **storage), "e", load_catalog(), up=up)


def test_a_cluster_that_is_up_keeps_its_layout() -> None:
    deployment, formed = deployed(carried({"p": {**STORE, "nodes": 8}}, AWS))
    assert (formed.stripe_width, formed.hot_spare) == (5, 1)
    _, larger = deployed(resolved_again(12, deployment))
    assert (larger.stripe_width, larger.hot_spare, larger.least_nodes, larger.nodes) == (5, 1, 8, 12)
    other = gap(resolved_again(12, deployment, protection=4), "storage/s")
    assert (other.wanted, other.hint[:22]) == ("protection 4", "write `protection: 2`;")
    assert "pool p" in gap(resolved_again(12, deployment, pool="other"), "storage/s").best


def test_releases_that_are_up_move_only_when_asked() -> None:
    """As those of a meshctl whose catalog is older: the next one must not replace all containers by itself."""
    deployment, formed = deployed(carried({"p": STORE}, AWS))
    older = formed.model_copy(update={"image": "weka:4.4.9", "operator_version": "v1.9.1"})
    up = deployment.model_copy(update={"neural_mesh": older})
    _, mesh = deployed(resolved_again(6, up))
    assert (mesh.image, mesh.operator_version) == ("weka:4.4.9", "v1.9.1")
    _, asked = deployed(resolved_again(6, up, {**AWS, "neuralMesh": {"operator": "v1.12.0"}}))
    assert (asked.image, asked.operator_version) == ("weka:4.4.9", "v1.12.0")


def test_what_it_costs_is_the_pool_and_a_licence_that_nobody_knows() -> None:
    deployment, _ = deployed(carried({"p": STORE}, AWS))
    assert deployment.hourly_usd == pytest.approx(6 * 5.424)
    left_out = prices.not_in_cost(deployment)
    assert left_out[0] == "WEKA's licence"
    assert not any("storage/s" in each for each in left_out)


def test_notes_say_what_cannot_be_undone() -> None:
    vault = {"neuralMesh": {"encryption": {"vault": {"address": "https://vault:8200", "role": "weka"}}}}
    notes = " ".join(carried({"p": STORE}, {**AWS, **vault}).notes)
    for words in ("24 hours", "WEKA Home", "fixed once the cluster is formed", "without RDMA", "no licence is named"):
        assert words in notes
    _, mesh = deployed(carried({"p": STORE}, {**AWS, **vault, "neuralMesh": {**vault["neuralMesh"], "licence": "l"}}))
    assert mesh.licence_secret == "l"
    assert mesh.encryption is not None
    assert (mesh.encryption.key_name, mesh.encryption.transit_path) == ("weka-key", "transit")


ELSEWHERE = {"endpoints": ["10.0.0.1:14000"], "secret": "weka-user"}


@pytest.mark.parametrize(
    ("joined", "clients"),
    [(None, ("p",)), ({"cluster": "shared", "namespace": "weka"}, ("q",)), (ELSEWHERE, ())],
    ids=["made", "joined", "elsewhere"],
)
def test_file_systems_that_nobody_mounts_have_a_driver(joined: dict[str, Any] | None, clients: tuple[str, ...]) -> None:
    """Without one their claims are waited for in vain, and nobody deletes their volumes."""
    environment = {**DC, **UDP, **({"storage": {"s": {"weka": joined}}} if joined else {})}
    mounts_none = {"w": {"kind": "service", "pool": "q", "image": "i"}}
    pools = {"q": {"nodes": 1, "cpu": {"cores": 16, "memory": "64GiB"}}, "p": STORE}
    _, mesh = deployed(carried(pools, environment, {**FILES, "pool": "p"}, workloads=mounts_none))
    assert mesh.client_pools == clients
    assert set(clients) <= set(mesh.shares)


def test_a_mesh_without_one_has_nothing_of_it() -> None:
    deployment = resolved({"p": STORE}, AWS).deployment
    assert deployment is not None
    assert "neural_mesh" not in deployment.model_dump()


def test_a_project_lays_it_out_as_it_is_up() -> None:
    """Although nothing else of the resolution depends on what is up."""
    before, formed = deployed(resolved_again(8, deployed(carried({"p": {**STORE, "nodes": 8}}, AWS))[0]))
    state = SimpleNamespace(deployment=before, begun=None, resources=[])
    session = SimpleNamespace(
        remarks={}, shifts_in_force=lambda _: ShiftsInForce(), state=lambda _: cast("StackState", state)
    )
    project = Project(*files_of(12), cast("Any", session))
    _, mesh = deployed(project.resolution("e"))
    assert (mesh.nodes, mesh.stripe_width, formed.stripe_width) == (12, 5, 5)


def test_a_pool_that_gives_its_drives_to_storage_lends_to_the_same_jobs() -> None:
    """What is compared is the hardware that both pools were asked for, and not what storage leaves of it."""
    pools = {"p": {**TRAIN, "lend": {"upTo": 1}}, "jobs": TRAIN}
    job = {"kind": "batch", "pool": "jobs", "image": "i", "burst": True, "resources": {"accelerators": 8}}
    deployment, _ = deployed(carried(pools, {**DC, **UDP}, {**FILES, "pool": "p"}, workloads={"w": job}))
    assert (deployment.workload("w").lenders, deployment.workload("w").queue) == (("p",), "jobs")
