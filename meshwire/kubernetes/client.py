"""The client for threads: a pool of connections, credentials, tries, errors. EDGE.

Used by `meshctl.clients.kubernetes.cluster_access` (for all that meshctl reads and changes) and by
`providers.kubernetes.connection`. It is closed by who made it, best by `with`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

import httpx2

from meshwire.kubernetes import connecting, requests
from meshwire.kubernetes.credentials import Credentials
from meshwire.kubernetes.errors import ApiError, NoAnswerError
from meshwire.kubernetes.requests import Json, Request
from meshwire.kubernetes.resources import PODS, Resource, group_path
from meshwire.kubernetes.target import Target

T = TypeVar("T")
BUSY: Final = frozenset({429, 500, 502, 503, 504})
LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True)
class Patience:
    """How long an answer is waited for, and how often it is asked for. `pauses_s`: before each further try; `down_s`:
    how long a server that gave no answer in all of them gets a single try."""

    connect_s: float = 5.0
    read_s: float = 20.0
    pauses_s: tuple[float, ...] = ()
    down_s: float = 0.0


class Client:
    """Requests to one API server as one user. All methods may run on many threads at once.

    Every method that asks raises:
        ApiError: the server said no. NoAnswerError: it said nothing. CredentialError: there is no token to be had.
    """

    def __init__(
        self,
        target: Target,
        patience: Patience | None = None,
        *,
        cancelled: threading.Event | None = None,
        agent: str = "meshctl",
    ) -> None:
        """`cancelled`: ends the tries. Raises: KubeconfigError for a certificate or an address that is none."""
        self.target = target
        self._patience = patience or Patience()
        self._credentials = Credentials(target.user)
        self._cancelled = cancelled or threading.Event()
        self._down_until = 0.0
        timeout = httpx2.Timeout(self._patience.read_s, connect=self._patience.connect_s, pool=None)
        with connecting.address_errors(target):
            self._http = httpx2.Client(timeout=timeout, **connecting.options(target, agent))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, resource: Resource[T], name: str, *, namespace: str = "") -> T:
        return cast("T", self.send(requests.get(resource.path(namespace, name))))

    def list_objects(
        self,
        resource: Resource[T],
        *,
        namespace: str = "",
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> list[T]:
        """All that have these labels and fields: of one namespace, or of all."""
        query = {**requests.label_selector(labels or {}), **requests.field_selector(fields or {})}
        return cast("list[T]", self.items(resource.path(namespace), **query))

    def items(self, path: str, **query: str) -> list[Json]:
        """A list, asked for in pages. A list that has changed too much since its first page is asked for whole."""
        items: list[Json] = []
        token = ""
        while True:
            try:
                answer = self.send(requests.page(path, query, token))
            except ApiError as error:
                if error.status != requests.EXPIRED or not token:
                    raise
                return list(self.send(requests.get(path, **query)).get("items") or [])
            items += answer.get("items") or []
            token = str((answer.get("metadata") or {}).get("continue") or "")
            if not token:
                return items

    def kinds(self, api_version: str) -> frozenset[str]:
        """The kinds of objects of a group and version. One that the server does not know is an ApiError with 404."""
        listed = self.send(requests.get(group_path(api_version))).get("resources") or []
        return frozenset(str(each.get("kind")) for each in listed)

    def patch(
        self,
        resource: Resource[T],
        name: str,
        body: Any,
        *,
        kind: str,
        namespace: str = "",
        manager: str = "",
        dry_run: bool = False,
    ) -> T:
        """`kind`: one of `requests`' content types; an `APPLY` needs a `manager`."""
        query = requests.writing(manager=manager, dry_run=dry_run)
        return cast("T", self.send(requests.patch(resource.path(namespace, name), body, kind, **query)))

    def delete(self, resource: Resource[T], name: str, *, namespace: str = "") -> None:
        """Have an object deleted; it may take its time to go."""
        self.send(requests.delete(resource.path(namespace, name)))

    def log(self, pod: str, *, namespace: str, container: str, lines: int) -> str:
        """The last lines that a container of a pod has written, since it was last started."""
        query = {"container": container, "tailLines": str(lines)}
        return connecting.text(self._answered(requests.get(f"{PODS.path(namespace, pod)}/log", **query)))

    def send(self, request: Request) -> Json:
        """The answer's object, after as many tries as `Patience` allows."""
        return connecting.result(self._answered(request))

    def _answered(self, request: Request) -> httpx2.Response:
        for pause_s in (*self._patience.pauses_s, None):
            is_last = pause_s is None or self._cancelled.is_set()
            try:
                response = self._authorized(request)
            except connecting.NO_ANSWER as error:
                if is_last or time.monotonic() < self._down_until:
                    self._down_until = time.monotonic() + self._patience.down_s
                    raise connecting.no_answer(self.target, error) from error
                self._cancelled.wait(pause_s)
                continue
            if response.status_code in BUSY and not is_last and _may_pass(response):
                self._cancelled.wait(_retry_after_s(response, pause_s or 0.0))
                continue
            return response
        raise NoAnswerError(self.target.server, "no try was made")  # there is always a last one

    def _authorized(self, request: Request) -> httpx2.Response:
        header = self._credentials.header()
        response = self._once(request, header)
        if response.status_code == 401 and header:
            renewed = self._credentials.header(refused=header)
            if renewed != header:
                response = self._once(request, renewed)
        return response

    def _once(self, request: Request, authorization: str) -> httpx2.Response:
        headers = connecting.headers(request, authorization)
        try:
            return self._sent(request, headers)
        except httpx2.HTTPError as error:
            if not connecting.may_be_sent_again(request, error):
                raise
        return self._sent(request, headers)

    def _sent(self, request: Request, headers: Mapping[str, str]) -> httpx2.Response:
        query = dict(request.query)
        return self._http.request(request.method, request.path, params=query, content=request.content, headers=headers)


def _may_pass(response: httpx2.Response) -> bool:
    """A 500 is tried again only when the server says so: an admission webhook's refusal comes as 500, too."""
    return response.status_code != 500 or "Retry-After" in response.headers


def _retry_after_s(response: httpx2.Response, pause_s: float) -> float:
    try:
        return min(float(response.headers.get("Retry-After", "")), LONGEST_PAUSE_S)
    except ValueError:
        return pause_s
