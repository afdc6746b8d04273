"""What the program for WEKA's REST interface does, against a cluster that is played over HTTP."""

from __future__ import annotations

import importlib.util
import json
import ssl
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

from meshctl import render
from meshctl.render.templates import FOLDER
from tests.unit.weka_mesh import neural_mesh, system, with_mesh

Json = dict[str, Any]


def _program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weka_settings", FOLDER / "weka_settings" / "settings.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


program = _program()


class Weka:
    """A cluster of one user: what it has, and what it was asked. `busy`: how often it still says that it is not ready;
    `expiring`: after how many calls a token is none any more."""

    guid = "0000-1111"

    def __init__(self) -> None:
        self.stores: list[Json] = []
        self.file_systems: list[Json] = []
        self.licence = ""
        self.changes: list[str] = []
        self.busy = 0
        self.tokens = 0
        self.valid = ""
        self.calls_until_expiry = 1000

    def answer(self, method: str, path: str, body: Json, token: str) -> tuple[int, Any]:
        if self.busy:
            self.busy -= 1
            return 503, {"message": "the cluster is not ready"}
        if path == "login":
            if body != {"username": "admin", "password": "secret", "org": "Root"}:
                return 401, {"message": "wrong password"}
            self.tokens += 1
            self.valid = f"token-{self.tokens}"
            return 200, {"data": {"access_token": self.valid, "expires_in": 300}}
        if token != self.valid:
            return 401, {"message": "no such token"}
        self.calls_until_expiry -= 1
        if self.calls_until_expiry == 0:
            self.valid = ""
        if method != "GET":
            self.changes.append(f"{method} {path}")
        return self._answered(method, path, body)

    def _answered(self, method: str, path: str, body: Json) -> tuple[int, Any]:
        kind, *rest = path.split("/")
        answers = {
            "license": self._license,
            "cluster": lambda *_: (200, {"data": {"guid": self.guid}}),
            "objectStoreBuckets": self._object_stores,
            "fileSystems": self._file_systems,
        }
        return answers[kind](method, rest, body)

    def _license(self, _method: str, _rest: list[str], body: Json) -> tuple[int, Any]:
        if self.guid not in body["license"]:
            return 400, {"message": "the licence is of another cluster"}
        self.licence = body["license"]
        return 200, {"data": None}

    def _object_stores(self, method: str, rest: list[str], body: Json) -> tuple[int, Any]:
        if method == "POST":
            self.stores.append({**body, "uid": f"store-{len(self.stores)}"})
        if method == "PUT":
            _with_uid(self.stores, rest[0]).update(body)
        return 200, {"data": self.stores}

    def _file_systems(self, method: str, rest: list[str], body: Json) -> tuple[int, Any]:
        if method == "PUT" or (method == "POST" and not rest):
            sizes = {"total_budget": body["total_capacity"], "ssd_budget": body["ssd_capacity"]}
        if method == "POST" and not rest:
            buckets = [{"name": body["obs_name"]}]
            new = {"uid": f"fs-{len(self.file_systems)}", "name": body["name"], "obs_buckets": buckets}
            self.file_systems.append({**new, **sizes})
        elif method == "POST":
            assert (rest[1], body["obs_mode"]) == ("objectStoreBuckets", "writable")
            _with_uid(self.file_systems, rest[0])["obs_buckets"].append({"name": body["obs_name"]})
        elif method == "PUT":
            file_system = _with_uid(self.file_systems, rest[0])
            if not file_system["obs_buckets"]:
                return 400, {"message": "ssd_capacity below total_capacity needs an object store bucket"}
            file_system.update(sizes)
        return 200, {"data": self.file_systems}


def _with_uid(items: list[Json], uid: str) -> Json:
    return next(each for each in items if each["uid"] == uid)


@pytest.fixture
def weka() -> Iterator[tuple[Weka, str]]:
    """A cluster and its address."""
    cluster = Weka()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            status, answer = cluster.answer(self.command, self.path.removeprefix("/api/v2/"), body, token)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        do_GET = do_POST = do_PUT = _any  # noqa: N815  the names that the server looks for

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield cluster, f"127.0.0.1:{server.server_port}"
        server.shutdown()


def variables(address: str, **more: str) -> dict[str, str]:
    """Those of the pod: the settings as they are declared for a mesh with one tiered file system."""
    made = {item.name: item for item in render.platform_objects(with_mesh(neural_mesh(), system(tier="weights")))}
    (container,) = made["neuralmesh:settings"].manifest["spec"]["template"]["spec"]["containers"]
    declared = next(each["value"] for each in container["env"] if each["name"] == "WEKA_SETTINGS")
    own = {
        "WEKA_SETTINGS": declared,
        "WEKA_ENDPOINTS": address,
        "WEKA_SCHEME": "http",
        "WEKA_USER": "admin",
        "WEKA_PASSWORD": "secret",
        "STORE_ENDPOINT": "https://s3.example.com:9000",
        "STORE_ACCESS_KEY_ID": "AK",
        "STORE_SECRET_KEY": "SK",
    }
    return {**own, **more}


def run(settings_variables: dict[str, str], *, patience: int = 3) -> list[str]:
    """What it says. A cluster that gives no answer is asked so often; nobody waits in between."""
    said: list[str] = []
    settings = program.read_settings(settings_variables)
    ticks = iter(range(10_000))
    rest = program.Rest(settings, clock=lambda: next(ticks) * program.PATIENCE_S / patience, pause=lambda _: None)
    program.apply(rest, settings, said.append)
    return said


def test_a_new_cluster_gets_the_store_and_the_file_system(weka: tuple[Weka, str]) -> None:
    cluster, address = weka
    said = run(variables(address, WEKA_LICENCE=f"{Weka.guid} signed\n"))
    assert said == [
        "the licence is set",
        "object store weights: made, to bucket llm-prod-dc1-weights at s3.example.com",
        "file system llm-prod-data: made, tiered to weights",
    ]
    assert cluster.licence == f"{Weka.guid} signed"
    (store,) = cluster.stores
    assert (store["protocol"], store["port"], store["obs_site"], store["secret_key"]) == ("HTTPS", 9000, "local", "SK")
    (made,) = cluster.file_systems
    assert (made["total_budget"], made["ssd_budget"]) == (1000 * 1024**3, 1000 * 1024**3)


def test_a_second_run_changes_nothing_but_the_keys(weka: tuple[Weka, str]) -> None:
    cluster, address = weka
    run(variables(address))
    cluster.changes.clear()
    assert run(variables(address, STORE_SECRET_KEY="new")) == [
        "object store weights: as it should be",
        "file system llm-prod-data: as it should be",
    ]
    assert cluster.changes == ["PUT objectStoreBuckets/store-0"]
    assert cluster.stores[0]["secret_key"] == "new"


def test_a_file_system_grows_and_never_shrinks(weka: tuple[Weka, str]) -> None:
    cluster, address = weka
    run(variables(address))
    (made,) = cluster.file_systems
    made["total_budget"], made["obs_buckets"] = 1, []
    assert run(variables(address))[-1] == "file system llm-prod-data: attached to weights, grown"
    assert made["total_budget"] == 1000 * 1024**3
    assert made["obs_buckets"] == [{"name": "weights"}]
    made["total_budget"] = made["ssd_budget"] = 10**15
    assert run(variables(address))[-1] == "file system llm-prod-data: as it should be"
    assert made["total_budget"] == 10**15


def test_a_licence_of_another_cluster_is_refused_with_the_guid(weka: tuple[Weka, str]) -> None:
    cluster, address = weka
    with pytest.raises(program.RefusedError, match=r"HTTP 400 the licence is of another cluster.*GUID is 0000-1111"):
        run(variables(address, WEKA_LICENCE="2222"))
    assert not cluster.file_systems


def test_a_store_never_becomes_another_bucket(weka: tuple[Weka, str]) -> None:
    cluster, address = weka
    run(variables(address))
    cluster.changes.clear()
    with pytest.raises(program.RefusedError, match="what is tiered there would be lost"):
        run(variables(address, STORE_ENDPOINT="https://elsewhere.example.com"))
    assert not cluster.changes


def test_it_waits_for_a_cluster_that_is_busy_and_logs_in_again(weka: tuple[Weka, str]) -> None:
    cluster, address = weka
    cluster.busy, cluster.calls_until_expiry = 2, 2
    assert run(variables(address), patience=5)[-1] == "file system llm-prod-data: made, tiered to weights"
    assert cluster.tokens == 2


def test_a_silent_address_is_passed_over_and_a_silent_cluster_named(weka: tuple[Weka, str]) -> None:
    _, address = weka
    assert run(variables(f"127.0.0.1:9, {address}"))[-1] == "file system llm-prod-data: made, tiered to weights"
    with pytest.raises(program.SilentError, match=r"no answer from http://127\.0\.0\.1:9/api/v2: "):
        run(variables("127.0.0.1:9"))


def test_a_wrong_password_is_said_at_once_and_not_shown(weka: tuple[Weka, str]) -> None:
    _, address = weka
    with pytest.raises(program.RefusedError, match="HTTP 401 wrong password") as refused:
        run(variables(address, WEKA_PASSWORD="hunter2"))
    assert "hunter2" not in str(refused.value)


def test_an_account_that_may_not_is_no_expired_token(weka: tuple[Weka, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It would log in for ever."""
    cluster, address = weka

    def answer(_method: str, path: str, *_: Any) -> tuple[int, Any]:
        cluster.tokens += path == "login"
        is_login = path == "login" and cluster.tokens < 20
        return (200, {"data": {"access_token": "t"}}) if is_login else (401, {"message": "not authorized"})

    monkeypatch.setattr(cluster, "answer", answer)
    with pytest.raises(program.RefusedError, match="HTTP 401 not authorized"):
        run(variables(address))
    assert cluster.tokens == 2


@pytest.mark.parametrize("answered", [None, [], {"data": None}, {"data": {}}])
def test_a_login_that_brings_no_token_is_no_answer(
    weka: tuple[Weka, str], monkeypatch: pytest.MonkeyPatch, answered: Any
) -> None:
    cluster, address = weka
    monkeypatch.setattr(cluster, "answer", lambda *_: (200, answered))
    with pytest.raises(program.SilentError, match="no answer from"):
        run(variables(address))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"WEKA_ENDPOINTS": " , "}, "names no address"),
        ({"STORE_ENDPOINT": "s3.example.com"}, "has no endpoint that begins with https://"),
    ],
)
def test_settings_that_can_not_be_are_named(changed: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        program.read_settings({**variables("127.0.0.1:9"), **changed})


def test_it_ends_with_one_line_and_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in variables(" ").items():
        monkeypatch.setenv(name, value)
    assert program.main() == 1
    assert capsys.readouterr().err == "WEKA_ENDPOINTS names no address\n"
    monkeypatch.delenv("WEKA_USER")
    monkeypatch.setenv("WEKA_ENDPOINTS", "127.0.0.1:9")
    assert program.main() == 1
    assert "'WEKA_USER' is missing" in capsys.readouterr().err


def test_a_certificate_is_checked_where_the_cluster_has_one_to_check_by() -> None:
    checked = program.read_settings(variables("127.0.0.1:9", WEKA_CA="no certificate"))
    with pytest.raises((ssl.SSLError, ValueError)):
        program.Rest(checked)
