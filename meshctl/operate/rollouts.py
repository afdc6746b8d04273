"""Replaces the pods of a service or an inference workload, as `kubectl rollout restart` does. EDGE.

Called by `operate.restart`. It patches an annotation of the pod template that the mesh doesn't declare, with a field
manager of its own, so that no `plan` shows it and no `up` undoes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess, translate_errors
from meshctl.clients.kubernetes.rolled_out import not_rolled
from meshctl.engine import passing
from meshctl.errors import MeshError, NotReadyError
from meshwire.kubernetes import requests
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.objects import Server
from meshwire.kubernetes.resources import DEPLOYMENTS, STATEFUL_SETS, Resource

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"  # the annotation that kubectl sets: other tools know it
FIELD_MANAGER: Final = "meshctl-restart"
_POLL_S = 1.0
_ABSENT: Final = 404


def roll(cluster: ClusterAccess, namespace: str, workload: str) -> None:
    """Start a rollout that replaces all pods. Raises: MeshError when the workload isn't in the cluster."""
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}}}
    with cluster.connected() as client:
        resource, _ = _find(client, namespace, workload)
        client.patch(
            resource, workload, patch, kind=requests.STRATEGIC_PATCH, namespace=namespace, manager=FIELD_MANAGER
        )


def roll_if_there(cluster: ClusterAccess, namespace: str, server: str) -> None:
    """As `roll`, of what may have been deleted since the last `up`. Raises: CredentialsError, UnreachableError."""
    with cluster.connected() as client:
        try:
            client.get(DEPLOYMENTS, server, namespace=namespace)
        except ApiError as error:
            if error.status != _ABSENT:
                raise
            return
    roll(cluster, namespace, server)


def wait(
    cluster: ClusterAccess, namespace: str, workload: str, *, timeout_s: float, say: Callable[[str], None]
) -> None:
    """Wait until all pods have the newest template and are ready. Transient errors are retried.

    Raises: NotReadyError after the timeout, caused by the last transient error if there was one; CredentialsError,
    MeshError.
    """
    with cluster.client() as client:
        _wait(cluster, client, namespace, workload, timeout_s=timeout_s, say=say)


def _wait(
    cluster: ClusterAccess,
    client: Client,
    namespace: str,
    workload: str,
    *,
    timeout_s: float,
    say: Callable[[str], None],
) -> None:
    deadline = time.monotonic() + timeout_s
    last_reported = ""
    while True:
        missing, error = _missing(cluster, client, namespace, workload)
        if not missing:
            return
        if missing != last_reported:
            say(missing)
            last_reported = missing
        if time.monotonic() >= deadline:
            why = "" if error is not None else _why_of_pods(cluster, namespace, workload)
            raise NotReadyError(
                f"{cluster.name}: {workload} is not rolled out after {timeout_s:g} s",
                why=f"{missing}{why}",
                hint=f"`meshctl status {cluster.name}` shows its pods, and why they are not ready",
            ) from error
        time.sleep(_POLL_S)


def _missing(cluster: ClusterAccess, client: Client, namespace: str, workload: str) -> tuple[str, MeshError | None]:
    """What the rollout still lacks, in words, and the transient error if the cluster did not answer."""
    try:
        with translate_errors(cluster.name, cluster):
            return not_rolled(_find(client, namespace, workload)[1]), None
    except MeshError as error:
        if not passing.may_pass(error):
            raise
        return passing.reason(error), error


def _why_of_pods(cluster: ClusterAccess, namespace: str, workload: str) -> str:
    """The reason why the first pod is not ready; "" when the cluster gives none."""
    with suppress(MeshError):
        pods = clusters.pods(cluster, namespace, workload)
        own_pods = (pod for pod in pods if not pod.is_lent)  # those on lent nodes are not waited for
        return next((f": {pod.name}: {pod.reason}" for pod in own_pods if not pod.ready and pod.reason), "")
    return ""


def _find(client: Client, namespace: str, workload: str) -> tuple[Resource[Server], Server]:
    for resource in (DEPLOYMENTS, STATEFUL_SETS):
        try:
            return resource, client.get(resource, workload, namespace=namespace)
        except ApiError as error:
            if error.status != 404:
                raise
    raise MeshError(f"{workload} is not in the cluster", hint="`meshctl up` brings back what is gone")
