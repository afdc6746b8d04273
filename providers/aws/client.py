"""AWS clients from the provider's configuration. Called by `provider`; used by providers.aws.rows_engine.crud. EDGE.

Nothing here reads credentials until the first call is made, so previews of new resources need none. The clients are
botocore's, which boto3's are too: boto3 adds what no row uses, and a fifth to the time that a plugin takes to start.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore import exceptions
from botocore.config import Config
from botocore.model import ServiceModel

from meshwire import aws_models
from providers.aws.rows_engine.calls import call_error

GLOBAL_REGION = "us-east-1"  # where IAM and Route 53 sign, when no region is configured
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 6
POOL = 64  # the engine runs that many calls at once

_models: dict[str, ServiceModel] = {}


@dataclass(frozen=True)
class Settings:
    """Provider configuration. Empty: what the AWS SDK finds by itself (environment, profiles, instance roles)."""

    region: str = ""
    profile: str = ""
    endpoint_url: str = ""
    s3_addressing: str = ""  # auto | path | virtual


def service_model(service: str) -> ServiceModel:
    """Botocore's model of a service. Needs neither credentials nor region."""
    if service not in _models:
        description = aws_models.MODELS.load_service_model(service, "service-2")
        _models[service] = ServiceModel(description, service)
    return _models[service]


class AwsClients:
    """Clients by service, made once each and shared by all threads (clients are thread-safe, sessions aren't)."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._session: botocore.session.Session | None = None
        self._clients: dict[tuple[str, bool], Any] = {}

    def model(self, service: str) -> ServiceModel:
        return service_model(service)

    @property
    def region(self) -> str:
        """The configured region, the SDK's own choice, or empty."""
        try:
            with self._lock:
                return self._botocore_session().get_config_variable("region") or ""
        except exceptions.BotoCoreError as error:
            raise call_error(error, "AWS configuration") from error

    def client(self, service: str, *, retries: bool = True) -> Any:
        """A client. `retries` False: each call is sent once, for creates whose lost answer must be looked for first.

        Raises:
            ProviderError: NoCredentials (unknown profile), NoRegion.
        """
        with self._lock:
            key = (service, retries)
            if key not in self._clients:
                self._clients[key] = self._make(service, retries=retries)
            return self._clients[key]

    def _make(self, service: str, *, retries: bool) -> Any:
        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            max_pool_connections=POOL,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS if retries else 1},
            s3={"addressing_style": self.settings.s3_addressing or "auto"},  # type: ignore[arg-type]
            user_agent_extra="meshctl",
        )
        try:
            session = self._botocore_session()
            region = session.get_config_variable("region") or (GLOBAL_REGION if service in ("iam", "route53") else None)
            endpoint = self.settings.endpoint_url or None
            return session.create_client(service, region_name=region, endpoint_url=endpoint, config=config)
        except exceptions.BotoCoreError as error:
            raise call_error(error, f"{service} client") from error

    def _botocore_session(self) -> botocore.session.Session:
        if self._session is None:
            session = botocore.session.Session(profile=self.settings.profile or None)
            aws_models.share(session)
            if self.settings.region:
                session.set_config_variable("region", self.settings.region)
            self._session = session
        return self._session
