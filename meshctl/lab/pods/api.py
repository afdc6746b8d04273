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

import httpx2 as httpx
from lightkube.config import client_adapter
from lightkube.config.kubeconfig import KubeConfig
from lightkube.core.exceptions import ConfigError

log = logging.getLogger(__name__)
Object = dict[str, Any]
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
RETRY_S = 0.5
TRANSPORT_ERRORS = (httpx.HTTPError, OSError)


@dataclass(frozen=True)
class Cluster:
    """One cluster of lab.json."""

    name: str
    kubeconfig: str
    context: str
    provider: str = ""
    region: str = "us-east-1"


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
            name, each["kubeconfig"], each.get("context", ""), each.get("provider", ""), each.get("region", "us-east-1")
        )
        for name, each in clusters.items()
        if Path(each["kubeconfig"]).exists()
    }


def connect(cluster: Cluster) -> httpx.AsyncClient:
    """An HTTP client with the kubeconfig's server, certificates and user. Raises ConfigError."""
    config = KubeConfig.from_file(cluster.kubeconfig).get(cluster.context or None)
    if config is None:
        raise ConfigError(f"no context {cluster.context!r} in {cluster.kubeconfig}")
    timeout = httpx.Timeout(10)
    return client_adapter.AsyncClient(config, client_adapter.ConnectionParams(timeout=timeout, trust_env=False))


async def watch(client: httpx.AsyncClient, path: str, **query: str) -> AsyncIterator[Event]:
    """List, then follow, for ever; a lost connection or an expired version starts over with SYNCED."""
    while True:
        try:
            listing = (await client.get(path, params=query)).raise_for_status().json()
            objects = tuple(listing["items"])
            yield Event("SYNCED", {}, objects)
            version = listing["metadata"]["resourceVersion"]
            async for event in _follow(client, path, query | {"resourceVersion": version}):
                yield event
        except TRANSPORT_ERRORS as error:
            log.debug("watch %s: %r", path, error)
        await asyncio.sleep(RETRY_S)


async def _follow(client: httpx.AsyncClient, path: str, query: dict[str, str]) -> AsyncIterator[Event]:
    timeout = httpx.Timeout(10, read=None)
    parameters = query | {"watch": "1", "allowWatchBookmarks": "true"}
    async with client.stream("GET", path, params=parameters, timeout=timeout) as response:
        response.raise_for_status()
        async for line in response.aiter_lines():
            if not line.strip():
                continue
            event = json.loads(line)
            if event["type"] == "ERROR":
                return
            if event["type"] != "BOOKMARK":
                yield Event(event["type"], event["object"])


async def patch(client: httpx.AsyncClient, path: str, body: Object, kind: str = MERGE) -> Object | None:
    """PATCH; None when the object is gone. Raises httpx.HTTPStatusError for other refusals."""
    response = await client.patch(path, content=json.dumps(body), headers={"Content-Type": kind})
    if response.status_code in {404, 409}:
        return None
    result: Object = response.raise_for_status().json()
    return result


async def get(client: httpx.AsyncClient, path: str) -> Object | None:
    """GET; None when there is no such object."""
    response = await client.get(path)
    if response.status_code == 404:
        return None
    result: Object = response.raise_for_status().json()
    return result


async def delete_now(client: httpx.AsyncClient, path: str, uid: str) -> None:
    """Remove an object at once, provided that it is still the one with this uid."""
    body = {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}
    response = await client.request(
        "DELETE", path, content=json.dumps(body), headers={"Content-Type": "application/json"}
    )
    if response.status_code not in {404, 409}:
        response.raise_for_status()


async def post(client: httpx.AsyncClient, path: str, body: Object) -> Object:
    response = await client.post(path, json=body)
    result: Object = response.raise_for_status().json()
    return result


async def ensure(client: httpx.AsyncClient, path: str, body: Object) -> None:
    """POST something that may be there from an earlier start. Raises httpx.HTTPStatusError for other refusals."""
    response = await client.post(path, json=body)
    if response.status_code != 409:
        response.raise_for_status()


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
        await asyncio.gather(*leaving, return_exceptions=True)  # what it holds is free before its successor starts
        for cluster in wanted - set(running):
            running[cluster] = asyncio.ensure_future(_guarded(cluster, play))
        await asyncio.sleep(0.5)


async def _guarded(cluster: Cluster, play: Callable[[Cluster], Awaitable[None]]) -> None:
    """One cluster's trouble (a kubeconfig half written, an API server going away) must not stop the others."""
    try:
        await play(cluster)
    except Exception:
        log.exception("cluster %s; trying again", cluster.name)
        await asyncio.sleep(RETRY_S)
