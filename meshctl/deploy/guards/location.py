"""Checks that an environment on AWS is still in the region and account that its state recorded. EDGE (asks STS).

Called by `runs` before anything is changed. With credentials of another account, or in another region, every
resource of the state would read as "not found", and a run would take that for "deleted". So both are refused before
the engine starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from botocore.config import Config

from meshctl.clients.aws import aws_errors
from meshctl.clients.aws.aws_errors import AwsRequest
from meshctl.clients.aws.aws_session import aws_session
from meshctl.errors import CredentialsError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import AWS_PACKAGE, RECORD_SET
from meshctl.model.stack_state import Resource, StackState

_PROVIDER = f"pulumi:providers:{AWS_PACKAGE}"
_ACCOUNT = re.compile(r"arn:aws[\w-]*:[\w-]*:[\w-]*:(\d{12}):")


@dataclass(frozen=True)
class Location:
    """`account` is empty when no resource in the state carries it, as in a state with buckets alone."""

    region: str
    profile: str
    account: str


def recorded_location(state: StackState) -> Location | None:
    """The region, profile and account in which the resources of a state were made; None when none is on AWS."""
    # the zone in which certificates are proven may be another account's
    for provider in state.used_providers(_PROVIDER, besides=(RECORD_SET,)):
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
            match = _ACCOUNT.match(value) if isinstance(value, str) else None
            if match is not None:
                return match[1]
    return ""


def refuse_other_region(environment: str, recorded: Location | None, region: str) -> None:
    """Raises: UsageError when the environment is up in another region."""
    if recorded is None or not recorded.region or recorded.region == region:
        return
    raise UsageError(
        f"{environment} is up in {recorded.region} and can't be moved to {region} by changing its region",
        why="AWS resources can't change their region: everything in the old one, data included, would be left behind",
        hint=f"add an environment for {region} and run `meshctl migrate {environment} NEW`, or run `meshctl destroy"
        f" {environment}` (it deletes in {recorded.region}, whatever the file says) and `meshctl up {environment}`",
    )


def refuse_other_account(environment: str, expected: set[str], account: str, profile: str) -> None:
    """`expected` holds the accounts that the state and environments.yaml name; "" stands for none.

    Raises: UsageError when `account`, that of the credentials, differs from one of them.
    """
    other_accounts = sorted(expected - {account, ""})
    if not other_accounts:
        return
    whose = f'the AWS profile "{profile}"' if profile else "the default credentials"
    raise UsageError(
        f"{environment} is in the AWS account {other_accounts[0]}, but the credentials are of the account {account}",
        why=f"with {whose} everything of the environment would look deleted; nothing was changed",
        hint="name a profile of the right account in environments.yaml, or set AWS_PROFILE",
    )


def check_up(deployment: Deployment, state: StackState, account: str) -> None:
    """Check region and account before a preview or an `up` on AWS. `account`: as in environments.yaml, or empty.

    Raises: UsageError when the state is of another region, or the credentials are of another account;
    CredentialsError, UnreachableError when the account of the credentials can't be read.
    """
    recorded = recorded_location(state)
    refuse_other_region(deployment.environment, recorded, deployment.region)
    expected = {recorded.account if recorded else "", account} - {""}
    if expected:
        caller = caller_account(deployment.region, deployment.profile)
        refuse_other_account(deployment.environment, expected, caller, deployment.profile)


def check_destroy(environment: str, state: StackState) -> None:
    """Check the account before everything in a state is deleted, with the region and profile that the state recorded.

    Raises: as `check_up`.
    """
    recorded = recorded_location(state)
    if recorded is not None and recorded.account:
        caller = caller_account(recorded.region, recorded.profile)
        refuse_other_account(environment, {recorded.account}, caller, recorded.profile)


def caller_account(region: str, profile: str) -> str:
    """The account of the credentials that the AWS SDK resolves for a profile, request from STS.

    Raises: CredentialsError, UnreachableError, BusyError.
    """
    hint = "`aws sts get-caller-identity` must work; then run the command again"
    request = AwsRequest("AWS STS", profile, hint, denied=CredentialsError, failure=CredentialsError)
    config = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
    with aws_errors.translate_errors(request):
        sts: Any = aws_session(profile, region).create_client("sts", config=config)
        return str(sts.get_caller_identity()["Account"])
