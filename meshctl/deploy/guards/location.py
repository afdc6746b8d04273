"""Where an environment on AWS is: region and account as its state has them, and as the credentials at hand say. EDGE.

Called by `session` before anything is changed. Elsewhere the objects of a state read as "not found", which a run would
take for "deleted": another region or account must be refused before the engine starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore.config import Config

from meshctl.clients import aws_errors
from meshctl.clients.aws_errors import Asked
from meshctl.clients.aws_session import aws_session
from meshctl.errors import CredentialsError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import AWS_PACKAGE
from meshctl.model.stack_state import Resource, StackState

_PROVIDER = f"pulumi:providers:{AWS_PACKAGE}"
_ACCOUNT = re.compile(r"arn:aws[\w-]*:[\w-]*:[\w-]*:(\d{12}):")


@dataclass(frozen=True)
class Location:
    """`account` is empty while nothing in the state tells it (a state of buckets alone)."""

    region: str
    profile: str
    account: str


def saved(state: StackState) -> Location | None:
    """Where the resources of a state were made; None where none is on AWS."""
    for provider in state.used_providers(_PROVIDER):
        inputs = provider.inputs
        if not inputs.get("endpointUrl"):
            region, profile = str(inputs.get("region") or ""), str(inputs.get("profile") or "")
            return Location(region, profile, _account(state.resources))
    return None


def _account(resources: Iterable[Resource]) -> str:
    for resource in resources:
        outputs = resource.outputs
        if not resource.type.startswith(f"{AWS_PACKAGE}:"):
            continue
        if re.fullmatch(r"\d{12}", str(outputs.get("OwnerId", ""))):
            return str(outputs["OwnerId"])
        for value in outputs.values():
            found = _ACCOUNT.match(value) if isinstance(value, str) else None
            if found is not None:
                return found[1]
    return ""


def refuse_other_region(environment: str, there: Location | None, region: str) -> None:
    """Raises: UsageError when the environment is up in another region."""
    if there is None or not there.region or there.region == region:
        return
    raise UsageError(
        f"{environment} is up in {there.region} and can't become {region}",
        why="what runs in one region can't be changed into another's: it would be left behind, data and all",
        hint=f"add an environment for {region} and `meshctl migrate {environment} NEW`, or `meshctl destroy"
        f" {environment}` (it deletes in {there.region}, whatever the file says) and `up` again",
    )


def refuse_other_account(environment: str, expected: set[str], account: str, profile: str) -> None:
    """`expected` holds the accounts that the state and environments.yaml name. Raises: UsageError for another one."""
    others = sorted(expected - {account, ""})
    if not others:
        return
    whose = f'the AWS profile "{profile}"' if profile else "the default credentials"
    raise UsageError(
        f"{environment} is in the AWS account {others[0]}, and these are credentials of {account}",
        why=f"{whose} would find nothing of it there, which looks like deleted; nothing was changed",
        hint="name a profile of the right account in environments.yaml, or set AWS_PROFILE",
    )


def check_up(deployment: Deployment, state: StackState, account: str) -> None:
    """Before a preview or an `up` on AWS. `account`: the one that environments.yaml names, or empty.

    Raises: UsageError when the state is of another region, or the credentials are of another account;
    CredentialsError, UnreachableError when that can't be told.
    """
    there = saved(state)
    refuse_other_region(deployment.environment, there, deployment.region)
    expected = {there.account if there else "", account} - {""}
    if expected:
        caller = caller_account(deployment.region, deployment.profile)
        refuse_other_account(deployment.environment, expected, caller, deployment.profile)


def check_destroy(environment: str, state: StackState) -> None:
    """Before everything of a state is deleted, with the region and profile that it was made with. Raises: as
    `check_up`."""
    there = saved(state)
    if there is not None and there.account:
        caller = caller_account(there.region, there.profile)
        refuse_other_account(environment, {there.account}, caller, there.profile)


def caller_account(region: str, profile: str) -> str:
    """The account of the credentials that the AWS SDK finds for a profile, as STS says.

    Raises: CredentialsError, UnreachableError, BusyError.
    """
    hint = "`aws sts get-caller-identity` must work; then run the command again"
    asked = Asked("AWS STS", profile, hint, denied=CredentialsError, failure=CredentialsError)
    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
    with aws_errors.named(asked):
        sts: Any = aws_session(profile, region).create_client("sts", config=config)
        return str(sts.get_caller_identity()["Account"])
