"""Values of environments.yaml that become a part of a URL, a host name or an ARN. PURE.

Used by `meshctl.model.environment`, and by `meshctl.objects.object_access` for the endpoint that an AWS profile names.
A region that is more than a region (`us-east-1.evil.com/#`) would send signed requests to somebody else's host. What
may hold a password is never repeated in a message.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, Field

_AWS_REGION: Final = r"^[a-z]+(-[a-z]+)+-[0-9]+$"  # us-east-1, us-gov-west-1, eusc-de-east-1
_AWS_ZONE: Final = r"^[a-z]+(-[a-z0-9]+)+$"  # us-east-1a, us-west-2-lax-1a, us-east-1-wl1-bos-wlz-1
# What botocore takes for a region (`botocore.utils.validate_region_name`): it becomes a part of the host name
_HOST_LABEL: Final = r"^[A-Za-z0-9]([-A-Za-z0-9]{0,61}[A-Za-z0-9])?$"
_HOST: Final = r"[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?)*\.?"
_HOSTED_ZONE: Final = rf"^((/hostedzone/)?[A-Za-z0-9]{{1,32}}|{_HOST})$"
_BUCKET: Final = r"[A-Za-z0-9][-A-Za-z0-9_.]{1,220}"
_BUCKETS: Final = ("s3", "gs", "azblob")
_CLOUD: Final = ("https", "http")
_KEY_SERVICES: Final = ("awskms", "azurekeyvault", "gcpkms", "hashivault")
# The names of secrets providers that `pulumi` knows (pkg/secrets: `default` and `passphrase` beside the key services)
_SECRETS_PROVIDER: Final = rf"^(default|passphrase|({'|'.join(_KEY_SERVICES)})://[^\s#]+)$"


def _aws_region(text: str) -> str:
    if not re.fullmatch(_AWS_REGION, text):
        raise ValueError(f'"{text}" is not an AWS region like us-east-1')
    return text


def _aws_zone(text: str) -> str:
    if not re.fullmatch(_AWS_ZONE, text):
        raise ValueError(f'"{text}" is not an availability zone like us-east-1a')
    return text


def _region(text: str) -> str:
    if not re.fullmatch(_HOST_LABEL, text):
        raise ValueError(f'"{text}" is not a region: at most 63 letters, digits and "-", no "-" at the ends')
    return text


def _hosted_zone(text: str) -> str:
    if not re.fullmatch(_HOSTED_ZONE, text):
        raise ValueError(f'"{text}" is neither the id of a hosted zone, like Z0123456, nor its name, like example.com')
    return text


def endpoint_url(text: str) -> str:
    """The URL without a "/" at its end. Raises: ValueError saying what is wrong, without credentials that it holds."""
    parts = _parts(text)
    if parts is None or not re.match("https?://.", text):
        raise ValueError(f"{_quoted(text)} is not a URL like https://s3.example.com")
    if "@" in parts.netloc:
        raise ValueError("an endpoint's URL holds no user and password: put the keys in an AWS profile")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise ValueError('an endpoint\'s URL ends with its host and port: "https://s3.example.com:9000"')
    if not _is_host(parts):
        raise ValueError(f"{_quoted(text)} is not a URL like https://s3.example.com")
    return text.rstrip("/")


def _backend(text: str) -> str:
    scheme, separator, place = text.partition("://")
    if not separator:
        written = f'; write a folder as "file://{text}"' if "@" not in text else ""
        raise ValueError(f"{_quoted(text)} is not a URL{written}")
    if scheme not in ("file", *_BUCKETS, *_CLOUD):
        raise ValueError(f"{_quoted(text)}: expected file://, s3://, gs://, azblob:// or https:// (Pulumi Cloud)")
    if "\0" in text:
        raise ValueError("can't hold a NUL character")
    if scheme == "file" and place:
        return text
    parts = _parts(text)
    if parts is not None and "@" in parts.netloc:
        raise ValueError("the URL of a state holds no user and password: the SDKs' own credentials are used")
    if not place.partition("?")[0]:
        raise ValueError(f"{_quoted(text)} names no bucket, folder or host")
    is_place = parts and (_is_host(parts) if scheme in _CLOUD else re.fullmatch(_BUCKET, parts.netloc))
    if parts is None or not is_place or parts.fragment:
        raise ValueError(f"{_quoted(text)} is not the URL of a bucket or host")
    _check_options(dict(parse_qsl(parts.query)))
    return text


def _check_options(options: dict[str, str]) -> None:
    """Check the options of a bucket's URL that become a host name. Raises: ValueError."""
    endpoint = options.get("endpoint", "")
    parts = _parts(endpoint if "://" in endpoint else f"https://{endpoint}")
    if parts is not None and "@" in parts.netloc:
        raise ValueError("the endpoint of a state holds no user and password: the SDKs' own credentials are used")
    if endpoint and (parts is None or not _is_host(parts)):
        raise ValueError(f'its endpoint {_quoted(endpoint)} is not a host, nor a URL like "https://s3.example.com"')
    if options.get("region"):
        _region(options["region"])


def _secrets_provider(text: str) -> str:
    if not re.fullmatch(_SECRETS_PROVIDER, text):
        raise ValueError("is no secrets provider")  # `secret_places` says what belongs there
    return text


def _parts(text: str) -> SplitResult | None:
    """The parts of the URL; None if the text is no URL at all. `urlsplit` drops some control characters: a text with
    one of them counts as no URL."""
    if re.search(r"[\s\x00-\x1f\x7f\\]", text):
        return None
    try:
        return urlsplit(text)
    except ValueError:  # a bracket that isn't closed
        return None


def _is_host(parts: SplitResult) -> bool:
    """Whether the URL's host is a name or an address, and its port a number."""
    try:
        port, host = parts.port, parts.hostname or ""
        if ":" in host:
            ipaddress.IPv6Address(host)
            return port != 0
    except ValueError:
        return False
    return port != 0 and re.fullmatch(_HOST, host) is not None


def _quoted(text: str) -> str:
    """The text, unless it may hold a password."""
    return "this" if "@" in text or "?" in text else f'"{text}"'


AwsRegion = Annotated[str, AfterValidator(_aws_region), Field(json_schema_extra={"pattern": _AWS_REGION})]
AwsZone = Annotated[str, AfterValidator(_aws_zone), Field(json_schema_extra={"pattern": _AWS_ZONE})]
Region = Annotated[str, AfterValidator(_region), Field(json_schema_extra={"pattern": _HOST_LABEL})]
HostedZone = Annotated[str, AfterValidator(_hosted_zone), Field(json_schema_extra={"pattern": _HOSTED_ZONE})]
Url = Annotated[str, AfterValidator(endpoint_url), Field(json_schema_extra={"pattern": r"^https?://[^/\s@?#]+/?$"})]
Backend = Annotated[
    str, AfterValidator(_backend), Field(json_schema_extra={"pattern": "^(file|s3|gs|azblob|https?)://."})
]
SecretsProvider = Annotated[
    str, AfterValidator(_secrets_provider), Field(json_schema_extra={"pattern": _SECRETS_PROVIDER})
]
