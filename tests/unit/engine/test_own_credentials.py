"""Kubeconfigs that meshctl wrote get their token without a run of the program; all others as before."""

from __future__ import annotations

import pytest

from meshctl import eks_token
from meshctl.deploy import own_credentials
from meshctl.eks_token import Token
from meshctl.errors import CredentialsError
from meshwire.kubernetes import exec_tokens
from meshwire.kubernetes.exec_tokens import ExecToken
from meshwire.kubernetes.target import CredentialProgram

OWN = ("eks-token", "--cluster-name", "c", "--region", "us-east-1")


@pytest.fixture(autouse=True)
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_tokens, "_IN_PROCESS", {})
    monkeypatch.setattr(
        eks_token, "token", lambda *arguments: Token("k8s-aws-v1." + "/".join(arguments), "2999-01-01T00:00:00Z")
    )
    own_credentials.make_in_process()


def program(*arguments: str, command: str = "meshctl", **environment: str) -> CredentialProgram:
    return CredentialProgram(
        api_version="client.authentication.k8s.io/v1",
        command=command,
        arguments=arguments,
        environment=tuple(environment.items()),
    )


@pytest.mark.parametrize(
    ("arguments", "token"),
    [(OWN, "k8s-aws-v1.c/us-east-1/"), ((*OWN, "--profile", "ops"), "k8s-aws-v1.c/us-east-1/ops")],
)
def test_its_own_token_is_made_in_the_process(arguments: tuple[str, ...], token: str) -> None:
    assert ExecToken(program(*arguments)).token() == token


@pytest.mark.parametrize(
    "other",
    [
        program(*OWN, command="/no/such/meshctl"),
        program(*OWN, AWS_PROFILE="ops"),
        program("status"),
        program(*OWN[:3]),
        program(*OWN, "--debug"),
        program(*OWN, "--role", "r"),
    ],
    ids=str,
)
def test_whatever_is_not_what_meshctl_writes_is_run(other: CredentialProgram, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exec_tokens, "_output_of", lambda _: '{"status": {"token": "of the program"}}')
    assert ExecToken(other).token() == "of the program"


def test_its_errors_are_those_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: str) -> Token:
        raise CredentialsError("an EKS token: no valid credentials")

    monkeypatch.setattr(eks_token, "token", refused)
    with pytest.raises(CredentialsError, match="no valid credentials"):
        ExecToken(program(*OWN)).token()
