"""Catalog rows: complete, with source and date, and consistent."""

from __future__ import annotations

import re

import pytest

from meshctl.catalog import load_catalog

CATALOG = load_catalog()
ROWS = [machine for rows in CATALOG.machines.values() for machine in rows]


def test_every_row_and_price_has_a_source_in_words_and_a_date() -> None:
    for machine in ROWS:
        for source, date in [(machine.source, machine.date), *((p.source, p.date) for p in machine.prices)]:
            assert "." in source, machine.name
            assert re.match(r"^20\d\d", date), machine.name
    for row in (row for rows in CATALOG.storage.values() for row in rows):
        assert "." in row.source
        assert re.match(r"^20\d\d-\d\d-\d\d$", row.date)


def test_numbers_are_possible() -> None:
    assert len(ROWS) > 100
    for machine in ROWS:
        assert machine.cpu_cores > 0, machine.name
        assert machine.memory_gib > 0, machine.name
        assert machine.arch in ("amd64", "arm64"), machine.name
        assert bool(machine.gpu_model) == bool(machine.gpu_count), machine.name
        assert all(price.usd_per_hour > 0 for price in machine.prices), machine.name


def test_names_are_unique_within_a_provider() -> None:
    for rows in CATALOG.machines.values():
        names = [machine.name for machine in rows]
        assert len(names) == len(set(names))


def test_known_machines() -> None:
    p5 = CATALOG.machine("aws", "p5.48xlarge")
    assert p5 is not None
    assert p5.rdma is not None
    assert (p5.gpu_model, p5.gpu_count, p5.rdma.resource_count, p5.network_gbps) == ("H100", 8, 32, 3200)
    cw = CATALOG.machine("coreweave", "gd-8xh100ib-i128")
    assert cw is not None
    assert cw.rdma is not None
    assert cw.rdma.resource == "rdma/ib"
    assert cw.node_labels["gpu.nvidia.com/model"] == "H100"
    assert CATALOG.machine("aws", "p6e-gb300.36xlarge") is None  # no source gives its numbers


def test_the_memory_of_every_row_has_a_source_in_words() -> None:
    assert all("." in machine.memory_source for machine in ROWS)


@pytest.mark.parametrize(
    ("name", "at_least_gib"),
    [
        ("gd-8xh200ib-i128", 1920),  # coreweave/reference-architecture, inference/basic/hack/values-deepseek.yaml
        ("gb200-4x", 900),  # coreweave/nccl-tests, mpi/gb200-nvl72
        ("gd-8xh100ib-i128", 2014),
    ],
)
def test_coreweave_nodes_have_the_memory_that_its_own_files_ask_for(name: str, at_least_gib: int) -> None:
    machine = CATALOG.machine("coreweave", name)
    assert machine is not None
    assert machine.memory_gib >= at_least_gib
