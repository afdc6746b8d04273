"""The AWS SDK for one profile and region, and its S3 client. EDGE.

Called by `location`, `endpoint_records`, `object_access` and `meshctl.objects.listing`. botocore alone, which boto3's
clients are too: what boto3 adds (resources, transfers) is not used here, and would make every command start later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import botocore.session
from botocore.config import Config

from meshwire import aws_models


@dataclass(frozen=True)
class Keys:
    """Credentials that were found before, and are handed over."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")


def aws_session(profile: str, region: str) -> botocore.session.Session:
    """Empty arguments: what the SDK finds by itself. Raises: botocore's ProfileNotFound, at once."""
    session = botocore.session.Session(profile=profile or None)
    aws_models.share(session)
    if region:
        session.set_config_variable("region", region)
    session.get_scoped_config()
    return session


def s3_client(session: botocore.session.Session, *, endpoint: str, addressing: str) -> Any:
    """An S3 client with the credentials of the session's profile. An empty endpoint is the profile's, or AWS; the
    addressing "auto" is the profile's, too."""
    config = _config(read_timeout_s=60, connections=10)
    if addressing in ("path", "virtual"):
        config = config.merge(Config(s3={"addressing_style": "path" if addressing == "path" else "virtual"}))
    return session.create_client("s3", config=config, endpoint_url=endpoint or None)


def s3_client_with_keys(keys: Keys, *, endpoint: str, region: str, addressing: str, connections: int) -> Any:
    """An S3 client that asks no profile. For copies and comparisons: whole listings, many requests at once."""
    style: Any = {"addressing_style": addressing}
    config = _config(read_timeout_s=120, connections=connections).merge(Config(s3=style))
    session = botocore.session.Session()
    aws_models.share(session)
    return session.create_client(
        "s3",
        endpoint_url=endpoint or None,
        region_name=region,
        aws_access_key_id=keys.access_key,
        aws_secret_access_key=keys.secret_key,
        aws_session_token=keys.session_token or None,
        config=config,
    )


def _config(*, read_timeout_s: int, connections: int) -> Config:
    return Config(
        connect_timeout=5,
        read_timeout=read_timeout_s,
        max_pool_connections=connections,
        retries={"mode": "standard", "max_attempts": 5},
    )
