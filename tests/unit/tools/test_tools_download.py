"""Official releases from a server that plays their publishers: verified, resumed, or built with Go instead."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest
import trustme

from meshctl import tools
from meshctl.errors import ToolError, UsageError
from meshctl.tools import download, http
from meshctl.tools.http import NotDownloadedError
from meshctl.tools.table import TOOLS, cached_path
from tests.unit.tools.publisher import (
    ETCD,
    ETCD_FILE,
    ETCD_FOLDER,
    KUBECTL,
    KUBECTL_FILE,
    Answer,
    Publisher,
    built,
    publisher,
    setup,
    tar_of,
)
from tests.waiting import WAIT_S

pytestmark = pytest.mark.usefixtures("machine")


def test_the_publishers_own_hosts_are_asked_without_a_mirror(tmp_path: Path) -> None:
    with publisher() as playing:
        playing.release("/sdk/kubectl", KUBECTL, "kubectl.sha256")
        at_loopback = replace(TOOLS["kubectl"].publishers[0], base=f"{playing.url}/sdk")
        tool = replace(TOOLS["kubectl"], publishers=(at_loopback,))
        download.Downloads().fetch(tool, tmp_path / "kubectl", lambda _: None)
    assert (tmp_path / "kubectl").read_bytes() == KUBECTL


def test_a_wrong_checksum_is_an_error_and_never_a_reason_to_build(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256", digest="ab" * 32)
    with pytest.raises(ToolError, match="does not match its checksum") as caught:
        setup("kubectl")
    assert "ab" * 32 in caught.value.why
    assert KUBECTL_FILE in caught.value.why
    assert "meshctl setup --build kubectl" in caught.value.hint
    assert built(tmp_path) == 0
    assert not cached_path(TOOLS["kubectl"]).exists()
    assert [path for path in (tmp_path / "cache" / "downloads").rglob("*") if path.is_file()] == []


def test_a_wrong_checksum_at_one_publisher_is_not_healed_by_the_next(mirror: Publisher) -> None:
    for folder in ("/get.pulumi.com/releases/sdk", "/github.com/pulumi/pulumi/releases/download/v3.259.0"):
        mirror.release(f"{folder}/pulumi-v3.259.0-linux-x64.tar.gz", b"x", "pulumi-3.259.0-checksums.txt")
    mirror.put("/get.pulumi.com/releases/sdk/pulumi-v3.259.0-linux-x64.tar.gz", b"y")
    with pytest.raises(ToolError, match="does not match its checksum"):
        setup("pulumi")
    assert not any("/github.com/" in path for path, _ in mirror.requests)


def test_the_second_publisher_is_asked_when_the_first_has_nothing(mirror: Publisher) -> None:
    program = b"#!/bin/sh\necho v3.259.0\n"
    file = "/github.com/pulumi/pulumi/releases/download/v3.259.0/pulumi-v3.259.0-linux-x64.tar.gz"
    mirror.release(file, tar_of({"pulumi/pulumi": program}), "pulumi-3.259.0-checksums.txt")
    setup("pulumi")
    assert cached_path(TOOLS["pulumi"]).read_bytes() == program


def test_a_cut_download_goes_on_where_it_was(mirror: Publisher) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(KUBECTL, cut_after=4000), Answer(KUBECTL, cut_after=3000, always_cut=True), KUBECTL)
    lines = setup("kubectl")
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL
    assert mirror.asked(KUBECTL_FILE) == ["", "bytes=4000-", "bytes=7000-"]
    assert sum("cut off" in line and "going on after" in line for line in lines) == 2


def test_the_next_setup_goes_on_with_what_a_killed_one_left(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(KUBECTL, cut_after=4000), Answer(status=404))
    setup("kubectl")
    mirror.put(KUBECTL_FILE, KUBECTL)
    cached_path(TOOLS["kubectl"]).unlink()
    setup("kubectl")
    assert mirror.asked(KUBECTL_FILE)[-1] == "bytes=4000-"
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL


def left_over(tmp_path: Path, content: bytes) -> None:
    """As a killed `setup` leaves its file."""
    folder = tmp_path / "cache" / "downloads" / "kubectl-1.36.3"
    folder.mkdir(parents=True)
    (folder / f"{hashlib.sha256(KUBECTL).hexdigest()[:16]}-kubectl").write_bytes(content)


def test_a_left_over_with_other_bytes_is_downloaded_again(mirror: Publisher, tmp_path: Path) -> None:
    left_over(tmp_path, b"z" * 4000)
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    lines = setup("kubectl")
    assert mirror.asked(KUBECTL_FILE) == ["bytes=4000-", ""]
    assert any("from the start" in line for line in lines)
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL


@pytest.mark.parametrize("ranges", [True, False])
def test_a_left_over_that_is_whole(mirror: Publisher, tmp_path: Path, *, ranges: bool) -> None:
    left_over(tmp_path, KUBECTL)
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(KUBECTL, ranges=ranges))  # a server without ranges sends all of it again
    setup("kubectl")
    assert mirror.asked(KUBECTL_FILE) == [f"bytes={len(KUBECTL)}-"]
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL


def test_a_redirect_is_followed(mirror: Publisher) -> None:
    mirror.release("/cdn/kubectl", KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(status=302, headers={"Location": "/cdn/kubectl"}))
    mirror.put(f"{KUBECTL_FILE}.sha256", Answer(status=307, headers={"Location": f"{mirror.url}/cdn/kubectl.sha256"}))
    setup("kubectl")
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL


def test_redirects_in_a_circle_end(mirror: Publisher, tmp_path: Path) -> None:
    mirror.put(f"{KUBECTL_FILE}.sha256", Answer(status=302, headers={"Location": f"{KUBECTL_FILE}.sha256"}))
    assert any("redirects" in line for line in setup("kubectl"))
    assert built(tmp_path) == 1


def test_https_is_not_left_by_a_redirect(mirror: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror.put("/plain.sha256", b"ab" * 32)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)

    def answer_once() -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True) as secured:
            secured.recv(65536)
            location = f"Location: {mirror.url}/plain.sha256\r\n"
            secured.sendall(f"HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n".encode())

    thread = Thread(target=answer_once)
    thread.start()
    with pytest.raises(NotDownloadedError, match="redirects to an address without https"):
        http.text_of(f"https://127.0.0.1:{listener.getsockname()[1]}/kubectl.sha256")
    thread.join(20)
    listener.close()
    assert mirror.requests == []


def test_a_proxy_is_used_where_it_applies(mirror: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTP_PROXY", mirror.url)
    monkeypatch.setenv("MESHCTL_MIRROR", "http://127.0.0.1:9")
    mirror.put(f"http://127.0.0.1:9{KUBECTL_FILE}", KUBECTL)
    mirror.put(f"http://127.0.0.1:9{KUBECTL_FILE}.sha256", hashlib.sha256(KUBECTL).hexdigest().encode())
    setup("kubectl")
    assert cached_path(TOOLS["kubectl"]).read_bytes() == KUBECTL

    cached_path(TOOLS["kubectl"]).unlink()
    asked = len(mirror.requests)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("MESHCTL_MIRROR", f"http://127.0.0.1:{port}")
    assert any("can't be reached" in line for line in setup("kubectl"))
    assert len(mirror.requests) == asked  # the proxy was not asked


def test_the_publishers_hosts_are_asked_through_the_https_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with publisher() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        lines = setup("kubectl")
    assert proxy.connects == ["dl.k8s.io:443"]
    assert any("dl.k8s.io: can't be reached (403" in line for line in lines)
    assert built(tmp_path) == 1


def test_a_proxy_variable_that_is_no_proxy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "gopher://127.0.0.1")
    assert any("proxy" in line and "gopher" in line for line in setup("kubectl"))
    assert built(tmp_path) == 1


@pytest.mark.parametrize(
    ("checksums", "said"),
    [
        (Answer(b"ab" * 32 + b"  other\n"), "has no sha256 of kubectl"),
        (Answer(status=404), "HTTP 404"),
        (Answer(status=403), "HTTP 403"),
        (Answer(b"x" * (2 << 20)), "too large for a checksum file"),
    ],
)
def test_without_a_checksum_nothing_is_downloaded(
    mirror: Publisher, tmp_path: Path, checksums: Answer, said: str
) -> None:
    mirror.put(KUBECTL_FILE, KUBECTL)
    mirror.put(f"{KUBECTL_FILE}.sha256", checksums)
    lines = setup("kubectl")
    assert any("not downloaded" in line and said in line for line in lines)
    assert mirror.asked(KUBECTL_FILE) == []
    assert built(tmp_path) == 1


def test_a_file_that_is_not_there_is_built(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(status=404))
    assert any(f"HTTP 404 for {mirror.url}{KUBECTL_FILE}" in line for line in setup("kubectl"))
    assert built(tmp_path) == 1


def test_a_server_that_is_busy_for_a_moment_is_asked_again(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(status=503), KUBECTL)
    checksum = mirror.answers[f"{KUBECTL_FILE}.sha256"][0]
    mirror.put(f"{KUBECTL_FILE}.sha256", Answer(status=503), checksum)
    setup("kubectl")
    assert built(tmp_path) == 0


def test_a_host_that_nobody_reaches_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    monkeypatch.setenv("MESHCTL_MIRROR", f"http://127.0.0.1:{port}")
    asked: list[str] = []
    text_of = http.text_of

    def count(url: str) -> str:
        asked.append(url)
        return text_of(url)

    monkeypatch.setattr(http, "text_of", count)
    lines = setup("kube-apiserver", "kube-scheduler", "kubectl")
    assert len(asked) == 1
    assert sum(f"not downloaded: 127.0.0.1:{port}: can't be reached" in line for line in lines) == 3
    assert built(tmp_path) == 3


def test_a_host_that_goes_silent_is_tried_once(
    mirror: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(http, "_READ_TIMEOUT_S", 2.0)
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(KUBECTL, silent=True))
    lines = setup("kubectl", "kube-scheduler")
    assert any("no more data came" in line for line in lines)
    assert [path for path, _ in mirror.requests] == [f"{KUBECTL_FILE}.sha256", KUBECTL_FILE]
    assert built(tmp_path) == 2


def test_a_host_that_sends_too_slowly_is_given_up(
    mirror: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(http, "_RATE_WINDOW_S", 0.2)
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(KUBECTL, trickles=True))
    lines = setup("kubectl", "kube-scheduler")
    assert any("not downloaded" in line and "less than 1 KiB in a second came" in line for line in lines)
    assert built(tmp_path) == 2


def test_a_range_that_nobody_asked_for_is_no_whole_file(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    mirror.put(KUBECTL_FILE, Answer(status=416))
    assert any(f"HTTP 416 for {mirror.url}{KUBECTL_FILE}" in line for line in setup("kubectl"))
    assert built(tmp_path) == 1


def test_a_file_that_is_too_large_is_not_left_in_the_cache(
    mirror: Publisher, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(http, "_MOST_FILE_BYTES", 1000)
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256")
    assert any("is larger than" in line for line in setup("kubectl"))
    assert [path for path in (tmp_path / "cache" / "downloads").rglob("*") if path.is_file()] == []
    assert built(tmp_path) == 1


def test_looking_a_host_up_has_an_end(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(http, "_TEXT_TIMEOUT_S", 0.1)
    has_ended = threading.Event()
    monkeypatch.setattr(http, "_text", lambda url: has_ended.wait(WAIT_S))
    assert any("dl.k8s.io: no answer within" in line for line in setup("kubectl"))
    has_ended.set()
    assert built(tmp_path) == 1


def test_build_asks_no_host(mirror: Publisher, tmp_path: Path) -> None:
    mirror.release(ETCD_FILE, tar_of({"etcd-v3.6.15-linux-amd64/etcd": ETCD}), "SHA256SUMS")
    setup("etcd", build=True)
    assert mirror.requests == []
    assert built(tmp_path) == 1


def test_without_a_download_and_without_go_the_error_says_both(
    mirror: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ToolError) as caught:
        setup("etcd")
    assert "no `go` command on PATH" in caught.value.why
    assert f"not downloaded: HTTP 404 for {mirror.url}{ETCD_FOLDER}/SHA256SUMS" in caught.value.why


def test_the_password_of_a_mirror_is_never_told(mirror: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_MIRROR", mirror.url.replace("://", "://me:geheim@"))
    mirror.release(KUBECTL_FILE, KUBECTL, "kubectl.sha256", digest="ab" * 32)
    lines: list[str] = []
    with pytest.raises(ToolError) as caught:
        tools.ensure(["kubectl"], lines.append)
    mirror.put(f"{KUBECTL_FILE}.sha256", Answer(status=404))
    with pytest.raises(NotDownloadedError) as missing:
        download.downloads().fetch(TOOLS["kubectl"], Path("unused"), lines.append)
    texts = [*lines, caught.value.what, caught.value.why, caught.value.hint, str(missing.value)]
    assert not [text for text in texts if "geheim" in text]


@pytest.mark.parametrize("value", ["mirror.test", "ftp://mirror.test", "https://", "https://[", "/srv/mirror"])
def test_a_mirror_must_be_a_url(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MESHCTL_MIRROR", value)
    with pytest.raises(UsageError, match="MESHCTL_MIRROR is not a URL"):
        setup("etcd")


@pytest.mark.parametrize(
    "value", ["http://mirror.test", "HTTP://10.0.0.1:8080/m", "http://127.0.0.1.evil.test", "http://[::2]"]
)
def test_a_mirror_on_another_machine_must_use_https(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MESHCTL_MIRROR", value)
    with pytest.raises(UsageError, match="MESHCTL_MIRROR must begin with https://") as caught:
        setup("etcd")
    assert "https://mirror.example.com" in caught.value.hint


@pytest.mark.parametrize(
    "value", ["http://localhost:8080", "http://127.0.0.2/m", "http://[::1]:80", "https://mirror.test"]
)
def test_a_mirror_on_this_machine_may_use_http(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MESHCTL_MIRROR", value)
    assert download.downloads().mirror == value


def test_no_mirror_leads_away_from_this_machine_without_https(mirror: Publisher) -> None:
    mirror.put("/there", Answer(status=302, headers={"Location": "http://mirror.test/elsewhere"}))
    with pytest.raises(NotDownloadedError, match="redirects to an address without https"):
        http.text_of(f"{mirror.url}/there")


def test_progress_is_told(mirror: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_PROGRESS_EVERY_S", 0.0)
    body = KUBECTL + b"#" * (3 << 20)
    mirror.release(KUBECTL_FILE, body, "kubectl.sha256")
    lines = setup("kubectl")
    assert any(line.startswith("kubectl 1.36.3: 3 of 3 MiB, ") for line in lines)
