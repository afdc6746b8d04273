"""One request to the AWS API: which service, operation and access key it names. PURE, but for reading the body once.

Made by `server` for every request, handed on to the services of the lab.
"""

from __future__ import annotations

import io
import re
import uuid
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from botocore.exceptions import UnknownServiceError
from moto.core.request import Request
from moto.core.routing import NotFound, get_service_router
from moto.core.utils import get_service_model

# Names in signatures that differ from botocore's names of the services.
SIGNED_AS = {
    "elasticfilesystem": "efs",
    "monitoring": "cloudwatch",
    "elasticloadbalancing": "elbv2",
    "servicequotas": "service-quotas",
}
CREDENTIAL = re.compile(r"Credential=([^/]+)/\d{8}/([^/]*)/([^/]+)/aws4_request")
QUERY_CREDENTIAL = re.compile(r"([^/]+)/\d{8}/([^/]*)/([^/]+)/aws4_request")
BUCKET_HOST = re.compile(
    r"^(?P<bucket>[a-z0-9][a-z0-9.-]+?)\.(s3[.-].*amazonaws\.com|localhost|127\.0\.0\.1)(?P<port>:\d+)?$"
)


@dataclass
class Call:
    """`service` is botocore's name; `access_key` and `service` are empty for requests that carry no signature."""

    environ: dict[str, Any]
    service: str
    region: str
    access_key: str
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    @cached_property
    def request(self) -> Request:
        """The request, with a body of its own: reading it takes nothing from the service behind."""
        return Request({**self.environ, "wsgi.input": io.BytesIO(self.body)})

    @cached_property
    def body(self) -> bytes:
        """The whole body; of S3 calls, nothing (objects are read by the service alone)."""
        if self.service == "s3":
            return b""
        body: bytes = Request(self.environ).get_data()
        self.environ["wsgi.input"] = io.BytesIO(body)
        self.environ["CONTENT_LENGTH"] = str(len(body))
        self.environ.pop("HTTP_TRANSFER_ENCODING", None)
        return body

    @cached_property
    def model(self) -> Any:
        """Botocore's model of the service, or None."""
        try:
            return get_service_model(self.service) if self.service else None
        except UnknownServiceError:
            return None

    @cached_property
    def routed(self) -> tuple[Any, dict[str, Any]]:
        """The operation's model and what its path names; (None, {}) for what is no operation of the service."""
        if self.model is None:
            return None, {}
        try:
            operation, names = get_service_router(self.service).match(self.request)
        except (NotFound, NotImplementedError):
            return None, {}
        return operation, names

    @property
    def operation(self) -> str:
        """`CreateCluster`, or empty."""
        operation_name = self.routed[0]
        return str(operation_name.name) if operation_name is not None else ""


def identify(environ: dict[str, Any]) -> Call:
    """The call that a request makes, signed by header (SigV4, or SigV2 for S3) or by query."""
    header = environ.get("HTTP_AUTHORIZATION", "")
    signed = CREDENTIAL.search(header)
    if signed is None:
        signed = QUERY_CREDENTIAL.search(Request(environ).args.get("X-Amz-Credential", ""))
        if signed is not None and signed[3] != "s3":
            # moto reads the service from the header alone
            environ["HTTP_AUTHORIZATION"] = f"AWS4-HMAC-SHA256 Credential={signed[0]}, SignedHeaders=host, Signature=0"
    if signed is not None:
        call = Call(environ, SIGNED_AS.get(signed[3], signed[3]), signed[2], signed[1])
    else:
        match = re.match(r"AWS ([^:]+):", header)
        key = match[1] if match else Request(environ).args.get("AWSAccessKeyId", "")
        call = Call(environ, "s3", "us-east-1", key)
    if call.service == "s3":
        _as_path_style(environ)
    return call


def _as_path_style(environ: dict[str, Any]) -> None:
    """`bucket.localhost/key` -> `localhost/bucket/key`: the host that a bucket is named by is whatever the lab is."""
    host = BUCKET_HOST.match(environ.get("HTTP_HOST", ""))
    if host is None or host["bucket"] == "127.0.0":
        return
    environ["HTTP_HOST"] = f"127.0.0.1{host['port'] or ''}"
    for name in ("PATH_INFO", "RAW_URI", "REQUEST_URI"):
        if name in environ:
            environ[name] = f"/{host['bucket']}{environ[name]}"
