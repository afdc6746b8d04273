"""What talks to one cluster, opened at the first call that needs it. Called by `provider`. EDGE.

The HTTP libraries are imported here and not at the top: a preview whose cluster isn't known yet can do without them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from providers.kubernetes import kubeconfig
from providers.kubernetes.config import Settings
from providers.plugin.provider import ProviderError

if TYPE_CHECKING:
    from providers.kubernetes.api import Api
    from providers.kubernetes.waits.waiting import Waiter

UNKNOWN_CLUSTER: Final = (
    "the cluster isn't known yet: its objects are previewed as to be created, unseen by its API server"
)


@dataclass(frozen=True)
class Session:
    """What talks to the cluster. Made once, at the first call that needs it."""

    api: Api
    waiter: Waiter
    namespace: str
    close: Callable[[], None] = lambda: None


class Opening:
    """The session of one configuration, for all threads: opened once; a failure to open it is cached as well."""

    def __init__(self, settings: Settings, cancelled: threading.Event) -> None:
        self.settings = settings
        self._cancelled = cancelled
        self._session: Session | ProviderError | None = None
        self._lock = threading.Lock()

    def session(self) -> Session:
        """Raises ProviderError: the kubeconfig is wrong, or the cluster isn't known yet."""
        with self._lock:
            if self._session is None:
                try:
                    self._session = open_session(self.settings, self._cancelled)
                except ProviderError as error:
                    self._session = error
        if isinstance(self._session, ProviderError):
            raise self._session
        return self._session

    def close(self) -> None:
        """Closes the connections. Nothing may use the session afterwards."""
        if isinstance(self._session, Session):
            self._session.close()

    @property
    def is_unknown(self) -> bool:
        """Whether the cluster can't be known before it is made."""
        return self.settings.kubeconfig is None

    @property
    def namespace(self) -> str:
        """For objects that name none. Raises ProviderError: the kubeconfig, which may name one, can't be read."""
        if self.settings.namespace:
            return self.settings.namespace
        return "default" if self.is_unknown else self.session().namespace


def load_libraries() -> None:
    """Imports what the first call will need while the engine is still busy with the program."""
    from providers.kubernetes import apply, connection
    from providers.kubernetes.waits import waiting

    _ = (apply, connection, waiting)


def open_session(settings: Settings, cancelled: threading.Event) -> Session:
    """Raises ProviderError: the cluster isn't known yet, or the kubeconfig is wrong."""
    from providers.kubernetes.api import Api
    from providers.kubernetes.connection import Connection
    from providers.kubernetes.waits.waiting import Waiter

    if settings.kubeconfig is None:
        raise ProviderError("UnknownCluster", UNKNOWN_CLUSTER)
    chosen = kubeconfig.load(settings.kubeconfig, context=settings.context, cluster=settings.cluster)
    connection = Connection(chosen, cancelled)
    api = Api(connection)
    return Session(api, Waiter(api, cancelled), connection.namespace, connection.close)
