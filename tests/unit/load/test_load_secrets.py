"""A secret's value that was pasted where its name belongs is in no diagnostic: those end up in the logs of CI jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.load.test_load_files import ENVIRONMENTS, MESH, problems

TOKEN = "hf_abcDEF0123"
NUMBER = "98765432109"
NAME = "must be the name of a secret, not its value"


def mesh(workload: str) -> str:
    return f"{MESH}workloads:\n  w: {{kind: service, pool: p, image: a/b:1, {workload}}}\n"


@pytest.mark.parametrize("token", [TOKEN, f"'{TOKEN} '", NUMBER, f"!{TOKEN} x", "y" * 40, f"{{a: {TOKEN}}}"])
@pytest.mark.parametrize(
    ("where", "path"),
    [
        ("secrets: {HF_TOKEN: %s}", "workloads.w.secrets.HF_TOKEN: "),
        ("imagePullSecrets: [%s]", "workloads.w.imagePullSecrets.0: "),
    ],
)
def test_a_value_in_a_mesh_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, path: str, token: str
) -> None:
    found = problems(tmp_path, monkeypatch, mesh(where % token))
    assert len(found) == 1
    assert found[0].startswith("mesh.yaml:7:")
    assert path in found[0]
    assert NAME in found[0] or "a tag is not used here" in found[0]
    assert not leaked(found)


@pytest.mark.parametrize("token", [TOKEN, NUMBER, "y" * 40, f"{{a: {TOKEN}}}"])
@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("neuralMesh: {licence: %s}", NAME),
        ("neuralMesh: {imagePullSecret: %s}", NAME),
        ("neuralMesh: {organization: {name: o, adminPassword: %s, driverPassword: d}}", NAME),
        ("neuralMesh: {organization: {name: o, adminPassword: a, driverPassword: %s}}", NAME),
        ("storage: {s: {weka: {endpoints: ['10.0.0.1:14000'], secret: %s}}}", "must be the name of a Secret"),
    ],
)
def test_a_licence_or_a_password_of_storage_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, said: str, token: str
) -> None:
    stored = f"{MESH}storage: {{s: {{kind: filesystem, size: 1TiB, engine: neuralmesh}}}}\n"
    environments = f"{ENVIRONMENTS}  other: {{provider: kubernetes, {where % token}}}\n"
    found = problems(tmp_path, monkeypatch, stored, environments)
    if said != NAME and token == "y" * 40:
        assert found == []  # a name of an object
        return
    assert any(said in line for line in found), found
    assert not leaked(found)


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        (f"secrets: {TOKEN}", "workloads.w.secrets: expected a mapping of environment variables to names of secrets"),
        (f"secrets: [{TOKEN}]", "workloads.w.secrets: expected a mapping"),
        (f"secrets: {{'{TOKEN}-': hf-token}}", "workloads.w.secrets: a key here must be the name of an environment"),
        (f"secrets: {{? {TOKEN}. : a, {TOKEN}. : b}}", "workloads.w.secrets: duplicate key"),
        (f"imagePullSecrets: {TOKEN}", "workloads.w.imagePullSecrets: expected a list of names of secrets"),
        (f"image_pull_secrets: [{TOKEN}]", NAME),
    ],
)
def test_a_value_in_a_place_of_another_shape_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workload: str, said: str
) -> None:
    found = problems(tmp_path, monkeypatch, mesh(workload))
    assert any(said in line for line in found), found
    assert not leaked(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"secrets: {TOKEN}", "secrets: expected a mapping of names of secrets to where they are read"),
        (f"secrets: {{hf-token: {TOKEN}}}", "secrets.hf-token: expected where the value is read, {env: VARIABLE}"),
        (f"secrets: {{hf-token: {NUMBER}}}", "secrets.hf-token: expected where the value is read"),
        (f"secrets: {{hf-token: {{value: {TOKEN}}}}}", "secrets.hf-token: unknown key; expected env or file"),
        (f"secrets: {{hf-token: {{{TOKEN}: x}}}}", "secrets.hf-token: unknown key; expected env or file"),
        ("secrets: {hf-token: {fil: x}}", 'unknown key; expected env or file; did you mean "file"?'),
        (f"secrets: {{{TOKEN}: {{env: HF_TOKEN}}}}", f"secrets: {NAME}"),
        (f"secrets: {{{TOKEN}: {{}}}}", f"secrets: {NAME}"),
        (f"secrets: {{{TOKEN}: {{env: a}}, {TOKEN}: {{env: b}}}}", "secrets: duplicate key"),
        (f"secrets: {{hf-token: {{env: {NUMBER}}}}}", "secrets.hf-token.env: must be the name of an environment"),
        (f"secrets: {{hf-token: {{env: [{TOKEN}]}}}}", "secrets.hf-token.env: must be the name of an environment"),
        (f"secrets: {{hf-token: {{file: {NUMBER}}}}}", "secrets.hf-token.file: must be the path of a file"),
        (f"state: {{secrets: {TOKEN}}}", 'state.secrets: must be "passphrase", or the URL of a key service'),
        (f"state: {{secrets: {NUMBER}}}", 'state.secrets: must be "passphrase", or the URL of a key service'),
    ],
)
def test_a_value_in_environments_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    found = problems(tmp_path, monkeypatch, environments=f"{ENVIRONMENTS}{text}\n")
    assert any(said in line for line in found), found
    assert not leaked(found)


def leaked(found: list[str]) -> list[str]:
    return [line for line in found if TOKEN in line or NUMBER in line or "y" * 40 in line]


def test_a_workload_called_secrets_keeps_its_messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = problems(tmp_path, monkeypatch, mesh("").replace("  w:", "  secrets:").replace("kind: service", "kind: x"))
    assert found[0].endswith(': workloads.secrets.kind: expected one of inference, training, service, batch; got "x"')
    (message,) = problems(tmp_path, monkeypatch, f"{MESH}secrets: {{}}\n")
    assert message.startswith('mesh.yaml:6:1: secrets: unknown key "secrets"; say in environments.yaml where')
