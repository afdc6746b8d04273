"""The token of a credential program: made once for all requests, made anew when it runs out or is refused."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest
from lightkube.config.models import NameValue, UserExec
from lightkube.core.exceptions import ConfigError

from meshctl.clients import exec_token
from meshctl.clients.exec_token import ExecToken, WithToken

PROGRAM = """\
import json, os, sys
with open(sys.argv[1], "a") as runs:
    runs.write("x")
asked = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
count = os.path.getsize(sys.argv[1])
status = {"token": f"{os.environ['WHO']}-{count}"}
if len(sys.argv) > 2:
    status["expirationTimestamp"] = sys.argv[2]
print(json.dumps({"apiVersion": asked["apiVersion"], "kind": "ExecCredential", "status": status}))
"""


def plugin(folder: Path, *arguments: str) -> UserExec:
    (folder / "program.py").write_text(PROGRAM)
    return UserExec(
        apiVersion="client.authentication.k8s.io/v1",
        command=sys.executable,
        args=[str(folder / "program.py"), str(folder / "runs"), *arguments],
        env=[NameValue(name="WHO", value="ann")],
    )


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


def get(token: ExecToken, server: httpx2.MockTransport) -> httpx2.Response:
    with httpx2.Client(transport=WithToken(server, token), base_url="https://cluster") as client:
        return client.get("/api")


def test_clients_that_ask_at_once_run_the_program_once(tmp_path: Path) -> None:
    def server(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text=request.headers["Authorization"])

    program = plugin(tmp_path)

    def ask(_: int) -> str:
        return get(exec_token.shared(program), httpx2.MockTransport(server)).text

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {"Bearer ann-1"}
    assert runs(tmp_path) == 1


def test_a_refused_token_is_made_anew_once(tmp_path: Path) -> None:
    seen: list[str] = []

    def server(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["Authorization"])
        return httpx2.Response(200 if seen[-1] == "Bearer ann-2" else 401)

    token = ExecToken(plugin(tmp_path))
    assert get(token, httpx2.MockTransport(server)).status_code == 200
    assert seen == ["Bearer ann-1", "Bearer ann-2"]
    refusing = httpx2.MockTransport(lambda _: httpx2.Response(401))
    assert get(token, refusing).status_code == 401
    assert runs(tmp_path) == 3


def test_a_token_that_has_run_out_is_made_anew(tmp_path: Path) -> None:
    token = ExecToken(plugin(tmp_path, "2020-01-01T00:00:00Z"))
    assert [token.token(), token.token()] == ["ann-1", "ann-2"]
    lasting = ExecToken(plugin(tmp_path, "2999-01-01T00:00:00Z"))
    assert [lasting.token(), lasting.token()] == ["ann-3", "ann-3"]


def test_another_environment_is_another_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exec_token.shared(plugin(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert exec_token.shared(plugin(tmp_path)) is not first


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("/no/such/program", [], "credential program /no/such/program: "),
        (sys.executable, ["-c", "import sys; sys.exit('log in first')"], "ended with 1: log in first"),
        (sys.executable, ["-c", "print('{}')"], "gave no token"),
        (sys.executable, ["-c", f"print({json.dumps(json.dumps({'status': []}))})"], "gave no token"),
    ],
)
def test_a_program_that_fails_is_named(command: str, arguments: list[str], message: str) -> None:
    failing = UserExec(apiVersion="client.authentication.k8s.io/v1", command=command, args=arguments)
    with pytest.raises(ConfigError, match=message):
        ExecToken(failing).token()
