"""A 401 of an API server: keys that are worth nothing, or a principal without an access entry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError

from meshctl.clients.aws import token_caller
from meshctl.clients.kubernetes.cluster_access import ClusterAccess, translate_errors
from meshctl.errors import CredentialsError
from meshwire.kubernetes.errors import ApiError


class Sts:
    def __init__(self, arn: str) -> None:
        self.arn = arn

    def create_client(self, name: str, config: Any) -> Sts:
        return self

    def get_caller_identity(self) -> dict[str, str]:
        if not self.arn:
            raise NoCredentialsError
        return {"Arn": self.arn}


def kubeconfig(*arguments: str) -> str:
    named = [{"name": "east", "context": {"cluster": "east", "user": "east"}}]
    user = {"name": "east", "user": {"exec": {"command": "meshctl", "args": list(arguments)}}}
    cluster = {"name": "east", "cluster": {"server": "https://127.0.0.1:1"}}
    return json.dumps({"clusters": [cluster], "contexts": named, "users": [user], "current-context": "east"})


def refusal(monkeypatch: pytest.MonkeyPatch, arn: str, *arguments: str) -> CredentialsError:
    monkeypatch.setattr(token_caller, "aws_session", lambda _profile, _region: Sts(arn))
    access = ClusterAccess("east", kubeconfig(*arguments))
    with pytest.raises(CredentialsError) as error, translate_errors(access.name, access):
        raise ApiError(401, "Unauthorized", reason="Unauthorized")
    return error.value


TOKEN = ("eks-token", "--cluster-name", "mesh-east", "--region", "us-east-1")


def test_who_has_no_access_entry_is_named_as_an_entry_would(monkeypatch: pytest.MonkeyPatch) -> None:
    """finding A2"""
    error = refusal(monkeypatch, "arn:aws:sts::123456789012:assumed-role/ci/run-1", *TOKEN)
    assert str(error) == "east: no access entry for arn:aws:iam::123456789012:role/ci in the cluster mesh-east"
    assert "`kubernetes.admins`" in error.hint
    assert "renew" not in error.hint


def test_keys_that_are_worth_nothing_are_to_be_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "renew the credentials" in refusal(monkeypatch, "", *TOKEN).hint


def test_tokens_of_another_program_are_not_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "renew the credentials" in refusal(monkeypatch, "arn:aws:iam::1:user/x", "get-token").hint


def test_a_user_is_the_principal_itself() -> None:
    assert token_caller.principal("arn:aws:iam::123456789012:user/x") == "arn:aws:iam::123456789012:user/x"
