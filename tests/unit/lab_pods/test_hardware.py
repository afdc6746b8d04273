"""Finding A4: a program that asks for RDMA of an EFA that has none is ended by libfabric."""

from __future__ import annotations

import signal
import sys

import pytest

from meshctl.catalog import load_catalog
from meshctl.lab.controllers.nodes import Group, manifest
from meshctl.lab.images import trainer
from meshctl.lab.pods import hardware
from meshctl.platforms.aws import fabric


def of_node(machine: str) -> dict[str, str]:
    row = load_catalog().machine("aws", machine)
    assert row is not None
    return hardware.variables(manifest(Group("train", row, 1, ("us-east-1a",), "us-east-1"), 0))


def settings(machine: str) -> dict[str, str]:
    row = load_catalog().machine("aws", machine)
    assert row is not None
    assert row.rdma is not None
    return fabric.settings(row.rdma)


@pytest.mark.parametrize(
    ("machine", "asks", "code"),
    [
        ("g5.48xlarge", "1", 134),
        ("g4dn.12xlarge", "1", 134),
        ("g5.48xlarge", "0", 0),
        ("g5.48xlarge", None, 0),
        ("p4d.24xlarge", "1", 0),
    ],
)
def test_a4_the_trainer_ends_as_libfabric_ends_it(
    machine: str, asks: str | None, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("FI_EFA_USE_DEVICE_RDMA", raising=False)
    for name, value in {**of_node(machine), **({"FI_EFA_USE_DEVICE_RDMA": asks} if asks else {})}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["train", "--steps", "1", "--step-seconds", "0.001"])
    monkeypatch.setattr(trainer, "store_url", lambda _name: "")
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert trainer.main() == code
    assert ("no rdma-read capability" in capsys.readouterr().out) == bool(code)


@pytest.mark.parametrize("machine", ["g5.48xlarge", "g4dn.12xlarge", "p4d.24xlarge", "p5.48xlarge"])
def test_a4_what_meshctl_sets_ends_no_trainer(machine: str) -> None:
    asks = settings(machine).get("FI_EFA_USE_DEVICE_RDMA") == "1"
    assert not (asks and of_node(machine))


def test_a4_a_node_that_is_gone_says_nothing() -> None:
    assert hardware.variables(None) == {}
