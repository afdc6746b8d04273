"""The logs that the lab's nodes show of the pods that it plays."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest
import trustme

from meshctl.lab.network.ports import free_ports
from meshctl.lab.pods import kubelet
from meshctl.lab.pods.kubelet import Kubelet, Written

LOG = "/containerLogs/m/chat-0/main"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    path = tmp_path / "main.log"
    path.write_text("of the life before\nfirst\nsecond\nthird\n")
    return Written(path, begins_at=len("of the life before\n"))


@pytest.mark.parametrize(
    ("query", "status", "body"),
    [
        ("", 200, "first\nsecond\nthird\n"),
        ("?tailLines=2", 200, "second\nthird\n"),
        ("?tailLines=0", 200, ""),
        ("?tailLines=9&follow=false", 200, "first\nsecond\nthird\n"),
        ("?follow=true", 501, "the lab plays no logs with follow\n"),
        ("?previous=true&timestamps=true", 501, "the lab plays no logs with previous, timestamps\n"),
    ],
)
def test_the_end_of_what_the_present_container_has_written(
    query: str, status: int, body: str, written: Written
) -> None:
    assert kubelet.answer(f"{LOG}{query}", lambda *_: written) == (status, body)


def test_what_is_not_there_is_not_found(written: Written) -> None:
    assert kubelet.answer(LOG, lambda *_: None).status == 404
    written.path.unlink()  # it was not started yet
    assert kubelet.answer(LOG, lambda *_: written).status == 404
    assert kubelet.answer("/pods", lambda *_: written).status == 404


def test_an_api_server_is_answered_by_tls(written: Written, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "admin.crt")
    issued.private_key_pem.write_to_path(tmp_path / "admin.key")
    made = Kubelet(free_ports(1)[0], str(tmp_path / "admin.crt"), str(tmp_path / "admin.key"))
    made.write(tmp_path)
    assert Kubelet.read(tmp_path) == made
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    asked: list[tuple[str, str, str]] = []

    def log_of(*names: str) -> Written:
        asked.append((names[0], names[1], names[2]))
        return written

    async def story() -> bytes:
        serving = asyncio.ensure_future(kubelet.serve(made, log_of))
        try:
            while True:
                try:
                    reader, writer = await asyncio.open_connection(
                        "127.0.0.1", made.port, ssl=trusting, server_hostname="localhost"
                    )
                    break
                except ConnectionRefusedError:
                    await asyncio.sleep(0.01)
            writer.write(f"GET {LOG}?tailLines=1 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            return await reader.read()
        finally:
            serving.cancel()

    text = asyncio.run(asyncio.wait_for(story(), 20))
    assert text.startswith(b"HTTP/1.1 200 ")
    assert text.endswith(b"\r\n\r\nthird\n")
    assert asked == [("m", "chat-0", "main")]
