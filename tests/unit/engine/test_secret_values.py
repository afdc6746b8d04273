"""Where the values of secrets come from, and which are refused before anything is made."""

from __future__ import annotations

import json

import pytest

from meshctl.engine import secret_values
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from tests.unit.deployments import deployment

ENVIRONMENTS = Environments.model_validate(
    {
        "apiVersion": "meshctl/v1",
        "kind": "Environments",
        "environments": {"e": {"provider": "kubernetes"}},
        "secrets": {"ghcr": {"env": "GHCR"}},
    }
)
USABLE = json.dumps({"auths": {"ghcr.io": {"auth": "dTpw"}}})


def private() -> Deployment:
    made = deployment()
    workloads = tuple(w.model_copy(update={"image_pull_secrets": ("ghcr",)}) for w in made.workloads)
    return made.model_copy(update={"workloads": workloads})


def test_a_registry_is_opened_by_a_docker_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GHCR", USABLE)
    assert secret_values.collect(private(), ENVIRONMENTS) == {"secret.ghcr": USABLE}


@pytest.mark.parametrize("value", ["", "token", "[]", '{"auths": {}}', '{"auths": {"ghcr.io": {}}, "credsStore": "x"}'])
def test_what_opens_no_registry_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GHCR", value)
    with pytest.raises(UsageError, match="ghcr opens no registry"):
        secret_values.collect(private(), ENVIRONMENTS)


def test_a_missing_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GHCR", raising=False)
    with pytest.raises(UsageError, match="ghcr"):
        secret_values.collect(private(), ENVIRONMENTS)
