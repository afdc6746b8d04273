"""What the client raises, besides `KubeconfigError`. PURE.

Callers make their own errors of these: `meshctl.clients.kubernetes.cluster_access`, `providers.kubernetes.connection`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """The API server said no, or something that is no answer of an API server. `status` is HTTP's; `reason`, `message`
    and `details` are of the Kubernetes `Status` (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/)."""

    def __init__(
        self, status: int, message: str = "", *, reason: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        self.status = status
        self.message = message or f"HTTP status {status}"
        self.reason = reason
        self.details: Mapping[str, Any] = details or {}
        super().__init__(self.message)


class NoAnswerError(Exception):
    """Nothing came back, or not all of it. Never to be read as "not found". The text says why."""

    def __init__(self, server: str, why: str) -> None:
        self.server = server
        super().__init__(why)


class CredentialError(Exception):
    """There is no token to be had: the credential program fails, a token file can't be read. The text says why."""
