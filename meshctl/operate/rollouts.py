"""Rolls the pods of a service or an inference workload, as `kubectl rollout restart` does. EDGE.

Called by `operate.restart`. What is patched is an annotation of the pod template that no declaration names, under a
field manager of its own: no `plan` shows it, and no `up` undoes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from lightkube.core.exceptions import ApiError
from lightkube.resources.apps_v1 import Deployment as DeploymentResource
from lightkube.resources.apps_v1 import StatefulSet

from meshctl.clients import clusters
from meshctl.clients.cluster_access import ClusterAccess, named
from meshctl.engine import passing
from meshctl.errors import MeshError, NotReadyError
from meshctl.words import counted

RESTARTED_AT: Final = "kubectl.kubernetes.io/restartedAt"  # kubectl's own: other tools know what it means
FIELD_MANAGER: Final = "meshctl-restart"
_POLL_S = 1.0


def roll(cluster: ClusterAccess, namespace: str, workload: str) -> None:
    """Have all pods made anew, as the roll-out rules of the workload say. Raises: MeshError where it isn't there."""
    client = cluster.client()
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    patch = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: at}}}}}
    with named(cluster.name):
        kind = type(_find(client, namespace, workload))
        client.patch(kind, workload, patch, namespace=namespace, field_manager=FIELD_MANAGER)


def wait(
    cluster: ClusterAccess, namespace: str, workload: str, *, timeout_s: float, say: Callable[[str], None]
) -> None:
    """Until all pods are of the newest template and ready; a look without an answer is one that came too early. Raises:
    NotReadyError, caused by the last look's error if that is what it ended with; CredentialsError, MeshError."""
    client = cluster.client()
    deadline = time.monotonic() + timeout_s
    said = ""
    while True:
        missing, silence = _looked(cluster, client, namespace, workload)
        if not missing:
            return
        if missing != said:
            say(missing)
            said = missing
        if time.monotonic() >= deadline:
            why = "" if silence is not None else _why_of_pods(cluster, namespace, workload)
            raise NotReadyError(
                f"{cluster.name}: {workload} is not rolled after {timeout_s:g} s",
                why=f"{missing}{why}",
                hint=f"`meshctl status {cluster.name}` shows its pods; the old ones serve until new ones are ready",
            ) from silence
        time.sleep(_POLL_S)


def _looked(cluster: ClusterAccess, client: Any, namespace: str, workload: str) -> tuple[str, MeshError | None]:
    """What is missing, and the error if that is an answer."""
    try:
        with named(cluster.name):
            return not_rolled(_find(client, namespace, workload)), None
    except MeshError as error:
        if not passing.may_pass(error):
            raise
        return passing.reason(error), error


def _why_of_pods(cluster: ClusterAccess, namespace: str, workload: str) -> str:
    """What the first pod that is not ready says of itself; "" where the cluster does not say."""
    with suppress(MeshError):
        pods = clusters.pods(cluster, namespace, workload)
        return next((f": {pod.name}: {pod.reason}" for pod in pods if not pod.ready and pod.reason), "")
    return ""


def _find(client: Any, namespace: str, workload: str) -> Any:
    for kind in (DeploymentResource, StatefulSet):
        try:
            return client.get(kind, workload, namespace=namespace)
        except ApiError as error:
            if error.status.code != 404:
                raise
    raise MeshError(f"{workload} is not in the cluster", hint="`meshctl up` brings back what is gone")


def not_rolled(found: Any) -> str:
    """What a Deployment or StatefulSet still lacks, in words; "" when all its pods are new and ready. PURE.

    Source of the rules: kubectl rollout status.
    """
    spec, status = found.spec, found.status
    wanted = 1 if spec.replicas is None else int(spec.replicas)
    seen = int((status and status.observedGeneration) or 0)
    if status is None or seen < int(found.metadata.generation or 0):
        return "waiting for the controller"
    new, all_pods = int(status.updatedReplicas or 0), int(status.replicas or 0)
    ready = int(status.availableReplicas or 0)
    if new < wanted:
        return f"{new} of {wanted} pods are new"
    if all_pods > new:
        return f"{counted(all_pods - new, 'old pod')} still there"
    return "" if ready >= wanted else f"{ready} of {wanted} pods are ready"
