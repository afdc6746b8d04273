"""How many requests the gateways of a deployment have led where, by what their pods have written. EDGE (reads only).

Called by `status` for gateways that lead a share of their requests to another environment. See ADR 0080.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.deployment import Deployment
from meshctl.model.keys import gateway_shares
from meshctl.model.keys.gateway_shares import RequestCount
from meshctl.model.observed import PodState
from meshwire.kubernetes.errors import ApiError, NoAnswerError

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

LINES: Final = 2000  # of each pod, the last ones: about as many requests, and some 50 KB
_CONTAINER: Final = "main"
_AT_ONCE: Final = 8


@dataclass(frozen=True)
class CountedRequests:
    """`by_endpoint`: the last requests of all pods of its gateway together. `unread`: which pods are not among them,
    and why, in words."""

    by_endpoint: Mapping[str, RequestCount] = field(default_factory=dict)
    unread: tuple[str, ...] = ()


def counted_requests(cluster: ClusterAccess, deployment: Deployment, pods: Sequence[PodState]) -> CountedRequests:
    """Of each gateway that counts. A pod that is ending, or has not started, is not asked: a share that has just
    changed has new pods.

    Raises: as `ClusterAccess.connected`, but for a log that can't be read.
    """
    counting = {name: each for name, each in gateway_shares.shares(deployment).items() if each.is_counted}
    by_endpoint: dict[str, RequestCount] = {}
    unread: list[str] = []
    for endpoint in (each for each in deployment.endpoints if each.name in counting):
        running = [pod for pod in pods if pod.workload == endpoint.workload and _is_running(pod)]
        # on a node that does not answer, a pod stays Running for minutes, and each question takes as long as it may
        unread += [
            f"the requests of {pod.name} are not in the measured split: it is not ready"
            for pod in running
            if not pod.ready
        ]
        ready = [pod.name for pod in running if pod.ready]
        for name, log in _logs(cluster, deployment.namespace, ready).items():
            if isinstance(log, str):
                count = gateway_shares.counted(log, counting[endpoint.name].weight)
                by_endpoint[endpoint.name] = by_endpoint.get(endpoint.name, RequestCount()) + count
            else:
                unread.append(f"the requests of {name} are not in the measured split: its log can't be read ({log})")
    return CountedRequests(by_endpoint, tuple(unread))


def _is_running(pod: PodState) -> bool:
    return pod.phase == "Running" and not pod.stopping


def _logs(cluster: ClusterAccess, namespace: str, pods: Sequence[str]) -> dict[str, str | ApiError | NoAnswerError]:
    """By pod, all at once: an API server that does not reach a node takes its time to say so."""
    if not pods:
        return {}
    with cluster.connected() as client, ThreadPoolExecutor(_AT_ONCE) as threads:
        return dict(zip(pods, threads.map(partial(_log, client, namespace), pods), strict=True))


def _log(client: Client, namespace: str, pod: str) -> str | ApiError | NoAnswerError:
    try:
        return client.log(pod, namespace=namespace, container=_CONTAINER, lines=LINES)
    except (ApiError, NoAnswerError) as error:
        return error
