"""Where the values of secrets come from, and which are refused before anything is made, without a word of them."""

from __future__ import annotations

import json
import traceback
from pathlib import Path

import pytest

from meshctl.deploy.secrets import secret_values
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments, SecretSource
from meshctl.model.neural_mesh import WekaOrganization
from tests.unit.deployments import deployment
from tests.unit.weka_mesh import neural_mesh

PLANTED = b"planted-9c1e"
USABLE = json.dumps({"auths": {"ghcr.io": {"auth": "dTpw"}}})


def environments(file: Path | None = None) -> Environments:
    return Environments.model_validate(
        {
            "apiVersion": "meshctl/v1",
            "kind": "Environments",
            "environments": {"e": {"provider": "kubernetes"}},
            "secrets": {"ghcr": {"env": "GHCR"}, "token": {"file": str(file)} if file else {"env": "TOKEN"}},
        }
    )


def private() -> Deployment:
    made = deployment()
    workloads = tuple(w.model_copy(update={"image_pull_secrets": ("ghcr",)}) for w in made.workloads)
    return made.model_copy(update={"workloads": workloads})


def with_secrets(**secrets: str) -> Deployment:
    made = deployment()
    return made.model_copy(update={"workloads": (made.workload("chat").model_copy(update={"secrets": secrets}),)})


def refusal(given: Environments, **secrets: str) -> UsageError:
    with pytest.raises(UsageError) as refused:
        secret_values.collect(with_secrets(**secrets or {"TOKEN": "token"}), given)
    told = "".join(traceback.format_exception(refused.value)) + refused.value.what + refused.value.why
    assert PLANTED.decode() not in told
    assert refused.value.hint
    return refused.value


def test_a_registry_is_opened_by_a_docker_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHCR", USABLE)
    assert secret_values.collect(private(), environments()) == {"secret.ghcr": USABLE}


@pytest.mark.parametrize("value", ["token", "[]", '{"auths": {}}', '{"auths": {"ghcr.io": {}}, "credsStore": "x"}'])
def test_what_opens_no_registry_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GHCR", value)
    with pytest.raises(UsageError, match="ghcr has no registry credentials"):
        secret_values.collect(private(), environments())


def test_a_line_end_at_the_end_of_a_file_is_no_part_of_the_value(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_bytes(PLANTED + b"\r\n")
    assert secret_values.collect(with_secrets(TOKEN="token"), environments(file)) == {"secret.token": PLANTED.decode()}


@pytest.mark.parametrize("content", [PLANTED + b"\xff\xfe", b"\xff" + PLANTED, PLANTED + b"\0x"])
def test_bytes_that_are_no_text_are_refused_and_never_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    assert f"token ({file} is not UTF-8 text" in refusal(environments(file)).what


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n"])
def test_an_empty_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    monkeypatch.setenv("TOKEN", content.decode())
    assert f"token ({file} is empty)" in refusal(environments(file)).what
    assert "token ($TOKEN is empty)" in refusal(environments()).what


def test_what_is_no_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"token ({tmp_path} is a directory)" in refusal(environments(tmp_path)).what
    assert f"token ({tmp_path}/none does not exist)" in refusal(environments(tmp_path / "none")).what
    monkeypatch.delenv("TOKEN", raising=False)
    assert "token ($TOKEN is not set)" in refusal(environments()).what


def test_all_that_is_wrong_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GHCR", raising=False)
    refused = refusal(environments(tmp_path), TOKEN="token", REGISTRY="ghcr")
    assert refused.what == f"no value for the secrets ghcr ($GHCR is not set), token ({tmp_path} is a directory)"


def test_a_value_that_was_pasted_as_its_variable_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOKEN", raising=False)
    given = environments().model_copy(update={"secrets": {"token": SecretSource(env=PLANTED.decode())}})
    assert refusal(given).what == "no value for the secret token (the variable of secrets.token.env is not set)"


def test_a_value_that_linux_takes_as_a_variable_and_one_that_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x" * (131071 - len("TOKEN=")))
    assert "secret.token" in secret_values.collect(with_secrets(TOKEN="token"), environments())
    refused = refusal(environments(), TOKENS="token")
    assert refused.what == "the secret token is too long for a variable of chat"
    assert refused.why == "TOKENS=… has 131,072 bytes; Linux starts no program with more than 131,071"


def test_all_values_of_a_workload_fit_into_one_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "x" * (131071 - len("TOKEN_0=")))
    secret_values.collect(with_secrets(**{f"TOKEN_{number}": "token" for number in range(8)}), environments())
    refused = refusal(environments(), **{f"TOKEN_{number}": "token" for number in range(9)})
    assert refused.what == "the secrets of chat are too long"


def test_a_file_holds_a_secret_that_is_too_long_for_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def with_files(count: int) -> Deployment:
        made = with_secrets()
        files = {f"/run/secrets/{number}": "token" for number in range(count)}
        return made.model_copy(
            update={"workloads": (made.workload("chat").model_copy(update={"secret_files": files}),)}
        )

    monkeypatch.setenv("TOKEN", "x" * 131072)
    assert "`secrets: {/run/secrets/token: token}`" in refusal(environments(), TOKEN="token").hint
    assert len(secret_values.collect(with_files(8), environments())["secret.token"]) == 131072
    with pytest.raises(UsageError, match="the secrets of chat are too long"):
        secret_values.collect(with_files(9), environments())


def test_secrets_of_a_neuralmesh_are_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    made = deployment(neural_mesh=neural_mesh(image_pull_secret="ghcr", licence_secret="weka-licence"))
    monkeypatch.setenv("GHCR", USABLE)
    with pytest.raises(UsageError, match="no value for the secret weka-licence"):
        secret_values.collect(made, environments())
    monkeypatch.setenv("MESHCTL_SECRET_WEKA_LICENCE", "signed")
    assert secret_values.collect(made, environments()) == {"secret.ghcr": USABLE, "secret.weka-licence": "signed"}
    monkeypatch.setenv("GHCR", "no configuration")
    with pytest.raises(UsageError, match="ghcr has no registry credentials"):
        secret_values.collect(made, environments())


@pytest.mark.parametrize("password", ["Short-1", "no-upper-case-1", "NO-LOWER-CASE-1", "OnlyLetters"])
def test_a_password_that_weka_would_refuse_is_refused_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    organization = WekaOrganization(name="research", admin_secret="weka-admin", driver_secret="weka-driver")
    made = deployment(neural_mesh=neural_mesh(organization=organization, image_pull_secret=""))
    monkeypatch.setenv("MESHCTL_SECRET_WEKA_ADMIN", "Good-enough")
    monkeypatch.setenv("MESHCTL_SECRET_WEKA_DRIVER", "Good-enough-2")
    assert secret_values.collect(made, environments())["secret.weka-driver"] == "Good-enough-2"
    monkeypatch.setenv("MESHCTL_SECRET_WEKA_DRIVER", password)
    with pytest.raises(UsageError, match="WEKA takes no such password as that of the secret weka-driver") as refused:
        secret_values.collect(made, environments())
    assert password not in f"{refused.value.what} {refused.value.why} {refused.value.hint}"
