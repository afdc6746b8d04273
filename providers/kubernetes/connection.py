"""The one API server of a provider resource: `meshwire`'s client, with errors of a provider. Called by `api`. EDGE.

A provider retries for longer than other clients of meshctl: what it changes belongs to a run that would have to begin
again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from meshwire.kubeconfig import KubeconfigError
from meshwire.kubernetes import errors
from meshwire.kubernetes.client import Client, Patience
from meshwire.kubernetes.requests import Request
from meshwire.kubernetes.target import Target
from meshwire.marks import FIELD_MANAGER
from providers.kubernetes.objects import Json
from providers.plugin.provider import ProviderError

PATIENCE: Final = Patience(connect_s=5.0, read_s=60.0, pauses_s=(0.2, 0.5, 1.0, 2.0), down_s=10.0)
CODES: Final = {401: "Unauthorized", 403: "Forbidden"}


class ApiError(ProviderError):
    """An answer that is an error. `status` is HTTP's, `reason` the API server's, `causes` its list of details."""

    def __init__(self, error: errors.ApiError) -> None:
        super().__init__(CODES.get(error.status) or error.reason or f"HTTP{error.status}", error.message)
        self.status = error.status
        self.reason = error.reason
        self.details: Json = dict(error.details)

    @property
    def causes(self) -> list[Json]:
        return list(self.details.get("causes") or [])


class UnreachableError(ProviderError):
    """No answer. Never to be read as "not found"."""

    def __init__(self, server: str, why: str) -> None:
        super().__init__("Unreachable", f"the Kubernetes API server {server} can't be reached: {why}")


class Connection:
    """Requests to the API server of one kubeconfig. All methods may run on many threads at once.

    Raises: ProviderError with the code `Kubeconfig`, when the kubeconfig's server or certificates can't be used.
    """

    def __init__(self, target: Target, cancelled: threading.Event) -> None:
        self.namespace = target.namespace
        with _provider_errors():
            self._client = Client(target, PATIENCE, cancelled=cancelled, agent=FIELD_MANAGER)

    def send(self, request: Request) -> Json:
        """The answer as JSON.

        Raises:
            ApiError: the server said no. UnreachableError: it said nothing, after some tries.
        """
        with _provider_errors():
            return self._client.send(request)

    def items(self, path: str, **query: str) -> list[Json]:
        """All objects of a list. Raises: as `send`."""
        with _provider_errors():
            return self._client.items(path, **query)

    def close(self) -> None:
        self._client.close()


@contextmanager
def _provider_errors() -> Iterator[None]:
    try:
        yield
    except errors.ApiError as error:
        raise ApiError(error) from error
    except errors.NoAnswerError as error:
        raise UnreachableError(error.server, str(error)) from error
    except errors.CredentialError as error:
        raise ProviderError("Unauthorized", str(error)) from error
    except KubeconfigError as error:
        raise ProviderError("Kubeconfig", str(error)) from error
