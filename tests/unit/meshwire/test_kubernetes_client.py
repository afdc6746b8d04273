"""The client for API servers, against a server on loopback: what is asked, what is read, and what goes wrong."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from meshwire import kubeconfig
from meshwire.kubeconfig import KubeconfigError
from meshwire.kubernetes import requests
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.client import Client, Patience
from meshwire.kubernetes.errors import ApiError, CredentialError, NoAnswerError
from meshwire.kubernetes.resources import CLAIMS, DEPLOYMENTS, NODES, PODS
from meshwire.kubernetes.target import Target, target
from tests.unit.api_server import Answer, Asked, api_server
from tests.waiting import WAIT_S

FORBIDDEN = {
    "kind": "Status",
    "reason": "Forbidden",
    "message": 'pods is forbidden: User "u" cannot list',
    "details": {"kind": "pods", "causes": [{"field": "x"}]},
}


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def chosen(server: str, user: Mapping[str, Any] | None = None, **cluster: Any) -> Target:
    given = {
        "clusters": [{"name": "c", "cluster": {"server": server, **cluster}}],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    return target(kubeconfig.choose(json.dumps(given)))


def scripted(*answers: Answer) -> Any:
    """Each answer in turn."""
    left = list(answers)
    return lambda _: left.pop(0)


def test_the_kinds_of_a_group_are_read_where_it_is_served() -> None:
    listed = {"kind": "APIResourceList", "resources": [{"name": "podmonitors", "kind": "PodMonitor"}]}
    missing = Answer(404, {"kind": "Status", "message": "the server could not find the requested resource"})
    with api_server(scripted(Answer(body=listed), missing)) as server, Client(chosen(server.url)) as client:
        assert client.kinds("monitoring.coreos.com/v1") == {"PodMonitor"}
        with pytest.raises(ApiError) as refused:
            client.kinds("resource.nvidia.com/v1beta1")
    assert refused.value.status == 404
    assert [asked.path for asked in server.asked] == [
        "/apis/monitoring.coreos.com/v1",
        "/apis/resource.nvidia.com/v1beta1",
    ]


def test_an_object_is_read_by_its_kind_and_name() -> None:
    with api_server(lambda _: Answer(body={"metadata": {"uid": "7"}})) as server, Client(chosen(server.url)) as client:
        assert client.get(PODS, "chat-0", namespace="llm")["metadata"]["uid"] == "7"
        assert client.get(NODES, "a/../b")["metadata"]["uid"] == "7"
        client.get(DEPLOYMENTS, "chat", namespace="llm")
    assert [asked.path for asked in server.asked] == [
        "/api/v1/namespaces/llm/pods/chat-0",
        "/api/v1/nodes/a%2F..%2Fb",
        "/apis/apps/v1/namespaces/llm/deployments/chat",
    ]


def test_a_server_may_stand_below_a_path() -> None:
    with api_server(lambda _: Answer()) as server, Client(chosen(f"{server.url}/k8s/c-1/")) as client:
        client.get(NODES, "n")
    assert server.asked[0].path == "/k8s/c-1/api/v1/nodes/n"


def test_a_list_is_asked_for_in_pages() -> None:
    pages = {
        "": {"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}},
        "next": {"items": [{"metadata": {"name": "b"}}], "metadata": {}},
    }
    with (
        api_server(lambda asked: Answer(body=pages[asked.query.get("continue", "")])) as server,
        Client(chosen(server.url)) as client,
    ):
        pods = client.list_objects(
            PODS, namespace="llm", labels={"app": "chat", "a/b": "c"}, fields={"spec.nodeName": "n"}
        )
    assert [pod["metadata"]["name"] for pod in pods] == ["a", "b"]
    assert [asked.query["limit"] for asked in server.asked] == ["500", "500"]
    assert {asked.query["labelSelector"] for asked in server.asked} == {"app=chat,a/b=c"}
    assert {asked.query["fieldSelector"] for asked in server.asked} == {"spec.nodeName=n"}


def test_a_list_that_expired_between_two_pages_is_asked_for_whole() -> None:
    def respond(asked: Asked) -> Answer:
        if "continue" in asked.query:
            return Answer(410, {"reason": "Expired", "message": "too old"})
        if "limit" in asked.query:
            return Answer(body={"items": [{"metadata": {"name": "a"}}], "metadata": {"continue": "next"}})
        return Answer(body={"items": [{"metadata": {"name": "b"}}, {"metadata": {"name": "c"}}]})

    with api_server(respond) as server, Client(chosen(server.url)) as client:
        assert [item["metadata"]["name"] for item in client.list_objects(NODES)] == ["b", "c"]


def test_an_empty_list_has_no_items() -> None:
    with api_server(lambda _: Answer(body={"items": None})) as server, Client(chosen(server.url)) as client:
        assert client.list_objects(NODES) == []


def test_a_patch_says_its_kind_and_whose_it_is() -> None:
    with api_server(lambda asked: Answer(body=asked.body)) as server, Client(chosen(server.url)) as client:
        body = {"spec": {"replicas": 2}}
        for kind in (requests.STRATEGIC_PATCH, requests.MERGE_PATCH, requests.JSON_PATCH, requests.APPLY):
            client.patch(DEPLOYMENTS, "chat", body, kind=kind, namespace="llm", manager="me", dry_run=True)
        client.patch(CLAIMS, "data", body, kind=requests.MERGE_PATCH, namespace="llm")
        client.send(requests.patch("/x", body, requests.APPLY, **requests.writing(manager="me", force=True)))
    assert [asked.headers["Content-Type"] for asked in server.asked[:4]] == [
        "application/strategic-merge-patch+json",
        "application/merge-patch+json",
        "application/json-patch+json",
        "application/apply-patch+yaml",
    ]
    assert all(asked.query == {"fieldManager": "me", "dryRun": "All"} for asked in server.asked[:4])
    assert [asked.query for asked in server.asked[4:]] == [{}, {"fieldManager": "me", "force": "true"}]
    assert server.asked[0].body == body


def test_objects_are_made_replaced_and_deleted() -> None:
    with api_server(lambda _: Answer(201)) as server, Client(chosen(server.url)) as client:
        client.send(requests.create("/api/v1/nodes", {"a": 1}, dryRun="All"))
        client.send(requests.replace("/api/v1/nodes/n", {"a": 2}))
        client.send(requests.delete("/api/v1/nodes/n", propagation="Foreground"))
        client.send(requests.delete("/api/v1/nodes/n", grace_s=0, uid="7"))
    options = {"apiVersion": "v1", "kind": "DeleteOptions"}
    assert [(asked.method, asked.body) for asked in server.asked] == [
        ("POST", {"a": 1}),
        ("PUT", {"a": 2}),
        ("DELETE", {**options, "propagationPolicy": "Foreground"}),
        ("DELETE", {**options, "gracePeriodSeconds": 0, "preconditions": {"uid": "7"}}),
    ]


def test_a_refusal_has_what_its_status_says() -> None:
    with (
        api_server(lambda _: Answer(403, FORBIDDEN)) as server,
        Client(chosen(server.url)) as client,
        pytest.raises(ApiError, match='pods is forbidden: User "u" cannot list') as caught,
    ):
        client.list_objects(PODS)
    error = caught.value
    assert (error.status, error.reason, error.details["kind"]) == (403, "Forbidden", "pods")


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (
            Answer(502, content=b"<html>no backend</html>", headers={"Content-Type": "text/html"}),
            502,
            "HTTP status 502",
        ),
        (Answer(404, content=b"404 page not found\n", headers={"Content-Type": "text/plain"}), 404, "404 page not"),
        (Answer(500, content=b""), 500, "HTTP status 500"),
        (Answer(200, content=b"<html>log in</html>"), 200, "is this an API server"),
        (Answer(200, content=b""), 200, "is this an API server"),
        (Answer(200, ["a"]), 200, "is this an API server"),
        (Answer(302, content=b"", headers={"Location": "/login"}), 302, "is this an API server"),
        (Answer(409, {"message": None, "details": 7}), 409, "HTTP status 409"),
    ],
)
def test_what_is_no_answer_of_an_api_server_is_an_error(answer: Answer, status: int, message: str) -> None:
    with (
        api_server(lambda _: answer) as server,
        Client(chosen(server.url)) as client,
        pytest.raises(ApiError, match=message) as caught,
    ):
        client.get(NODES, "n")
    assert caught.value.status == status


def test_connections_are_used_again_and_closed() -> None:
    with api_server(lambda _: Answer()) as server:
        with Client(chosen(server.url)) as client:
            for _ in range(3):
                client.get(NODES, "n")
        assert len({asked.connection for asked in server.asked}) == 1
    assert client._http.is_closed


def test_threads_share_a_client() -> None:
    with (
        api_server(lambda asked: Answer(body={"metadata": {"name": asked.path[-1]}})) as server,
        Client(chosen(server.url)) as client,
        ThreadPoolExecutor(8) as pool,
    ):
        names = [str(number % 10) for number in range(40)]
        assert [each["metadata"]["name"] for each in pool.map(lambda name: client.get(NODES, name), names)] == names


def test_nothing_is_asked_again_unless_the_caller_is_patient() -> None:
    with api_server(scripted(Answer(503))) as server, Client(chosen(server.url)) as client, pytest.raises(ApiError):
        client.get(NODES, "n")
    with api_server(scripted(Answer(0))) as server, Client(chosen(server.url)) as client, pytest.raises(NoAnswerError):
        client.get(NODES, "n")


PATIENT = Patience(pauses_s=(0.0, 0.0), down_s=60.0)


def test_a_patient_caller_asks_again_what_may_pass() -> None:
    answers = (Answer(503), Answer(429, headers={"Retry-After": "0"}), Answer(body={"metadata": {"uid": "1"}}))
    with api_server(scripted(*answers)) as server, Client(chosen(server.url), PATIENT) as client:
        assert client.get(NODES, "n")["metadata"]["uid"] == "1"
    with api_server(scripted(Answer(0), Answer(0), Answer())) as server, Client(chosen(server.url), PATIENT) as client:
        client.get(NODES, "n")
    assert len(server.asked) == 3
    with (
        api_server(scripted(Answer(500), Answer())) as server,
        Client(chosen(server.url), PATIENT) as client,
        pytest.raises(ApiError),
    ):
        client.get(NODES, "n")


def test_a_server_that_is_down_is_asked_once_for_a_while() -> None:
    with api_server(lambda _: Answer(0)) as server, Client(chosen(server.url), PATIENT) as client:
        for tries in (3, 4):
            with pytest.raises(NoAnswerError):
                client.get(NODES, "n")
            assert len(server.asked) == tries


def test_a_cancel_ends_the_tries() -> None:
    cancelled = threading.Event()
    cancelled.set()
    with (
        api_server(lambda _: Answer(503)) as server,
        Client(chosen(server.url), PATIENT, cancelled=cancelled) as client,
        pytest.raises(ApiError),
    ):
        client.get(NODES, "n")
    assert len(server.asked) == 1


def test_no_answer_in_time_is_no_answer() -> None:
    has_given_up = threading.Event()

    def late(_: Asked) -> Answer:
        has_given_up.wait(WAIT_S)
        return Answer()

    with api_server(late) as server, Client(chosen(server.url), Patience(read_s=0.05)) as client:
        with pytest.raises(NoAnswerError) as caught:
            client.get(NODES, "n")
        has_given_up.set()
    assert caught.value.server == server.url


def test_a_port_where_nothing_listens_is_no_answer() -> None:
    with Client(chosen("http://127.0.0.1:1")) as client, pytest.raises(NoAnswerError, match="refused"):
        client.get(NODES, "n")


@pytest.mark.parametrize(
    ("user", "header"),
    [
        ({}, None),
        ({"token": "t"}, "Bearer t"),
        ({"username": "ann", "password": "pw"}, f"Basic {base64.b64encode(b'ann:pw').decode()}"),
        ({"username": "ann", "password": "pw", "token": "t"}, "Bearer t"),
        ({"username": "ann"}, None),
    ],
)
def test_who_asks_is_in_the_header(user: dict[str, Any], header: str | None) -> None:
    with api_server(lambda _: Answer()) as server, Client(chosen(server.url, user)) as client:
        client.get(NODES, "n")
    assert server.asked[0].headers.get("Authorization") == header


def test_the_order_of_credentials(tmp_path: Path) -> None:
    """A token's file, a token, a program, a password: as it was on both sides before there was one client."""
    (tmp_path / "token").write_text("of-file\n")
    status = json.dumps({"status": {"token": "of-program"}})
    program = {"apiVersion": "client.authentication.k8s.io/v1", "command": "echo", "args": [status]}
    password = {"username": "ann", "password": "pw"}
    users = [
        {"tokenFile": str(tmp_path / "token"), "token": "plain", "exec": program, **password},
        {"token": "plain", "exec": program, **password},
        {"exec": program, **password},
    ]
    with api_server(lambda _: Answer()) as server:
        for user in users:
            with Client(chosen(server.url, user)) as client:
                client.get(NODES, "n")
    assert [asked.headers["Authorization"] for asked in server.asked] == [
        "Bearer of-file", "Bearer plain", "Bearer of-program",
    ]  # fmt: skip


def test_a_token_file_is_read_again_when_the_token_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")

    def respond(asked: Asked) -> Answer:
        return Answer(200 if asked.headers["Authorization"] == f"Bearer {file.read_text()}" else 401)

    with api_server(respond) as server, Client(chosen(server.url, {"tokenFile": str(file)})) as client:
        client.get(NODES, "n")
        file.write_text("new")
        client.get(NODES, "n")
    tokens = [asked.headers["Authorization"] for asked in server.asked]
    assert tokens == ["Bearer old", "Bearer old", "Bearer new"]


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"token": "a\nb"}, "no HTTP header can have"),
        ({"token": "tökn"}, "no HTTP header can have"),
        ({"tokenFile": "/no/such/file"}, "/no/such/file, the tokenFile of the kubeconfig, can't be read"),
        ({"auth-provider": {"name": "gcp"}}, "auth-provider is not supported"),
        ({"exec": {"apiVersion": "v1", "command": "/no/such/program"}}, "credential program /no/such/program"),
    ],
)
def test_a_user_without_a_usable_credential_is_named(user: dict[str, Any], message: str) -> None:
    with (
        api_server(lambda _: Answer()) as server,
        Client(chosen(server.url, user)) as client,
        pytest.raises(CredentialError, match=message),
    ):
        client.get(NODES, "n")
    assert server.asked == []


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def serving(authority: trustme.CA) -> ssl.SSLContext:
    """TLS of a server whose certificate `authority` has signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def encoded(pem: bytes) -> str:
    return base64.b64encode(pem).decode()


def test_a_server_proves_itself_by_its_authority(
    authority: trustme.CA, serving: ssl.SSLContext, tmp_path: Path
) -> None:
    pem, other = authority.cert_pem.bytes(), trustme.CA().cert_pem.bytes()
    (tmp_path / "ca.pem").write_bytes(pem)
    enough: list[dict[str, Any]] = [
        {"certificate-authority-data": encoded(pem)},
        {"certificate-authority": str(tmp_path / "ca.pem")},
        {"insecure-skip-tls-verify": True},
    ]
    too_little: list[dict[str, Any]] = [
        {},
        {"certificate-authority-data": encoded(other), "insecure-skip-tls-verify": True},
    ]
    with api_server(lambda _: Answer(), serving) as server:
        for trust in enough:
            with Client(chosen(server.url, **trust)) as client:
                client.get(NODES, "n")
        for trust in too_little:
            with (
                Client(chosen(server.url, **trust)) as client,
                pytest.raises(NoAnswerError, match="certificate verify"),
            ):
                client.get(NODES, "n")


def test_the_authorities_of_the_environment_are_trusted(
    authority: trustme.CA, serving: ssl.SSLContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.cert_pem.bytes())
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with api_server(lambda _: Answer(), serving) as server, Client(chosen(server.url)) as client:
        client.get(NODES, "n")
    assert [request.path for request in server.asked] == ["/api/v1/nodes/n"]


def test_a_client_proves_itself_by_its_certificate(
    authority: trustme.CA, serving: ssl.SSLContext, tmp_path: Path
) -> None:
    authority.configure_trust(serving)
    serving.verify_mode = ssl.CERT_REQUIRED
    own = authority.issue_cert("ann@example.com")
    certificate, key = own.cert_chain_pems[0].bytes(), own.private_key_pem.bytes()
    (tmp_path / "cert.pem").write_bytes(certificate)
    (tmp_path / "key.pem").write_bytes(key)
    trust: dict[str, Any] = {"certificate-authority-data": encoded(authority.cert_pem.bytes())}
    with api_server(lambda _: Answer(), serving) as server:
        for user in (
            {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)},
            {"client-certificate": str(tmp_path / "cert.pem"), "client-key": str(tmp_path / "key.pem")},
            {"client-certificate": str(tmp_path / "cert.pem"), "client-key-data": encoded(key)},
        ):
            with Client(chosen(server.url, user, **trust)) as client:
                client.get(NODES, "n")
        with Client(chosen(server.url, **trust)) as client, pytest.raises(NoAnswerError):
            client.get(NODES, "n")


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({"certificate-authority-data": "!"}, {}),
        ({"certificate-authority-data": "eA=="}, {}),
        ({}, {"client-certificate-data": "eA==", "client-key-data": "eA=="}),
    ],
)
def test_a_certificate_that_is_none_is_refused(cluster: dict[str, Any], user: dict[str, Any]) -> None:
    with pytest.raises(KubeconfigError, match=r"certificates .* can't be used"):
        Client(chosen("https://127.0.0.1:1", user, **cluster))


@pytest.fixture
def proxy() -> Iterator[Any]:
    with api_server(lambda _: Answer(body={"metadata": {"uid": "by-proxy"}})) as server:
        yield server


def test_a_proxy_of_the_environment_is_used(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with Client(chosen("http://api.invalid:8080")) as client:
        assert client.get(NODES, "n")["metadata"]["uid"] == "by-proxy"
    with Client(chosen("https://api.invalid")) as client, pytest.raises(NoAnswerError, match="502"):
        client.get(NODES, "n")
    assert proxy.asked[-1].path == "api.invalid:443"


def test_no_proxy_is_used_for_this_machine_or_where_none_applies(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with (
        api_server(lambda _: Answer(body={"metadata": {"uid": "direct"}})) as server,
        Client(chosen(server.url)) as client,
    ):
        assert client.get(NODES, "n")["metadata"]["uid"] == "direct"
    monkeypatch.setenv("NO_PROXY", "api.invalid")
    with Client(chosen("http://api.invalid:8080")) as client, pytest.raises(NoAnswerError):
        client.get(NODES, "n")
    assert proxy.asked == []


def test_the_proxy_of_a_kubeconfig_comes_first(proxy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Client(chosen("http://127.0.0.1:1", **{"proxy-url": proxy.url})) as client:
        assert client.get(NODES, "n")["metadata"]["uid"] == "by-proxy"


@pytest.mark.parametrize("url", ["gopher://x:secret@y", "http://[", "socks5://x:secret@127.0.0.1:1"])
def test_a_proxy_that_is_none_is_named(url: str) -> None:
    with pytest.raises(KubeconfigError, match="proxy") as caught:
        Client(chosen("http://127.0.0.1:1", None, **{"proxy-url": url}))
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_that_is_none_gives_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://[")
    with pytest.raises((NoAnswerError, KubeconfigError)), Client(chosen("http://api.invalid")) as client:
        client.get(NODES, "n")


@pytest.mark.parametrize(
    ("cluster", "user", "message"),
    [
        ({"server": "ftp://x"}, {}, "begin with https:// or http://"),
        ({"server": "https://["}, {}, "malformed"),
        ({"insecure-skip-tls-verify": "yes"}, {}, "insecure-skip-tls-verify is neither"),
        ({"proxy-url": 7}, {}, "proxy-url is no text"),
        ({}, {"token": 7}, "token is no text"),
        ({}, {"exec": "x"}, "exec is no mapping"),
        ({}, {"exec": {"apiVersion": "v1"}}, "exec has no command"),
        ({}, {"exec": {"apiVersion": "v1", "command": ""}}, "exec has no command"),
        ({}, {"exec": {"apiVersion": "v1", "command": "x", "args": "y"}}, "args of exec"),
        ({}, {"exec": {"apiVersion": "v1", "command": "x", "env": [{"name": "y"}]}}, "env has no value"),
        ({}, {"exec": {"apiVersion": "v1", "command": "x", "env": {"y": "z"}}}, "env of exec"),
    ],
)
def test_a_kubeconfig_with_a_wrong_value_is_refused(
    cluster: dict[str, Any], user: dict[str, Any], message: str
) -> None:
    with pytest.raises(KubeconfigError, match=message):
        chosen(**{"server": "https://x", **cluster}, user=user)


async def _sent(url: str, request: requests.Request, user: dict[str, Any]) -> dict[str, Any]:
    async with AsyncClient(chosen(url, user)) as client:
        return await client.send(request)


def test_the_client_of_an_event_loop_reads_the_same_answers(tmp_path: Path) -> None:
    with api_server(lambda _: Answer(body={"a": 1})) as server:
        assert asyncio.run(_sent(server.url, requests.get("/x", limit="5"), {"token": "t"})) == {"a": 1}
    assert (server.asked[0].query, server.asked[0].headers["Authorization"]) == ({"limit": "5"}, "Bearer t")
    with api_server(lambda _: Answer(403, FORBIDDEN)) as server, pytest.raises(ApiError, match="is forbidden"):
        asyncio.run(_sent(server.url, requests.create("/x", {}), {}))
    with pytest.raises(NoAnswerError):
        asyncio.run(_sent("http://127.0.0.1:1", requests.get("/x"), {}))


def test_the_client_of_an_event_loop_renews_a_refused_token(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    script = 'echo x >> "$0"; echo "{\\"status\\": {\\"token\\": \\"t$(wc -l < $0)\\"}}"'
    program = {"apiVersion": "v1", "command": "sh", "args": ["-c", script, str(tmp_path / "runs")]}

    def respond(asked: Asked) -> Answer:
        return Answer(200 if asked.headers["Authorization"] == "Bearer t2" else 401)

    with api_server(respond) as server:
        assert asyncio.run(_sent(server.url, requests.get("/x"), {"exec": program})) == {}
    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer t1", "Bearer t2"]


async def _watched(url: str) -> list[tuple[str, str]]:
    async with AsyncClient(chosen(url)) as client:
        events = client.watch("/api/v1/pods", {"labelSelector": "a=b"}, "7")
        return [(event.kind, event.object["metadata"]["name"]) async for event in events]


def test_a_watch_tells_changes_until_its_end() -> None:
    pod = {"metadata": {"name": "p"}}
    lines = tuple({"type": kind, "object": pod} for kind in ("ADDED", "BOOKMARK", "DELETED"))
    with api_server(lambda _: Answer(lines=lines)) as server:
        assert asyncio.run(_watched(server.url)) == [("ADDED", "p"), ("DELETED", "p")]
    assert server.asked[0].query == {
        "labelSelector": "a=b", "resourceVersion": "7", "watch": "1", "allowWatchBookmarks": "true",
    }  # fmt: skip
    expired = ({"type": "ADDED", "object": pod}, {"type": "ERROR", "object": {"code": 410}})
    with api_server(lambda _: Answer(lines=expired)) as server:
        assert asyncio.run(_watched(server.url)) == [("ADDED", "p")]


def test_a_watch_that_is_refused_says_so() -> None:
    with api_server(lambda _: Answer(403, FORBIDDEN)) as server, pytest.raises(ApiError, match="is forbidden"):
        asyncio.run(_watched(server.url))
