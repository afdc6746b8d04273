"""One bucket, with all that a client needs to reach it. PURE: only a type, which loads no client library."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class ObjectAccess:
    """All that a client needs for one bucket. `endpoint` is empty for AWS itself."""

    bucket: str
    prefix: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")
    addressing: str = "auto"
