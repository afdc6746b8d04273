"""Who the tokens of a kubeconfig are for, where `meshctl eks-token` makes them: asked of STS. EDGE.

Called by `cluster_access` when an API server answers 401, which says no more. STS tells keys that are worth nothing
from a principal that the cluster does not let in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import botocore.exceptions
from botocore.config import Config

from meshctl.clients.aws.aws_session import aws_session
from meshwire import kubeconfig
from meshwire.kubeconfig import KubeconfigError

_CONFIG: Final = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass(frozen=True)
class TokenCaller:
    """`arn`: as an access entry names the principal. `cluster`: the name that its tokens are made for."""

    arn: str
    cluster: str


def token_caller(kubeconfig_place: str, context: str) -> TokenCaller | None:
    """None where another program makes the tokens, and where STS does not accept the credentials either."""
    try:
        user = kubeconfig.choose(kubeconfig_place, context=context).user.values
        options = token_options((user.get("exec") or {}).get("args") or ())
        if options is None:
            return None
        session = aws_session(options.get("--profile", ""), options.get("--region", ""))
        sts: Any = session.create_client("sts", config=_CONFIG)
        return TokenCaller(principal(str(sts.get_caller_identity()["Arn"])), options.get("--cluster-name", ""))
    except (KubeconfigError, RuntimeError, botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return None


def makes_tokens(kubeconfig_place: str, context: str) -> bool:
    """Whether `meshctl eks-token` makes the tokens of a kubeconfig."""
    try:
        user = kubeconfig.choose(kubeconfig_place, context=context).user.values
    except KubeconfigError:
        return False
    return token_options((user.get("exec") or {}).get("args") or ()) is not None


def token_options(arguments: Sequence[str]) -> Mapping[str, str] | None:
    """The options of `meshctl eks-token`; None for another command."""
    if not arguments or arguments[0] != "eks-token":
        return None
    return dict(zip(arguments[1::2], arguments[2::2], strict=False))


def principal(arn: str) -> str:
    """The principal as an access entry has it: of the session of a role, the role. STS leaves out a role's path."""
    start, is_session, rest = arn.partition(":assumed-role/")
    if not is_session:
        return arn
    return f"{start.replace(':sts:', ':iam:')}:role/{rest.split('/')[0]}"
