"""Secrets that are given by variable reach the cluster, and no program that meshctl starts."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from meshctl import load, program_variables, secret_variables
from meshctl.cli.context import Context
from meshctl.deploy.secrets import secret_values
from meshctl.deploy.session import Session
from meshctl.engine import workspace
from meshctl.model.environment import Environments
from tests.command_line import meshctl
from tests.unit.deployments import deployment

PLANTED = "planted-4f1d"
ENVIRONMENTS = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "environments": {"e": {"provider": "kubernetes", "kubernetes": {"kubeconfig": "config"}}},
    "secrets": {"token": {"env": "HF_TOKEN"}, "keys": {"env": "AWS_SECRET_ACCESS_KEY"}},
}
MESH = """
apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {p: {nodes: 1}}
workloads:
  w: {kind: service, pool: p, image: a/b:1, secrets: {A: token, B: other}, imagePullSecrets: [registry]}
"""


def test_a_session_takes_them_out_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"HF_TOKEN": PLANTED, "MESHCTL_SECRET_OTHER": PLANTED, "AWS_SECRET_ACCESS_KEY": "read by the SDK", "X": "x"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environments = Environments.model_validate(ENVIRONMENTS)
    Session(tmp_path, "m", environments)
    assert PLANTED not in os.environ.values()
    assert (os.environ["AWS_SECRET_ACCESS_KEY"], os.environ["X"]) == ("read by the SDK", "x")
    secrets = {"A": "token", "B": "other", "C": "keys"}
    workload = deployment().workload("chat").model_copy(update={"secrets": secrets})
    made = deployment().model_copy(update={"workloads": (workload,), "object_stores": ()})
    values = {"secret.token": PLANTED, "secret.other": PLANTED, "secret.keys": "read by the SDK"}
    assert secret_values.collect(made, environments) == values
    Session(tmp_path, "m", environments)  # a second one of the same process
    assert secret_values.collect(made, environments) == values


def test_what_is_set_now_counts_and_what_is_not_set_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESHCTL_SECRET_OTHER", "old")
    secret_variables.withdraw(())
    monkeypatch.setenv("MESHCTL_SECRET_OTHER", "new")
    assert secret_variables.value("MESHCTL_SECRET_OTHER") == b"new"
    assert secret_variables.value("MESHCTL_SECRET_NONE") is None
    assert secret_variables.value("") is None


@pytest.mark.parametrize(
    "name",
    ["GOOGLE_API_KEY", "AZURE_OPENAI_API_KEY", "KUBEFLOW_TOKEN", "SSH_KEY", "LC_KEY", "AWS_BEDROCK_TOKEN", "VAULT_X"],
)
def test_a_name_that_only_begins_like_one_of_an_sdk_is_withdrawn(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, PLANTED)
    secret_variables.withdraw((name,))
    assert name not in os.environ
    assert secret_variables.value(name) == PLANTED.encode()


@pytest.mark.parametrize(
    "name",
    [
        *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "GOOGLE_APPLICATION_CREDENTIALS"),
        *("AZURE_STORAGE_KEY", "AZURE_CLIENT_SECRET", "KUBECONFIG", "PULUMI_ACCESS_TOKEN", "VAULT_TOKEN"),
        *("SSH_AUTH_SOCK", "LC_ALL", "HTTPS_PROXY", "https_proxy"),
    ],
)
def test_what_programs_read_for_themselves_stays(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "read by a program")
    secret_variables.withdraw((name,))
    assert os.environ[name] == "read by a program"


def test_the_docs_name_every_variable_that_stays() -> None:
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
    assert [name for name in program_variables.NAMES if f"`{name}`" not in page] == []


@pytest.mark.parametrize("command", [("plan", "e"), ("status", "e"), ("up", "e", "--yes")])
def test_a_credential_program_does_not_inherit_them(tmp_path: Path, command: tuple[str, ...]) -> None:
    program = "import os, sys; open('seen', 'a').write(repr(dict(os.environ))); sys.exit(1)"
    run = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", program]}
    config = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "c", "user": {"exec": run}}],
    }
    for name, document in (("config", config), ("environments.yaml", ENVIRONMENTS)):
        (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "mesh.yaml").write_text(MESH)
    names = (
        "HF_TOKEN",
        "PULUMI_CONFIG_PASSPHRASE",
        "MESHCTL_SECRET_OTHER",
        "MESHCTL_SECRET_REGISTRY",
        "MESHCTL_SECRET_UNUSED",
    )
    done = meshctl(*command, folder=tmp_path, variables={**dict.fromkeys(names, PLANTED), "SEEN": "yes"})
    assert "internal error" not in done.stderr
    assert PLANTED not in done.stdout + done.stderr
    if command[0] != "status":  # which asks the state first, and nothing was up
        seen = (tmp_path / "seen").read_text()
        assert "'SEEN': 'yes'" in seen
        assert PLANTED not in seen


def test_the_passphrase_goes_to_pulumi_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", PLANTED)
    monkeypatch.setenv("PULUMI_ACCESS_TOKEN", "read by Pulumi")
    secret_variables.withdraw((secret_variables.PASSPHRASE,))
    assert "PULUMI_CONFIG_PASSPHRASE" not in os.environ
    assert os.environ["PULUMI_ACCESS_TOKEN"]
    backend = workspace.Backend(f"file://{tmp_path}/state", "passphrase", tmp_path)
    opened = workspace.open_stack(backend, "m", "e", lambda: None, workspace.pulumi_program())
    assert opened.workspace.env_vars["PULUMI_CONFIG_PASSPHRASE"] == PLANTED
    assert not list(tmp_path.rglob("passphrase"))


@pytest.mark.parametrize("text", [None, "[]", "secrets: 7", "secrets: {a: 7, b: {env: 7}, c: {file: x}}", "{"])
def test_a_file_that_names_none_or_is_none_withholds_none(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "environments.yaml"
    if text is not None:
        file.write_text(text)
    assert load.secret_variables(file) == ()


@pytest.mark.parametrize("broken", [False, True])
def test_programs_of_commands_without_a_mesh_do_not_inherit_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    mistake = {"environments": 7} if broken else {}
    (tmp_path / "environments.yaml").write_text(json.dumps({**ENVIRONMENTS, **mistake}))
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    Context(tmp_path / "mesh.yaml", tmp_path / "environments.yaml").withhold_secrets()
    assert "HF_TOKEN" not in os.environ
