from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshctl.lab.network import ports


@pytest.fixture(autouse=True)
def _own_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_CACHE", str(tmp_path))


def test_nobody_gets_a_port_that_someone_else_got() -> None:
    with ThreadPoolExecutor(4) as pool:
        given = [port for found in pool.map(ports.free_ports, [9] * 20) for port in found]
    assert len(set(given)) == len(given) == 180
    assert all(ports.RANGE[0] <= port < ports.RANGE[1] for port in given)


def test_a_port_in_use_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert not ports.is_free(port)
        monkeypatch.setattr(ports, "RANGE", (port, port + 1))
        with pytest.raises(OSError, match="no 1 free ports"):
            ports.free_ports(1)


def test_a_damaged_record_is_started_anew(tmp_path: Path) -> None:
    ports.free_ports(1)
    [record] = tmp_path.glob("locks/ports.json")
    record.write_text("{")
    assert ports.free_ports(1)


def lab(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def test_each_lab_has_a_loopback_network_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "NETWORKS", range(64, 67))
    labs = [lab(tmp_path, name) for name in ("a", "b", "c")]
    given = [ports.loopback_network(root) for root in labs]
    assert sorted(given) == [64, 65, 66]
    assert [ports.loopback_network(root) for root in labs] == given
    labs[1].rmdir()  # a lab that is gone leaves its network to another
    assert ports.loopback_network(lab(tmp_path, "d")) == given[1]
    assert ports.loopback_network(lab(tmp_path, "e")) == given[0], "none is left: the oldest lab shares"
