"""Load balancers of all clusters: Services get an address, connections go to ready endpoints. EDGE. Run by `__main__`.

A Service of type LoadBalancer gets the address in its status (EKS: a host name that the lab's DNS answers). Every other
Service with a cluster address gets a forwarder too, by which process pods reach it under its name; while it has no
ready pod it refuses connections, as kube-proxy does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import ssl
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from meshctl.lab.network import allocation, sealed_ports, targets
from meshctl.lab.network.forwarder import Endpoint, Forwarder
from meshctl.lab.pods import addresses, api
from meshctl.lab.state import write_atomically
from meshwire.kubernetes.async_client import AsyncClient

log = logging.getLogger(__name__)
Object = dict[str, Any]
SERVICE_LABEL = "kubernetes.io/service-name"
EKS = {"aws", "eks"}
# The Service of a new load balancer has the name at once (v2toStatus of cloud-provider-aws). Until DNS has the name it
# takes one or two minutes on AWS, and two seconds in the lab.
NAME_LATE_S = 2.0
SYNC_AGAIN_S = 5.0  # the first pause of the service controller, which then waits for longer and longer
_GONE: Object = {"spec": {}}  # stands for a Service that was deleted a moment ago


def ready_endpoints(slices: list[Object], port_name: str) -> list[Endpoint]:
    """(pod address, port) of every ready endpoint, sorted; `port_name` is the Service port's ("" when it has none)."""
    ready: set[Endpoint] = set()
    for each in slices:
        ports = [port["port"] for port in each.get("ports") or [] if (port.get("name") or "") == port_name]
        for endpoint in each.get("endpoints") or []:
            if endpoint.get("conditions", {}).get("ready", True):
                ready.update((address, port) for address in endpoint["addresses"] for port in ports)
    return sorted(ready)


def is_forwarded(service: Object) -> bool:
    """Whether the Service has a cluster address and selects pods: it is not headless, not external, and not that of the
    API server."""
    spec = service["spec"]
    return bool(spec.get("selector")) and spec.get("clusterIP") not in {None, "", "None"} and bool(spec.get("ports"))


def refuses(service: Object, slices: list[Object]) -> bool:
    """Whether connections to the Service are refused: it has no ready pod, and is no load balancer, which takes them
    first."""
    if service["spec"].get("type") == "LoadBalancer":
        return False
    return not any(ready_endpoints(slices, port.get("name") or "") for port in service["spec"].get("ports") or ())


class Port(NamedTuple):
    """Of a Service, "namespace/name". `certificate`: the ARN of the one with which it ends TLS, or empty."""

    service: str
    number: int
    name: str
    certificate: str


@dataclass
class ClusterState:
    """What a cluster has now; `slices` by "namespace/service" and then by their own name."""

    cluster: api.Cluster
    client: AsyncClient
    services: dict[str, Object] = field(default_factory=dict)
    slices: dict[str, dict[str, Object]] = field(default_factory=dict)
    forwarders: dict[Port, Forwarder] = field(default_factory=dict)
    nodes: set[str] = field(default_factory=set)  # on EKS: the nodes that are targets of load balancers
    reconciling: asyncio.Lock = field(default_factory=asyncio.Lock)


class Balancers:
    """`hostnames`: name of an AWS load balancer -> its loopback address; read by the DNS server."""

    def __init__(self, root: Path, *, name_late_s: float = NAME_LATE_S) -> None:
        self.root = root
        self.name_late_s = name_late_s
        self.allocation = allocation.Allocation(root)
        self.hostnames: dict[str, str] = {}
        self.clusters: dict[str, ClusterState] = {}
        self.syncing: asyncio.Future[None] | None = None
        self.pods: dict[str, str] = {}
        self.pods_version = (0, 0)

    async def play(self, cluster: api.Cluster) -> None:
        state = ClusterState(cluster, api.connect(cluster))
        self.clusters[cluster.name] = state
        try:
            has_targets = cluster.provider in EKS
            nodes = (self._follow_nodes(state),) if has_targets else ()
            await asyncio.gather(self._follow_services(state), self._follow_slices(state), *nodes)
        finally:
            for forwarder in state.forwarders.values():
                forwarder.close()
            del self.clusters[cluster.name]
            await state.client.aclose()

    async def _follow_services(self, state: ClusterState) -> None:
        async for event in api.watch(state.client, "/api/v1/services"):
            if event.kind == "SYNCED":
                state.services = {name_of(each): each for each in event.objects}
            elif event.kind == "DELETED":
                state.services.pop(name_of(event.object), None)
            else:
                state.services[name_of(event.object)] = event.object
            await self.reconcile(state)

    async def _follow_slices(self, state: ClusterState) -> None:
        async for event in api.watch(state.client, "/apis/discovery.k8s.io/v1/endpointslices"):
            if event.kind == "SYNCED":
                state.slices = {}
                for each in event.objects:
                    state.slices.setdefault(service_of(each), {})[each["metadata"]["name"]] = each
                await self.reconcile(state)
                continue
            refused = self._refuses(state, service_of(event.object))
            slices_of_service = state.slices.setdefault(service_of(event.object), {})
            if event.kind == "DELETED":
                slices_of_service.pop(event.object["metadata"]["name"], None)
            else:
                slices_of_service[event.object["metadata"]["name"]] = event.object
            if refused != self._refuses(state, service_of(event.object)):
                await self.reconcile(state)

    def _refuses(self, state: ClusterState, name: str) -> bool:
        return refuses(state.services.get(name, _GONE), list(state.slices.get(name, {}).values()))

    async def _follow_nodes(self, state: ClusterState) -> None:
        async for event in api.watch(state.client, "/api/v1/nodes"):
            nodes = set(state.nodes)
            if event.kind == "SYNCED":
                nodes = {each["metadata"]["name"] for each in event.objects if targets.is_ready(each)}
            elif event.kind != "DELETED" and targets.is_ready(event.object):
                nodes.add(event.object["metadata"]["name"])
            else:
                nodes.discard(event.object["metadata"]["name"])
            gone, state.nodes = state.nodes - nodes, nodes
            for node in gone:
                for forwarder in state.forwarders.values():
                    forwarder.drop(node)

    async def reconcile(self, state: ClusterState) -> None:
        """Forwarders and statuses as the Services want them."""
        async with state.reconciling:
            await self._reconcile(state)

    async def _reconcile(self, state: ClusterState) -> None:
        wanted: dict[Port, str] = {}
        for name, service in state.services.items():
            if is_forwarded(service) and not service["metadata"].get("deletionTimestamp"):
                address = self.allocation.address(f"{state.cluster.name}/{name}")
                wanted |= dict.fromkeys(_ports(state.cluster, name, service), address)
        refused = {port.service for port in wanted if self._is_refused(state, port)}
        silent = {port.service for port in wanted if self._refuses(state, port.service)}
        for port in list(state.forwarders):
            if port not in wanted or port.service in silent:
                state.forwarders.pop(port).close()
        for port in set(wanted) - set(state.forwarders):
            if port.service not in refused | silent:
                await self._open(state, port, wanted[port])
        present = {port.service for port in wanted}
        self._forget(state, present)
        for name in present - refused:
            await self.publish(state, name)
        self._write_services()
        if refused:
            asyncio.get_running_loop().call_later(SYNC_AGAIN_S, self._reconcile_again, state)

    def _reconcile_again(self, state: ClusterState) -> None:
        if state.cluster.name in self.clusters:
            self.syncing = asyncio.ensure_future(self.reconcile(state))

    def _is_refused(self, state: ClusterState, port: Port) -> bool:
        """Whether the load balancer gets no such listener; it has no address before it has all of them."""
        if not port.certificate or port in state.forwarders:
            return False
        refusal = sealed_ports.refusal(self.root, port.certificate, state.cluster.region)
        if refusal is None:
            return False
        rule = refusal.rule
        log.warning(
            "refused CreateListener for %s of %s: %s: %s (rule %s, source: %s)",
            *(port.service, state.cluster.name, refusal.code, refusal.message, rule.id, rule.source),
        )
        return True

    async def _open(self, state: ClusterState, port: Port, address: str) -> None:
        name, turn = port.service, count()
        try:
            tls = sealed_ports.context(self.root, port.certificate) if port.certificate else None
            forwarder = Forwarder(
                address,
                port.number,
                lambda: self.endpoints(state, name, port.name),
                admits=lambda peer: targets.admits(state.services.get(name, _GONE), peer),
                node=lambda: targets.node_between(state.services.get(name, _GONE), sorted(state.nodes), next(turn)),
                tls=tls,
            )
            await forwarder.open()
            state.forwarders[port] = forwarder
        except (OSError, ssl.SSLError, KeyError) as error:
            log.warning("service %s of %s: %s", name, state.cluster.name, error)

    def endpoints(self, state: ClusterState, name: str, port_name: str) -> list[Endpoint]:
        """Where a new connection may go: loopback addresses of ready process pods. Simulated pods have no process."""
        table = self._pod_addresses()
        ready = ready_endpoints(list(state.slices.get(name, {}).values()), port_name)
        return [(table[address], port) for address, port in ready if address in table]

    def _pod_addresses(self) -> dict[str, str]:
        try:
            stat = (self.root / "pods" / "addresses.json").stat()
        except OSError:
            return self.pods
        version = (stat.st_mtime_ns, stat.st_ino)  # with the inode, as two writes may have the same time
        if version != self.pods_version:
            with contextlib.suppress(OSError, ValueError, KeyError):  # until it can be read, the last table counts
                self.pods, self.pods_version = addresses.read(self.root), version
        return self.pods

    def _forget(self, state: ClusterState, present: set[str]) -> None:
        for key in [each for each in self.allocation.table if each.split("/", 1)[0] == state.cluster.name]:
            if key.split("/", 1)[1] not in present:
                self.allocation.release(key)
                self.hostnames.pop(allocation.hostname(key), None)

    async def publish(self, state: ClusterState, name: str) -> None:
        """Write the address of a load balancer into the status of its Service."""
        service = state.services[name]
        if service["spec"].get("type") != "LoadBalancer":
            return
        key = f"{state.cluster.name}/{name}"
        address = self.allocation.address(key)
        ingress: Object = {"ip": address}
        if state.cluster.provider in EKS:
            ingress = {"hostname": allocation.hostname(key)}
        present = [
            {k: v for k, v in each.items() if k in {"ip", "hostname"}}
            for each in service.get("status", {}).get("loadBalancer", {}).get("ingress", [])
        ]
        if "hostname" in ingress:
            late_s = 0 if present == [ingress] else self.name_late_s
            asyncio.get_running_loop().call_later(late_s, self._make_known, key)
        if present != [ingress]:
            namespace, short = name.split("/")
            path = f"/api/v1/namespaces/{namespace}/services/{short}/status"
            try:
                await api.patch(state.client, path, {"status": {"loadBalancer": {"ingress": [ingress]}}})
            except api.TRANSPORT_ERRORS as error:  # tried again with the next change of any Service; connections go on
                log.warning("address of service %s: %r", name, error)

    def _make_known(self, key: str) -> None:
        """From now on DNS answers for the load balancer's name, unless the Service is gone meanwhile."""
        if key in self.allocation.table:
            self.hostnames[allocation.hostname(key)] = self.allocation.address(key)

    def _write_services(self) -> None:
        allocation.write(self.root / "network" / "services.json", self.allocation.table)
        used = [
            (port.certificate, f"net/{allocation.hostname(f'{state.cluster.name}/{port.service}').partition('.')[0]}")
            for state in self.clusters.values()
            for port in state.forwarders
            if port.certificate
        ]
        write_atomically(self.root / "network" / "certificates.json", json.dumps(sealed_ports.users(used)))


def _ports(cluster: api.Cluster, name: str, service: Object) -> list[Port]:
    ports = [port for port in service["spec"]["ports"] if port.get("protocol", "TCP") == "TCP"]
    is_balanced = service["spec"].get("type") == "LoadBalancer" and cluster.provider in EKS
    return [
        Port(
            name,
            port["port"],
            port.get("name") or "",
            sealed_ports.certificate_of(service, port) if is_balanced else "",
        )
        for port in ports
    ]


def name_of(service: Object) -> str:
    return f"{service['metadata']['namespace']}/{service['metadata']['name']}"


def service_of(each: Object) -> str:
    return f"{each['metadata']['namespace']}/{each['metadata'].get('labels', {}).get(SERVICE_LABEL, '')}"
