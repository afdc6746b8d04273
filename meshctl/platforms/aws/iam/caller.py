"""Whose the AWS credentials are, as IAM and EKS name principals: what AWS is asked, and what its answers say. PURE.

Called by `access` and `rights`. STS names the session of a role without the role's path, which belongs to its ARN: so
the role is asked for, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from meshctl.model.questions import ApiAnswer, ApiQuestion

CALLER: Final = "caller"
ROLE: Final = "caller-role"
# "GetCallerIdentity", STS API reference, and "IAM identifiers", IAM user guide
_ARN: Final = re.compile(
    r"(?P<start>arn:[a-z-]+):(?:sts|iam)::(?P<account>\d{12}):(?P<kind>root|user|assumed-role|federated-user)/?(?P<rest>.*)"
)

Kind = Literal["user", "role", "root", "federated-user"]


@dataclass(frozen=True)
class Caller:
    """`arn`: of the principal, with its path; of the session of a role, the role's. `has_path`: whether AWS said so; of
    a role whose `arn` it did not say, the path is missing."""

    arn: str
    kind: Kind
    account: str
    has_path: bool = True

    @property
    def can_be_simulated(self) -> bool:
        """Whether IAM can say what it may do: not of the root user, who has all rights, and not of the sessions of
        federated users, whose policies IAM can't simulate."""
        return self.kind in ("user", "role")

    @property
    def name(self) -> str:
        return self.arn.rpartition("/")[2]


After = Callable[[Caller], tuple[ApiQuestion, ...]]


def question(after: After | None = None) -> ApiQuestion:
    """`after`: what is asked next, once the caller is known."""
    return ApiQuestion(CALLER, "sts", "get_caller_identity", "whose the credentials are", then=partial(_next, after))


def _next(after: After | None, answer: ApiAnswer) -> tuple[ApiQuestion, ...]:
    caller = _of_session(answer)
    if caller is None:
        return ()
    if caller.kind != "role":
        return after(caller) if after else ()
    about = f"the path of the role {caller.name}"
    then = partial(_after_role, after, answer) if after else None
    return (ApiQuestion(ROLE, "iam", "get_role", about, {"RoleName": caller.name}, then=then),)


def _after_role(after: After, identity: ApiAnswer, role: ApiAnswer) -> tuple[ApiQuestion, ...]:
    caller = of_answers({CALLER: identity, ROLE: role})
    return after(caller) if caller is not None else ()


def of_answers(answers: Mapping[str, ApiAnswer]) -> Caller | None:
    """None where AWS did not say it."""
    caller = _of_session(answers.get(CALLER, ApiAnswer()))
    if caller is None or caller.kind != "role":
        return caller
    arn = answers.get(ROLE, ApiAnswer()).content.get("Role", {}).get("Arn", "")
    return Caller(arn, "role", caller.account) if arn else caller


def _of_session(answer: ApiAnswer) -> Caller | None:
    match = _ARN.fullmatch(str(answer.content.get("Arn", "")))
    if match is None:
        return None
    account, rest = match["account"], match["rest"]
    match match["kind"]:
        case "assumed-role":
            return Caller(f"{match['start']}:iam::{account}:role/{rest.split('/')[0]}", "role", account, has_path=False)
        case "root":
            return Caller(answer.content["Arn"], "root", account)
        case "federated-user":
            return Caller(answer.content["Arn"], "federated-user", account)
        case _:
            return Caller(answer.content["Arn"], "user", account)
