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
