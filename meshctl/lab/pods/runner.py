"""Watches the pods of every cluster and plays those whose images the lab knows. EDGE. Run by `__main__`."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import Any

from meshctl.lab import images
from meshctl.lab.images import foreign_registries
from meshctl.lab.pods import addresses, api, kubelet, lifetime, names
from meshctl.lab.pods.lifecycle import Place, PodRun
from meshwire.kubernetes.async_client import AsyncClient

log = logging.getLogger(__name__)
Object = dict[str, Any]
OVER = {"Succeeded", "Failed"}


def is_ours(pod: Object, region: str) -> bool:
    """Whether the runner plays the pod: it is bound to a node, and all of its images are known, or one of them can't be
    pulled in the region."""
    spec = pod["spec"]
    names = [each["image"] for each in [*spec.get("initContainers", []), *spec["containers"]]]
    is_stuck = any(foreign_registries.is_foreign(name, region) for name in names)
    return bool(spec.get("nodeName")) and (is_stuck or all(images.runnable(name) for name in names))


def is_silent(node: Object) -> bool:
    """Whether the node does not answer any more. PURE."""
    conditions = node.get("status", {}).get("conditions") or ()
    return any((each["type"], each["status"]) == ("Ready", "Unknown") for each in conditions)


class Runner:
    """All pods of one lab. `runs` holds the live ones by uid; `silent` the nodes that do not answer, as (cluster,
    node)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.addresses = addresses.Addresses(root)
        self.runs: dict[str, PodRun] = {}
        self.peers: dict[str, names.Peer] = {}
        self.silent: set[tuple[str, str]] = set()

    def end_orphans(self) -> None:
        """End the processes of an earlier runner. They end with it, unless a kill came between the start and the call
        that ties them to it."""
        for path in (self.root / "pods").glob("*/*.pid.json"):
            lifetime.end_recorded(path)

    async def serve(self) -> None:
        self.end_orphans()
        await asyncio.gather(api.follow_clusters(self.root, self.play), self.keep_names())

    async def play(self, cluster: api.Cluster) -> None:
        client = api.connect(cluster)
        try:
            await asyncio.gather(
                self.follow_pods(cluster, client), self.follow_nodes(cluster, client), self.serve_logs(cluster)
            )
        finally:
            leaving = [uid for uid, run in self.runs.items() if run.place.cluster == cluster]
            await asyncio.gather(*(self.runs.pop(uid).leave() for uid in leaving))  # the pods go on in the next run
            await client.aclose()

    async def follow_pods(self, cluster: api.Cluster, client: AsyncClient) -> None:
        async for event in api.watch(client, "/api/v1/pods"):
            if event.kind == "SYNCED":
                present = {pod["metadata"]["uid"] for pod in event.objects}
                gone = [uid for uid, run in self.runs.items() if run.place.cluster == cluster and uid not in present]
                for uid in gone:
                    await self.forget(uid)
                for pod in event.objects:
                    self.see(cluster, client, pod)
            elif event.kind == "DELETED":
                await self.forget(event.object["metadata"]["uid"])
            else:
                self.see(cluster, client, event.object)

    def see(self, cluster: api.Cluster, client: AsyncClient, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self.runs:
            self.runs[uid].update(pod)
            return
        if not is_ours(pod, cluster.region) or (cluster.name, pod["spec"]["nodeName"]) in self.silent:
            return
        if pod.get("status", {}).get("phase") in OVER and not pod["metadata"].get("deletionTimestamp"):
            return
        folder = self.root / "pods" / uid
        folder.mkdir(parents=True, exist_ok=True)
        address, loopback = self.addresses.assign(uid)
        self.peers[uid] = names.peer_of(cluster.name, pod, loopback)
        self.write_names()
        if pod["metadata"].get("deletionTimestamp"):  # deleted before, or ended: nothing to start
            asyncio.ensure_future(self._remove(client, pod))  # noqa: RUF006 (retried at the next event)
            return
        self.runs[uid] = PodRun(pod, Place(self.root, cluster, client, folder, address, loopback))
        log.info("pod %s/%s of %s at %s", pod["metadata"]["namespace"], pod["metadata"]["name"], cluster.name, loopback)

    async def _remove(self, client: AsyncClient, pod: Object) -> None:
        path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
        try:
            await api.delete_now(client, path, pod["metadata"]["uid"])
        except api.TRANSPORT_ERRORS as error:
            log.warning("%s: %r", path, error)

    async def forget(self, uid: str) -> None:
        """Kill what still runs of a pod whose object is gone."""
        run = self.runs.pop(uid, None)
        self.peers.pop(uid, None)
        self.addresses.release(uid)
        if run:
            await run.leave()

    async def follow_nodes(self, cluster: api.Cluster, client: AsyncClient) -> None:
        """A node that vanishes, or stops answering, takes its pods along, without a signal to them."""
        async for event in api.watch(client, "/api/v1/nodes"):
            if event.kind == "DELETED":
                self.lose(cluster, event.object["metadata"]["name"])
                continue
            nodes = event.objects if event.kind == "SYNCED" else (event.object,)
            if event.kind == "SYNCED":
                present = {node["metadata"]["name"] for node in nodes}
                for name in {run.node for run in self.runs.values() if run.place.cluster == cluster} - present:
                    self.lose(cluster, name)
            for node in nodes:
                await self.hear(cluster, client, node)

    def lose(self, cluster: api.Cluster, node: str) -> None:
        """The node is gone, and its pods with it."""
        self.silent.discard((cluster.name, node))
        for run in self._runs_on(cluster, node).values():
            run.lose_node()

    async def hear(self, cluster: api.Cluster, client: AsyncClient, node: Object) -> None:
        """Play a node that stops answering, as a machine without power: its processes are killed, and nobody says so.
        Once it answers again, its pods start anew, and those that were to end are gone."""
        name = node["metadata"]["name"]
        was_silent, silent = (cluster.name, name) in self.silent, is_silent(node)
        if silent and not was_silent:
            self.silent.add((cluster.name, name))
            for uid, run in self._runs_on(cluster, name).items():
                del self.runs[uid]
                await run.leave()
                await run.count_as_unready()
        elif was_silent and not silent:
            self.silent.discard((cluster.name, name))
            for pod in await api.items(client, "/api/v1/pods", fieldSelector=f"spec.nodeName={name}"):
                self.see(cluster, client, pod)

    def _runs_on(self, cluster: api.Cluster, node: str) -> dict[str, PodRun]:
        return {uid: run for uid, run in self.runs.items() if (run.place.cluster, run.node) == (cluster, node)}

    async def serve_logs(self, cluster: api.Cluster) -> None:
        """A cluster whose nodes have no logs to be read is better than none."""
        try:
            await kubelet.serve(kubelet.Kubelet.read(Path(cluster.kubeconfig).parent), partial(self.log_of, cluster))
        except (OSError, ValueError, TypeError) as error:
            log.warning("no logs of pods in %s: %r", cluster.name, error)

    def log_of(self, cluster: api.Cluster, namespace: str, pod: str, container: str) -> kubelet.Written | None:
        for run in self.runs.values():
            metadata = run.pod["metadata"]
            if run.place.cluster == cluster and (metadata["namespace"], metadata["name"]) == (namespace, pod):
                own = (each for each in run.containers if each.state.name == container)
                return next((kubelet.Written(each.log_path, each.log_begins_at) for each in own), None)
        return None

    async def keep_names(self) -> None:
        while True:
            self.write_names()
            await asyncio.sleep(0.5)

    def write_names(self) -> None:
        services = names.read_services(self.root)
        peers = list(self.peers.values())
        for uid, own in self.peers.items():
            folder = self.root / "pods" / uid
            if folder.exists():
                names.write(folder / "hosts", names.hosts(own, peers, services))
