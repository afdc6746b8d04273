"""The token of a credential program: made once for all requests, made anew when it runs out or is refused."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from meshwire.kubernetes import exec_tokens
from meshwire.kubernetes.client import Client
from meshwire.kubernetes.errors import ApiError, CredentialError
from meshwire.kubernetes.exec_tokens import ExecToken
from meshwire.kubernetes.resources import NODES
from meshwire.kubernetes.target import CredentialProgram, Target, User
from tests.unit.api_server import Answer, Asked, api_server

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


def plugin(folder: Path, *arguments: str) -> CredentialProgram:
    (folder / "program.py").write_text(PROGRAM)
    return CredentialProgram(
        api_version="client.authentication.k8s.io/v1",
        command=sys.executable,
        arguments=(str(folder / "program.py"), str(folder / "runs"), *arguments),
        environment=(("WHO", "ann"),),
    )


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text())


def get(program: CredentialProgram, server: str) -> str:
    """What the server says that it was asked with, by a client of its own."""
    with Client(Target(server, user=User(program=program))) as client:
        return client.get(NODES, "n")["metadata"]["uid"]


def told(asked: Asked) -> Answer:
    return Answer(body={"metadata": {"uid": asked.headers["Authorization"]}})


def test_clients_that_ask_at_once_run_the_program_once(tmp_path: Path) -> None:
    program = plugin(tmp_path)
    with api_server(told) as server, ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: get(program, server.url), range(8))) == {"Bearer ann-1"}
    assert runs(tmp_path) == 1


def test_a_refused_token_is_made_anew_once(tmp_path: Path) -> None:
    def respond(asked: Asked) -> Answer:
        return told(asked) if asked.headers["Authorization"] == "Bearer ann-2" else Answer(401)

    program = plugin(tmp_path)
    with api_server(respond) as server:
        assert get(program, server.url) == "Bearer ann-2"
    assert [asked.headers["Authorization"] for asked in server.asked] == ["Bearer ann-1", "Bearer ann-2"]
    with api_server(lambda _: Answer(401)) as server, pytest.raises(ApiError):
        get(program, server.url)
    assert runs(tmp_path) == 3


def test_a_token_that_has_run_out_is_made_anew(tmp_path: Path) -> None:
    token = ExecToken(plugin(tmp_path, "2020-01-01T00:00:00Z"))
    assert [token.token(), token.token()] == ["ann-1", "ann-2"]
    lasting = ExecToken(plugin(tmp_path, "2999-01-01T00:00:00Z"))
    assert [lasting.token(), lasting.token()] == ["ann-3", "ann-3"]


def test_another_environment_is_another_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = exec_tokens.shared(plugin(tmp_path))
    monkeypatch.setenv("AWS_PROFILE", "other")
    assert exec_tokens.shared(plugin(tmp_path)) is not first


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
    failing = CredentialProgram("client.authentication.k8s.io/v1", command, tuple(arguments))
    with pytest.raises(CredentialError, match=message):
        ExecToken(failing).token()
