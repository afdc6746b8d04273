"""Plain Kubernetes API access for the lab's controllers: JSON in, JSON out, and watches that survive restarts. EDGE.

Used by the pod runner and by `meshctl.lab.network`. Objects are the API's own JSON as dictionaries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshwire import kubeconfig
from meshwire.kubernetes import requests
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError, CredentialError, NoAnswerError
from meshwire.kubernetes.target import target

log = logging.getLogger(__name__)
Object = dict[str, Any]
RETRY_S = 0.5
TRANSPORT_ERRORS = (ApiError, NoAnswerError, CredentialError, OSError)
_GONE, _CONFLICT = 404, 409


@dataclass(frozen=True)
class Cluster:
    """One cluster of lab.json."""

    name: str
    kubeconfig: str
    context: str
    provider: str = ""
    region: str = "us-east-1"
    has_group_controller: bool = False  # runs the controller of LeaderWorkerSets
    has_kueue: bool = False
    has_kai: bool = False


@dataclass(frozen=True)
class Event:
    """`kind`: ADDED, MODIFIED, DELETED, or SYNCED with every object that exists (after a (re)connection)."""

    kind: str
    object: Object
    objects: tuple[Object, ...] = ()


def read_clusters(root: Path) -> dict[str, Cluster]:
    """The clusters in lab.json now; empty while there is no such file. Raises: OSError, ValueError, KeyError."""
    try:
        clusters = json.loads((root / "lab.json").read_text())["clusters"]
    except FileNotFoundError:
        return {}
    return {
        name: Cluster(
            name,
            each["kubeconfig"],
            each.get("context", ""),
            each.get("provider", ""),
            each.get("region", "us-east-1"),
            bool(each.get("group_controller")),
            bool(each.get("kueue")),
            bool(each.get("kai")),
        )
        for name, each in clusters.items()
        if Path(each["kubeconfig"]).exists()
    }


def connect(cluster: Cluster) -> AsyncClient:
    """A client for what the kubeconfig chooses, to be closed by the caller. Raises: KubeconfigError."""
    return AsyncClient(target(kubeconfig.choose(cluster.kubeconfig, context=cluster.context)))


async def watch(client: AsyncClient, path: str, **query: str) -> AsyncIterator[Event]:
    """List, then follow, for ever; a lost connection or an expired version starts over with SYNCED."""
    while True:
        try:
            listing = await client.send(requests.get(path, **query))
            yield Event("SYNCED", {}, tuple(listing["items"]))
            async for event in client.watch(path, query, listing["metadata"]["resourceVersion"]):
                yield Event(event.kind, event.object)
        except TRANSPORT_ERRORS as error:
            log.debug("watch %s: %r", path, error)
        await asyncio.sleep(RETRY_S)


async def items(client: AsyncClient, path: str, **query: str) -> list[Object]:
    """All objects of a list."""
    return list((await client.send(requests.get(path, **query)))["items"])


async def get(client: AsyncClient, path: str) -> Object | None:
    """The object at this path; None when there is none."""
    return await _unless(client, requests.get(path), _GONE)


async def patch(client: AsyncClient, path: str, body: Object, kind: str = requests.MERGE_PATCH) -> Object | None:
    """Patch the object at this path; None when it is gone. Raises: TRANSPORT_ERRORS for other refusals."""
    return await _unless(client, requests.patch(path, body, kind), _GONE, _CONFLICT)


async def delete(client: AsyncClient, path: str) -> None:
    """Delete an object with its grace period. If it is gone, or was changed meanwhile, nothing happens, and the caller
    looks again."""
    await _unless(client, requests.delete(path), _GONE, _CONFLICT)


async def delete_now(client: AsyncClient, path: str, uid: str) -> None:
    """Remove an object at once, provided that it is still the one with this uid."""
    await _unless(client, requests.delete(path, grace_s=0, uid=uid), _GONE, _CONFLICT)


async def post(client: AsyncClient, path: str, body: Object) -> Object:
    return await client.send(requests.create(path, body))


async def ensure(client: AsyncClient, path: str, body: Object) -> Object | None:
    """Create an object that may exist from an earlier start; None if it does. Raises: TRANSPORT_ERRORS for other
    refusals."""
    return await _unless(client, requests.create(path, body), _CONFLICT)


async def _unless(client: AsyncClient, request: requests.Request, *statuses: int) -> Object | None:
    """The answer, or None for a refusal with one of the statuses."""
    try:
        return await client.send(request)
    except ApiError as error:
        if error.status not in statuses:
            raise
        return None


async def follow_clusters(root: Path, play: Callable[[Cluster], Awaitable[None]]) -> None:
    """Run `play` for every cluster of lab.json, started as it appears, cancelled as it leaves.

    A file that can't be read says nothing about who left: the clusters stay as they are.
    """
    running: dict[Cluster, asyncio.Task[None]] = {}
    wanted: set[Cluster] = set()
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):
            wanted = set(read_clusters(root).values())
        leaving = [running.pop(each) for each in list(running) if each not in wanted or running[each].done()]
        for task in leaving:
            task.cancel()
        # so that its ports and files are free before its successor starts
        await asyncio.gather(*leaving, return_exceptions=True)
        for cluster in wanted - set(running):
            running[cluster] = asyncio.ensure_future(_guarded(cluster, play))
        await asyncio.sleep(0.5)


async def _guarded(cluster: Cluster, play: Callable[[Cluster], Awaitable[None]]) -> None:
    """Run for one cluster so that its trouble (a kubeconfig half written, an API server going away) doesn't stop the
    others."""
    try:
        await play(cluster)
    except Exception:
        log.exception("cluster %s; trying again", cluster.name)
        await asyncio.sleep(RETRY_S)
