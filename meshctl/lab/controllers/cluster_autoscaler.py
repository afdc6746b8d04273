"""The Cluster Autoscaler that runs in each CKS cluster: NodePools with `autoscaling: true` follow pods. EDGE.

Source: docs.coreweave.com, products/cks/nodes/autoscaling; github.com/kubernetes/autoscaler, cluster-autoscaler/FAQ.md
(0024f254) for its times and cloudprovider/coreweave/coreweave_nodepool.go (0d70bdbc) for what it writes: `targetNodes`
by a merge patch, never beyond the pool's bounds. Which nodes go then is decided by CKS: see `coreweave`. What the
autoscaler decides is in `autoscaling`.

Of its own times a minute is a second here. What pods take is not shortened: their budgets, their grace.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from meshctl.lab.controllers import autoscaling, coreweave
from meshctl.lab.controllers.autoscaling import LEAVING, Pool, Unneeded
from meshctl.lab.controllers.changes import following
from meshctl.lab.controllers.nodes import NODES, is_ready, manifest
from meshctl.lab.pods import api
from meshctl.lab.state import Lab
from meshwire.kubernetes import requests
from meshwire.kubernetes.async_client import AsyncClient
from meshwire.kubernetes.errors import ApiError

log = logging.getLogger(__name__)

MANAGER: Final = "cluster-autoscaler"
MINUTE_S: Final = 1.0
UNNEEDED_S: Final = 10 * MINUTE_S  # --scale-down-unneeded-time
AFTER_ADD_S: Final = 10 * MINUTE_S  # --scale-down-delay-after-add
AFTER_FAILURE_S: Final = 3 * MINUTE_S  # --scale-down-delay-after-failure
PROVISION_S: Final = 15 * MINUTE_S  # --max-node-provision-time
BACK_OFF_S: Final = 5 * MINUTE_S  # --initial-node-group-backoff-duration
EVICT_S: Final = 120.0  # --max-pod-eviction-time
GRACE_S: Final = 600.0  # --max-graceful-termination-sec
SCAN_S: Final = 0.5  # at least, between two looks; --scan-interval is 10 s
_AGAIN_S: Final = 0.5
_BUDGETS: Final = "/apis/policy/v1/poddisruptionbudgets"
_GONE: Final = 404
_ANOTHER: Final = 409  # a pod of the same name has come after it


async def play(_lab: Lab, cluster: api.Cluster, client: AsyncClient) -> None:
    """Let the pools follow their pods, for ever."""
    await coreweave.until_served(client)
    autoscaler = Autoscaler(client, cluster.region)
    async with following(client, [coreweave.PODS, NODES, coreweave.POOLS]) as changes:
        while True:
            await changes.wait(await autoscaler.step(time.monotonic()))
            await asyncio.sleep(SCAN_S)


class Autoscaler:
    """Remembers since when what holds. All times are those of `time.monotonic`."""

    def __init__(self, client: AsyncClient, region: str) -> None:
        self._client = client
        self._region = region
        self._unneeded_since: dict[str, float] = {}  # by node
        self._short_since: dict[str, float] = {}  # by pool: it has fewer nodes than were ordered
        self._backed_off_until: dict[str, float] = {}  # by pool
        self._shrinks_from = 0.0
        self._is_new = True

    async def step(self, now: float) -> float | None:
        """One look, and at most one order. Returns how many seconds to wait for a change at most."""
        objects = await api.items(self._client, coreweave.POOLS)
        ranges = [each for each in objects if is_scaled(each["spec"])]
        if not ranges:
            self._unneeded_since, self._short_since = {}, {}
            return None
        nodes, pods = await asyncio.gather(api.items(self._client, NODES), api.items(self._client, coreweave.PODS))
        if self._is_new:
            await self._take_back(nodes)
        pools = [pool_of(each, nodes, self._region) for each in ranges]
        await self._give_up(pools, now)
        growing = [pool for pool in pools if self._backed_off_until.get(pool.name, now) <= now]
        order = autoscaling.growth(growing, nodes, pods)
        if order is not None:
            log.info("pool %s: %d nodes, for pods that found none", order.pool, order.target)
            await self._order(order.pool, order.target)
            self._shrinks_from = now + AFTER_ADD_S
            return _AGAIN_S
        await self._shrink(pools, nodes, pods, now)
        return self._wait_s(pools, now)

    async def _take_back(self, nodes: Iterable[api.Object]) -> None:
        """What an autoscaler that ended had begun to empty takes pods again."""
        for node in nodes:
            if autoscaling.is_leaving(node):
                await self._taint(node["metadata"]["name"], leaving=False)
        self._is_new = False

    async def _give_up(self, pools: Iterable[Pool], now: float) -> None:
        """Nodes that do not come are ordered no more, and for a while no others of their pool."""
        for pool in pools:
            present = len(pool.nodes)
            if present >= pool.target:
                self._short_since.pop(pool.name, None)
            elif now - self._short_since.setdefault(pool.name, now) >= PROVISION_S and present >= pool.least:
                log.info("pool %s: %d of %d nodes came", pool.name, present, pool.target)
                await self._order(pool.name, present)
                self._backed_off_until[pool.name] = now + BACK_OFF_S
                del self._short_since[pool.name]

    async def _shrink(
        self, pools: Sequence[Pool], nodes: Sequence[api.Object], pods: Sequence[api.Object], now: float
    ) -> None:
        """Remove what was unneeded for long enough: empty nodes at once, others one at a time."""
        if all(pool.target <= pool.least for pool in pools):
            self._unneeded_since = {}
            return
        candidates = autoscaling.unneeded(pools, nodes, pods, await api.items(self._client, _BUDGETS))
        since = self._unneeded_since
        self._unneeded_since = {each.name: since.get(each.name, now) for each in candidates}
        due = [each for each in candidates if now - self._unneeded_since[each.name] >= UNNEEDED_S]
        if now < self._shrinks_from or not due:
            return
        empty = [each for each in due if not each.pods][: autoscaling.MOST_EMPTY]
        for pool in pools:
            leaving = [each for each in empty if each.pool == pool.name][: pool.target - pool.least]
            if leaving:
                await self._remove(pool, leaving)
        if not empty:
            await self._remove(next(pool for pool in pools if pool.name == due[0].pool), due[:1])

    async def _remove(self, pool: Pool, leaving: Sequence[Unneeded]) -> None:
        """Empty the nodes, then order fewer. A node that can't be emptied takes pods again."""
        for each in leaving:
            await self._taint(each.name, leaving=True)
        emptied = [each for each in leaving if await self._evict(each.pods)]
        for each in leaving:
            if each not in emptied:
                log.info("node %s: its pods do not go", each.name)
                await self._taint(each.name, leaving=False)
                self._shrinks_from = time.monotonic() + AFTER_FAILURE_S
        if emptied:
            log.info("pool %s: without %s", pool.name, ", ".join(each.name for each in emptied))
            await self._order(pool.name, pool.target - len(emptied))

    async def _evict(self, pods: Iterable[api.Object]) -> bool:
        """Have the pods leave their node within the time for it, as their budgets allow. Returns: whether they did."""
        remaining = list(pods)
        deadline = time.monotonic() + EVICT_S
        for pod in remaining:
            while not await self._ask_to_leave(pod):
                if time.monotonic() >= deadline:
                    return False
                await asyncio.sleep(_AGAIN_S)
        deadline = time.monotonic() + GRACE_S
        while await self._are_there(remaining):
            if time.monotonic() >= deadline:
                return True  # the node is removed all the same
            await asyncio.sleep(_AGAIN_S)
        return True

    async def _ask_to_leave(self, pod: api.Object) -> bool:
        """Returns: whether the API server lets it go; it refuses with 429 while a budget forbids it."""
        metadata = pod["metadata"]
        name = {"name": metadata["name"], "namespace": metadata["namespace"]}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}
        body["deleteOptions"] = {"gracePeriodSeconds": _grace_s(pod), "preconditions": {"uid": metadata["uid"]}}
        try:
            await api.post(self._client, f"{_path(pod)}/eviction", body)
        except ApiError as error:
            return error.status in (_GONE, _ANOTHER)
        return True

    async def _are_there(self, pods: Iterable[api.Object]) -> bool:
        for pod in pods:
            live = await api.get(self._client, _path(pod))
            if live is not None and live["metadata"]["uid"] == pod["metadata"]["uid"]:
                return True
        return False

    async def _order(self, pool: str, target: int) -> None:
        patch = requests.patch(
            f"{coreweave.POOLS}/{pool}",
            {"spec": {"targetNodes": target}},
            requests.MERGE_PATCH,
            **requests.writing(manager=MANAGER),
        )
        try:
            await self._client.send(patch)
        except ApiError as error:
            if error.status != _GONE:
                raise

    async def _taint(self, name: str, *, leaving: bool) -> None:
        path = f"{NODES}/{name}"
        node = await api.get(self._client, path)
        if node is not None:
            others = [taint for taint in node["spec"].get("taints") or () if taint["key"] != LEAVING]
            own = [{"key": LEAVING, "value": str(int(time.time())), "effect": "NoSchedule"}] if leaving else []
            await api.patch(self._client, path, {"spec": {"taints": [*others, *own]}})

    def _wait_s(self, pools: Iterable[Pool], now: float) -> float | None:
        """Until the next of the times that run out; None where none does."""
        ends = [since + UNNEEDED_S for since in self._unneeded_since.values()]
        ends = [max(end, self._shrinks_from) for end in ends]
        present = {pool.name: len(pool.nodes) >= pool.least for pool in pools}
        ends += [since + PROVISION_S for name, since in self._short_since.items() if present.get(name)]
        ends += [until for until in self._backed_off_until.values() if until > now]
        return max(min(ends) - now, _AGAIN_S) if ends else None


def is_scaled(spec: dict[str, Any]) -> bool:
    """Whether the autoscaler looks after a pool; CKS refuses the setting for racks, and types that it doesn't have."""
    machine = str(spec["instanceType"])
    is_taken = coreweave.is_known(spec) and not coreweave.is_rack(machine)
    return bool(spec.get("autoscaling")) and "targetNodes" in spec and is_taken


def pool_of(item: api.Object, nodes: Iterable[api.Object], region: str) -> Pool:
    """The pool with its nodes as the autoscaler counts them: by the label that CKS gives each, those that are ready and
    stay."""
    spec, metadata, name = item["spec"], item["metadata"], item["metadata"]["name"]
    own = [each for each in nodes if each["metadata"].get("labels", {}).get(coreweave.POOL_UID) == metadata["uid"]]
    present = tuple(node for node in own if is_ready(node) and not autoscaling.is_leaving(node))
    one_more = autoscaling.template(present, manifest(coreweave.group_of(item, region), 0))
    target = coreweave.target_of(spec)
    return Pool(name, target, int(spec.get("minNodes", 0)), int(spec.get("maxNodes", 0)), present, one_more)


def _grace_s(pod: api.Object) -> int:
    return int(min(pod["spec"].get("terminationGracePeriodSeconds", 30), GRACE_S))


def _path(pod: api.Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
