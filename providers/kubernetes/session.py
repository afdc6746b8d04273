"""What talks to one cluster, opened at the first call that needs it. Called by `provider`. EDGE.

The HTTP libraries are imported here and not at the top: a preview whose cluster isn't known yet can do without them.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from providers.kubernetes import kubeconfig
from providers.kubernetes.config import Settings
from providers.plugin.provider import ProviderError

if TYPE_CHECKING:
    from providers.kubernetes.api import Api
    from providers.kubernetes.waiting import Waiter

UNKNOWN_CLUSTER: Final = (
    "the cluster isn't known yet: its objects are previewed as to be created, unseen by its API server"
)


@dataclass(frozen=True)
class Session:
    """What talks to the cluster; made once, at the first call that needs it."""

    api: Api
    waiter: Waiter
    namespace: str


def load_libraries() -> None:
    """Brings in what the first call will need while the engine is still busy with the program."""
    from providers.kubernetes import apply, connection, waiting

    _ = (apply, connection, waiting)


def open_session(settings: Settings, cancelled: threading.Event) -> Session:
    """Raises ProviderError: the cluster isn't known yet, or the kubeconfig is wrong."""
    from providers.kubernetes.api import Api
    from providers.kubernetes.connection import Connection
    from providers.kubernetes.waiting import Waiter

    if settings.kubeconfig is None:
        raise ProviderError("UnknownCluster", UNKNOWN_CLUSTER)
    chosen = kubeconfig.load(settings.kubeconfig, context=settings.context, cluster=settings.cluster)
    connection = Connection(chosen, cancelled)
    api = Api(connection)
    return Session(api, Waiter(api, cancelled), settings.namespace or connection.namespace)
