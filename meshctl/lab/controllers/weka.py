"""WEKA's operator and CSI driver, where somebody has installed them. EDGE: the API server.

Run for every cluster. Until an operator is there, this looks at nothing but its Deployment: the Job that installs it
is played by `images.programs.helm`, and `weka.json` in the lab's folder names the clusters that have had one before,
`{"installed": ["dc1"]}`. What it does is in `meshctl.lab.weka`, with its sources.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator
from typing import Any, Final

from meshctl.lab.controllers.changes import Labelled, following
from meshctl.lab.controllers.nodes import NODES, is_ready
from meshctl.lab.pods import api
from meshctl.lab.state import Lab, read_json
from meshctl.lab.weka.api import registry
from meshctl.lab.weka.kinds import chart
from meshctl.lab.weka.kinds.definitions import all_definitions
from meshctl.lab.weka.operator import clients, clusters, policies, world
from meshctl.lab.weka.operator.containers import MODE_LABEL
from meshctl.lab.weka.provisioner import CLAIMS, CLASSES, VOLUMES, Provisioner
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

log = logging.getLogger(__name__)
FILE: Final = "weka.json"
DEPLOYMENTS: Final = "/apis/apps/v1/deployments"
_DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
START_EVERY_S: Final = 0.3
RETRY_S: Final = 2.0
Object = dict[str, Any]


async def play(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    """Wait for an operator, be it, and wait again once it is taken away."""
    while True:
        await _until_installed(lab, cluster, client)
        log.info("cluster %s has an operator of WEKA", cluster.name)
        await _operate(lab, cluster, client)


async def _until_installed(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    operator = Labelled(DEPLOYMENTS, chart.SELECTOR)
    async with following(client, [operator], [lab.root / FILE]) as changes:
        while True:
            if cluster.name in read_json(lab.root / FILE).get("installed", []):
                await _install(client)
            deployment = await _deployment(client)
            if _is_available(deployment) and await _are_served(client):
                return
            await changes.wait(START_EVERY_S if _is_available(deployment) else None)


async def _install(client: AsyncClient) -> None:
    """What somebody has installed before."""
    for definition in all_definitions():
        await api.ensure(client, _DEFINITIONS, definition)
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": chart.NAMESPACE}}
    await api.ensure(client, "/api/v1/namespaces", space)
    for item in chart.objects(chart.Release(chart.NAMESPACE, chart.NEWEST, {"csi": {"installationEnabled": True}})):
        await api.ensure(client, chart.collection_of(item), item)


async def _deployment(client: AsyncClient) -> Object | None:
    return next(iter(await api.items(client, DEPLOYMENTS, labelSelector=chart.SELECTOR)), None)


def _is_available(deployment: Object | None) -> bool:
    return deployment is not None and deployment.get("status", {}).get("availableReplicas", 0) > 0


async def _are_served(client: AsyncClient) -> bool:
    try:
        for collection in (world.CLUSTERS, world.CLIENTS, world.CONTAINERS, world.POLICIES, world.OPERATIONS):
            await api.items(client, collection)
    except ApiError:
        return False
    return True


async def _operate(lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    """Return once the operator is taken away, or its kinds are."""
    followed: list[str | Labelled] = [
        Labelled(DEPLOYMENTS, chart.SELECTOR),
        Labelled(world.PODS, MODE_LABEL),
        *(world.CLUSTERS, world.CLIENTS, world.CONTAINERS, world.POLICIES, world.OPERATIONS),
        *(NODES, CLASSES, CLAIMS, VOLUMES),
    ]
    provisioner = Provisioner(lab.root)
    async with following(client, followed) as changes:
        while True:
            deployment = await _deployment(client)
            if not _is_available(deployment) or deployment is None:
                return
            try:
                now = await world.look(client, registry.of(lab.root), cluster, has_csi=chart.has_csi(deployment))
            except ApiError:
                await asyncio.sleep(START_EVERY_S)
                return
            await changes.wait(await _step(now, provisioner))


async def _step(now: world.World, provisioner: Provisioner) -> float | None:
    """One step of everything. Returns how many seconds to wait for a change at most."""
    waits = [await _tried(step) for step in _steps(now, provisioner)]
    return min((each for each in waits if each is not None), default=None)


def _steps(now: world.World, provisioner: Provisioner) -> Iterator[Awaitable[float | None]]:
    yield from (clusters.keep_node(now, node) for node in now.nodes.values() if is_ready(node))
    yield from (policies.step_policy(now, policy) for policy in now.policies)
    yield from (policies.step_operation(now, operation) for operation in now.operations)
    yield from (clusters.step(now, each) for each in now.clusters)
    yield from (clients.step(now, each) for each in now.clients)
    yield provisioner.step(now)


async def _tried(step: Awaitable[float | None]) -> float | None:
    """What is refused for one object must not keep the others waiting."""
    try:
        return await step
    except ApiError as error:
        log.warning("%s", error)
        return RETRY_S
