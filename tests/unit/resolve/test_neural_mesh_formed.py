"""A NeuralMesh that is up: what of it stays whatever the files or a newer meshctl say, and what is a gap then."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.catalog import load_catalog
from meshctl.model.deployment import Deployment, Resolution
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.resolve import resolve
from stacks.aws.pools import user_data
from tests.unit.resolve.meshes import AWS, gap
from tests.unit.resolve.test_neural_mesh import FILES, STORE, carried, deployed, resolved_again, work

UDP_AWS = {**AWS, "neuralMesh": {"udp": True}}


def again(
    up: Deployment, pools: dict[str, Any], environment: dict[str, Any], storage: dict[str, Any], works: dict[str, Any]
) -> Resolution:
    head = {"apiVersion": "meshctl/v1"}
    mesh = {**head, "kind": "Mesh", "name": "m", "pools": pools, "storage": storage, "workloads": works}
    environments = {**head, "kind": "Environments", "environments": {"e": environment}}
    files = Mesh.model_validate(mesh), Environments.model_validate(environments)
    return resolve(*files, "e", load_catalog(), up=up)


def test_nodes_with_data_do_not_go() -> None:
    """Formed of 8 and grown to 12: four that go at once are more than a protection of 2 bears."""
    formed, _ = deployed(carried({"p": {**STORE, "nodes": 8}}, AWS))
    grown, _ = deployed(resolved_again(12, formed))
    found = gap(resolved_again(8, grown), "storage/s")
    assert (found.wanted, found.best) == (
        "a WEKA cluster of 8 nodes",
        "the one that is up has 12, and removing a node loses the data on its drives",
    )
    assert found.hint == "write `nodes: 12`, or more; meshctl moves no data off a node before it goes"
    wide, mesh = deployed(carried({"p": {**STORE, "nodes": 30}}, AWS))
    assert mesh.least_nodes == 19
    assert gap(resolved_again(19, wide), "storage/s").best.startswith("the one that is up has 30")


def test_a_cluster_stays_on_its_machines() -> None:
    storage, large = {"s": {**FILES, "pool": "p"}}, {"p": {**STORE, "scratch": "60TB"}}
    up, _ = deployed(carried({"p": STORE}, AWS))
    found = gap(again(up, large, AWS, storage, work()), "storage/s")
    assert (found.wanted, found.best) == ("the drives of i3en.24xlarge", "what is up is on those of i3en.12xlarge")
    assert found.hint.startswith("undo what has pool p ask for other machines")


def test_a_cheaper_machine_does_not_take_the_place_of_one_with_data() -> None:
    """Of a newer catalog, or of prices that have changed: nobody could undo that."""
    up, _ = deployed(carried({"p": {**STORE, "scratch": "60TB"}}, AWS))
    after, _ = deployed(resolved_again(6, up))
    assert after.pool("p").machine == "i3en.24xlarge"
    assert after.pool("p").alternatives[0] == "i3en.12xlarge"
    assert after.pool("other").machine == "i3en.12xlarge"


def test_a_workload_that_mounts_later_sets_no_node_up_anew() -> None:
    """Its nodes would be replaced, with the drives. Where all interfaces are in use there is no room for a client."""
    web = {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}
    pools, storage = {"p": STORE, "web": web}, {"s": {**FILES, "pool": "p"}}
    before, formed = deployed(carried(pools, UDP_AWS, storage["s"], workloads=work("web")))
    both = {**work("web"), "v": work()["w"]}
    after, mesh = deployed(again(before, pools, UDP_AWS, storage, both))
    assert (mesh.drives, mesh.compute, mesh.client_pools) == (formed.drives, formed.compute, ("p", "web"))
    assert user_data(after.pool("p")) == user_data(before.pool("p"))
    assert mesh.shares["p"].hugepages_mib > formed.shares["p"].hugepages_mib
    dpdk, _ = deployed(carried(pools, AWS, storage["s"], workloads=work("web")))
    found = gap(again(dpdk, pools, AWS, storage, both), "storage/s")
    assert found.wanted == "a WEKA client on nodes that were set up for drives alone"
    assert found.hint == "mount the file systems in workloads of other pools"


def test_other_sums_of_a_newer_meshctl_change_no_node() -> None:
    """Not those that carry drives, nor those that mount."""
    web = {"nodes": 2, "cpu": {"cores": 16, "memory": "64GiB"}}
    pools, storage = {"p": STORE, "web": web}, {"s": {**FILES, "pool": "p"}}
    before, formed = deployed(carried(pools, AWS, storage["s"], workloads=work("web")))
    shares = {name: each.model_copy(update={"set_aside_mib": 4096}) for name, each in formed.shares.items()}
    client = formed.client.model_copy(update={"hugepages_mib": 1400})
    older = formed.model_copy(update={"shares": shares, "client": client})
    _, mesh = deployed(again(before.model_copy(update={"neural_mesh": older}), pools, AWS, storage, work("web")))
    assert (mesh.shares, mesh.client, mesh.data_interfaces) == (shares, client, formed.data_interfaces)


def test_a_cluster_that_grows_keeps_what_it_was_formed_with() -> None:
    up, formed = deployed(carried({"p": {**STORE, "nodes": 10}}, AWS))
    before, larger = deployed(resolved_again(11, up))
    assert (formed.formed_nodes, larger.formed_nodes, larger.nodes) == (10, 10, 11)
    assert deployed(resolved_again(11, before))[1].formed_nodes == 10
    of_older = up.model_copy(update={"neural_mesh": formed.model_copy(update={"formed_nodes": 0})})
    assert deployed(resolved_again(12, of_older))[1].formed_nodes == 10


VAULT = {"encryption": {"vault": {"address": "https://vault:8200", "role": "weka"}}}
RESEARCH = {"organization": {"name": "research", "adminPassword": "a", "driverPassword": "d"}}
OTHER = {"organization": {**RESEARCH["organization"], "name": "other"}}
ANOTHER = "another one needs another environment, or `meshctl destroy` first where no files are yet"
PATHS = {"drives": ["/dev/nvme1n1", "/dev/nvme2n1"]}


@pytest.mark.parametrize(
    ("before", "now", "wanted", "hint"),
    [
        ({}, VAULT, "encrypted file systems", "remove `neuralMesh.encryption`; another one needs another environment"),
        (
            VAULT,
            {},
            "unencrypted file systems",
            "leave `neuralMesh.encryption` as it was; another one needs another environment",
        ),
        (
            {},
            RESEARCH,
            "file systems in the organization research",
            f"remove `neuralMesh.organization`; {ANOTHER}",
        ),
        (RESEARCH, OTHER, "file systems in the organization other", f"leave `name: research`; {ANOTHER}"),
        (
            RESEARCH,
            {},
            "file systems in WEKA itself (Root)",
            f"set `neuralMesh.organization` back to `name: research`; {ANOTHER}",
        ),
        ({}, {"udp": True}, "`udp: true`", "write `neuralMesh: {udp: false}`"),
        ({}, {"drives": 2}, "2 drives of each node", "write `neuralMesh: {drives: 4}`"),
        ({}, PATHS, "the drives /dev/nvme1n1, /dev/nvme2n1", "undo the change of `neuralMesh.drives`"),
        (PATHS, {"drives": 2}, "drives that are not named", "undo the change of `neuralMesh.drives`"),
        (
            {"devices": ["eth1"]},
            {"devices": ["eth2"]},
            "the network devices eth2",
            "write `neuralMesh: {devices: [eth1]}`",
        ),
    ],
)
def test_what_is_fixed_or_would_replace_nodes_is_a_gap(
    before: dict[str, Any], now: dict[str, Any], wanted: str, hint: str
) -> None:
    up, _ = deployed(carried({"p": STORE}, {**AWS, "neuralMesh": before}))
    found = gap(resolved_again(6, up, {**AWS, "neuralMesh": now}), "storage/s")
    assert (found.wanted, found.hint) == (wanted, hint)


def test_quotas_and_passwords_of_an_organization_may_change() -> None:
    up, _ = deployed(carried({"p": STORE}, {**AWS, "neuralMesh": RESEARCH}))
    now = {**RESEARCH["organization"], "quota": "40TiB", "driverPassword": "e"}
    _, mesh = deployed(resolved_again(6, up, {**AWS, "neuralMesh": {"organization": now}}))
    assert mesh.organization is not None
    assert (mesh.organization.quota_gib, mesh.organization.driver_secret) == (40 * 1024, "e")


def test_drives_that_are_no_longer_counted_stay() -> None:
    up, formed = deployed(carried({"p": STORE}, {**AWS, "neuralMesh": {"drives": 2}}))
    _, mesh = deployed(resolved_again(6, up))
    assert (mesh.drives, mesh.net_capacity_gib) == (formed.drives, formed.net_capacity_gib)
