"""How long the AWS credentials of a profile last, where nobody renews them meanwhile. EDGE (the environment, files).

Called by `meshctl.deploy.guards.preflight` and `meshctl.diagnosis`. Credentials of SSO, roles and programs are renewed
by the SDK; keys of a session that were exported, or written into a file, end.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import botocore.exceptions
import botocore.utils
from botocore.credentials import RefreshableCredentials

from meshctl.clients.aws.aws_session import aws_session

_END: Final = "AWS_CREDENTIAL_EXPIRATION"


@dataclass(frozen=True)
class RemainingLife:
    """`is_session`: keys of a session that nobody renews. `minutes`: until they end; None where they don't say."""

    is_session: bool = False
    minutes: int | None = None

    def words(self) -> str:
        """`the AWS credentials expire in 30 minutes`."""
        if self.minutes is None:
            return "the AWS credentials are temporary, and do not say when they expire"
        return f"the AWS credentials expire in {max(self.minutes, 0)} minutes"


def remaining_life(profile: str) -> RemainingLife:
    """Without credentials, nothing: who needs them fails by itself."""
    try:
        credentials = aws_session(profile, "").get_credentials()
    except (botocore.exceptions.BotoCoreError, RuntimeError):
        return RemainingLife()
    return of_credentials(credentials)


def of_credentials(credentials: Any) -> RemainingLife:
    """`credentials`: as the SDK found them."""
    if credentials is None:
        return RemainingLife()
    if credentials.method == "env" and os.environ.get(_END):
        return RemainingLife(is_session=True, minutes=_minutes_until(os.environ[_END]))
    is_renewed = isinstance(credentials, RefreshableCredentials)
    return RemainingLife(is_session=not is_renewed and bool(getattr(credentials, "token", None)))


def _minutes_until(moment: str) -> int | None:
    try:
        end = botocore.utils.parse_timestamp(moment)
    except ValueError:
        return None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return int((end - datetime.now(UTC)).total_seconds() // 60)
