"""HTTP to one API server: a pool shared by threads, credentials, retries, errors with codes. Called by `api`. EDGE."""

from __future__ import annotations

import json
import threading
import time
from typing import Any, Final

import httpx2
from lightkube.config.client_adapter import verify_cluster

from meshwire.marks import FIELD_MANAGER
from providers.kubernetes import kubeconfig
from providers.kubernetes.objects import Json
from providers.plugin.provider import ProviderError

CONNECT_TIMEOUT_S: Final = 5.0
READ_TIMEOUT_S: Final = 60.0
POOL_SIZE: Final = 64
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0)
LONGEST_PAUSE_S: Final = 30.0
DOWN_S: Final = 10.0
BUSY: Final = frozenset({429, 500, 502, 503, 504})
JSON: Final = "application/json"
CODES: Final = {401: "Unauthorized", 403: "Forbidden"}


class ApiError(ProviderError):
    """An answer that is an error. `status` is HTTP's, `reason` the API server's, `causes` its list of details."""

    def __init__(self, status: int, body: Json) -> None:
        reason = str(body.get("reason") or "")
        message = str(body.get("message") or f"HTTP status {status}")
        super().__init__(CODES.get(status) or reason or f"HTTP{status}", message)
        self.status = status
        self.reason = reason
        details = body.get("details")
        self.details: Json = details if isinstance(details, dict) else {}

    @property
    def causes(self) -> list[Json]:
        return list(self.details.get("causes") or [])


class UnreachableError(ProviderError):
    """No answer. Never to be read as "not found"."""

    def __init__(self, server: str, why: str) -> None:
        super().__init__("Unreachable", f"the Kubernetes API server {server} can't be reached: {why}")


class Connection:
    """Requests to the API server of one kubeconfig. All methods may run on many threads at once."""

    def __init__(self, config: Any, cancelled: threading.Event) -> None:
        self.server: str = config.cluster.server.rstrip("/")
        self.namespace: str = config.namespace
        self._credentials = kubeconfig.Credentials(config.user)
        self._cancelled = cancelled
        self._down_until = 0.0
        auth = None
        if config.user and config.user.username and config.user.password:
            auth = httpx2.BasicAuth(config.user.username, config.user.password)
        try:
            self._client = httpx2.Client(
                base_url=self.server,
                verify=_tls(config),
                auth=auth,
                timeout=httpx2.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S, pool=None),
                limits=httpx2.Limits(max_connections=POOL_SIZE, max_keepalive_connections=POOL_SIZE),
                headers={"User-Agent": FIELD_MANAGER, "Accept": JSON},
            )
        except httpx2.InvalidURL as error:
            raise ProviderError("Kubeconfig", f"the kubeconfig's server {self.server!r} is no URL: {error}") from error

    def request(
        self, method: str, path: str, *, query: dict[str, str] | None = None, body: Any = None, content_type: str = JSON
    ) -> Json:
        """The answer as JSON.

        Raises:
            ApiError: the server said no. UnreachableError: it said nothing, after some tries.
        """
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": content_type}
        for pause_s in (*PAUSES_S, None):
            last = pause_s is None or self._cancelled.is_set()
            try:
                answer = self._send(method, path, query or {}, content, headers)
            except httpx2.TransportError as error:
                if last or time.monotonic() < self._down_until:
                    self._down_until = time.monotonic() + DOWN_S
                    raise UnreachableError(self.server, str(error) or type(error).__name__) from error
                self._pause(pause_s or 0.0)
                continue
            if answer.status_code in BUSY and not last and _retriable(answer):
                self._pause(_retry_after_s(answer, pause_s or 0.0))
                continue
            return _result(answer)
        raise AssertionError("the last try returns or raises")

    def _send(
        self, method: str, path: str, query: dict[str, str], content: bytes | None, headers: dict[str, str]
    ) -> httpx2.Response:
        bearer = self._credentials.header()
        answer = self._once(method, path, query, content, headers, bearer)
        if answer.status_code == 401 and bearer is not None:
            renewed = self._credentials.header(refused=bearer)
            if renewed != bearer:
                answer = self._once(method, path, query, content, headers, renewed)
        return answer

    def _once(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        content: bytes | None,
        headers: dict[str, str],
        bearer: str | None,
    ) -> httpx2.Response:
        sent = {**headers, "Authorization": bearer} if bearer else headers
        return self._client.request(method, path, params=query, content=content, headers=sent)

    def _pause(self, pause_s: float) -> None:
        self._cancelled.wait(pause_s)

    def close(self) -> None:
        self._client.close()


def _tls(config: Any) -> Any:
    if not config.cluster.server.startswith("https:"):
        return True
    try:
        return verify_cluster(config.cluster, config.user, config.abs_file)
    except (OSError, ValueError) as error:
        files = (
            config.cluster.certificate_auth,
            config.user and config.user.client_cert,
            config.user and config.user.client_key,
        )
        named = ", ".join(str(file) for file in files if file) or "its data"
        raise ProviderError("Kubeconfig", f"the kubeconfig's certificates ({named}) can't be used: {error}") from error


def _result(answer: httpx2.Response) -> Json:
    try:
        body = answer.json()
    except ValueError:
        body = {"message": answer.text[:500]}
    found = body if isinstance(body, dict) else {}
    if answer.status_code >= 400:
        raise ApiError(answer.status_code, found)
    return found


def _retriable(answer: httpx2.Response) -> bool:
    """A 500 is tried again only when the server says so: an admission webhook's refusal comes as 500, too."""
    return answer.status_code != 500 or "Retry-After" in answer.headers


def _retry_after_s(answer: httpx2.Response, pause_s: float) -> float:
    try:
        return min(float(answer.headers.get("Retry-After", "")), LONGEST_PAUSE_S)
    except ValueError:
        return pause_s
