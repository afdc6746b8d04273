"""Which WekaContainers a WekaCluster or WekaClient needs, and the pod of each. PURE. Called by `controllers.weka`.

The API server's own scheduler places the pods, by what they ask for: so too few huge pages, cores, drives or nodes show
as on a real cluster. Defaults and formulas of huge pages: the operator's allocator (weka/weka-operator,
`internal/controllers/allocator`); memory of each core: docs.weka.io, "Prerequisites and compatibility"; one container
of a kind on a node, and at least five: `doc/operator/deployment/cluster-provisioning.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshctl.lab.weka.kinds.definitions import GROUP, VERSION
from meshctl.lab.weka.operator import drives

Object = dict[str, Any]
CLUSTER_LABEL: Final = "weka.io/cluster-name"
CLIENT_LABEL: Final = "weka.io/client-name"
MODE_LABEL: Final = "weka.io/mode"
COMPUTE, DRIVE, CLIENT = "compute", "drive", "client"
LEAST: Final = 5  # containers of a kind, below which no cluster forms
DEFAULT_CONTAINERS: Final = 6
BASE_PORT: Final = 35000
_PAGES: Final = "hugepages-2Mi"
INTERFACES: Final = "weka.io/weka-nics"  # of a node: annotation and extended resource, made by the policy ensure-nics
_GB: Final = 1e9
_MIB: Final = 2**20
_MEMORY_GB: Final = {COMPUTE: 3.9, DRIVE: 2.0, CLIENT: 2.2}  # for each core
_BASE_MEMORY_GB: Final = {COMPUTE: 2.8, DRIVE: 0.0, CLIENT: 0.0}  # once on each node
_HYPERTHREADED: Final = "dedicated_ht"


@dataclass(frozen=True)
class Container:
    """One WekaContainer as the operator declares it. `node`: the only node for it; "" = any that fits."""

    name: str
    namespace: str
    mode: str
    image: str
    cores: int
    hugepages_mib: int
    hugepages_offset_mib: int
    drives: int = 0
    node: str = ""
    extra_memory_mib: int = 0
    cpu_policy: str = "auto"
    pull_secret: str = ""
    udp: bool = False
    devices: tuple[str, ...] = ()  # how the network was chosen; empty = interfaces of the policy ensure-nics
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)  # with those of its owner, which the operator copies
    owner: Mapping[str, str] = field(default_factory=dict)  # of the WekaContainer: an ownerReference


def of_cluster(cluster: Object) -> list[Container]:
    """The backends of a cluster: first compute containers, then drive containers."""
    spec, template = cluster["spec"], cluster["spec"].get("dynamicTemplate") or {}
    return [
        _backend(cluster, mode, number)
        for mode in (COMPUTE, DRIVE)
        for number in range(template.get(f"{mode}Containers") or DEFAULT_CONTAINERS)
        if not spec.get("expandEndpoints")
    ]


def _backend(cluster: Object, mode: str, number: int) -> Container:
    metadata, spec = cluster["metadata"], cluster["spec"]
    template = spec.get("dynamicTemplate") or {}
    cores = template.get(f"{mode}Cores") or 1
    network = (spec.get("roleNetworkSelector") or {}).get(mode) or spec.get("network") or {}
    own_drives = drives_of_a_container(spec) if mode == DRIVE else 0
    pages, offset = _backend_pages(spec, mode, cores, dpdk=not network.get("udpMode", False))
    return Container(
        name=f"{metadata['name']}-{mode}-{number}",
        namespace=metadata["namespace"],
        mode=mode,
        image=spec["image"],
        cores=cores,
        hugepages_mib=template.get(f"{mode}Hugepages") or pages,
        hugepages_offset_mib=template.get(f"{mode}HugepagesOffset") or offset,
        drives=own_drives,
        extra_memory_mib=(spec.get("additionalMemory") or {}).get(mode, 0),
        node_selector=(spec.get("roleNodeSelector") or {}).get(mode) or spec.get("nodeSelector") or {},
        labels={**(metadata.get("labels") or {}), CLUSTER_LABEL: metadata["name"], MODE_LABEL: mode},
        **_shared(cluster, "WekaCluster", network),
    )


def of_client(client: Object, nodes: Iterable[Object]) -> list[Container]:
    """A container for each node that the client selects."""
    metadata, spec = client["metadata"], client["spec"]
    cores, network = spec.get("coresNum") or 1, spec.get("network") or {}
    dpdk = 0 if network.get("udpMode") else 64 * cores
    selector = spec.get("nodeSelector") or {}
    return [
        Container(
            name=f"{metadata['name']}-{node['metadata']['name']}",
            namespace=metadata["namespace"],
            mode=CLIENT,
            image=spec["image"],
            cores=cores,
            hugepages_mib=spec.get("hugepages") or 1500 * cores + dpdk,
            hugepages_offset_mib=spec.get("hugepagesOffset") or 200 + dpdk,
            node=node["metadata"]["name"],
            extra_memory_mib=spec.get("additionalMemory", 0),
            node_selector=selector,
            labels={**(metadata.get("labels") or {}), CLIENT_LABEL: metadata["name"], MODE_LABEL: CLIENT},
            **_shared(client, "WekaClient", network),
        )
        for node in nodes
        if selects(selector, node)
    ]


def _shared(owner: Object, kind: str, network: Mapping[str, Any]) -> dict[str, Any]:
    metadata, spec = owner["metadata"], owner["spec"]
    by_key = [
        {"key": key, "operator": "Exists", "effect": effect}
        for key in spec.get("tolerations", [])
        for effect in ("NoExecute", "NoSchedule")
    ]
    devices = [network["ethDevice"]] if network.get("ethDevice") else list(network.get("ethDevices", []))
    chosen = devices or [*network.get("deviceSubnets", []), *(str(each) for each in network.get("selectors", []))]
    return {
        "cpu_policy": spec.get("cpuPolicy", "auto"),
        "pull_secret": spec.get("imagePullSecret", ""),
        "udp": bool(network.get("udpMode", False)),
        "devices": tuple(chosen),
        "tolerations": (*by_key, *spec.get("rawTolerations", [])),
        "owner": {"kind": kind, "name": metadata["name"], "uid": metadata["uid"]},
    }


def drives_of_a_container(spec: Mapping[str, Any]) -> int:
    template = spec.get("dynamicTemplate") or {}
    return template.get("numDrives") or template.get("driveCores") or 1


def _backend_pages(spec: Mapping[str, Any], mode: str, cores: int, *, dpdk: bool) -> tuple[int, int]:
    """(huge pages, offset) in MiB, as the operator computes them where the cluster does not say."""
    extra = 64 * cores if dpdk else 0
    if mode == DRIVE:
        offset = 200 * drives_of_a_container(spec) + extra
        return 1400 * cores + offset, offset
    return 3000 * cores, 200 + extra


def selects(selector: Mapping[str, str], node: Object) -> bool:
    labels = node["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())


def manifest(container: Container) -> Object:
    """The WekaContainer."""
    spec = {
        "name": container.name.replace("-", "x"),
        "image": container.image,
        "mode": container.mode,
        "numCores": container.cores,
        "numDrives": container.drives,
        "hugepages": container.hugepages_mib,
        "hugepagesOffset": container.hugepages_offset_mib,
        "nodeSelector": dict(container.node_selector),
        "nodeAffinity": container.node,
        "tolerations": [dict(each) for each in container.tolerations],
        "imagePullSecret": container.pull_secret,
        "network": {"udpMode": container.udp},
    }
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "WekaContainer",
        "metadata": _metadata(container, f"{GROUP}/{VERSION}", container.owner),
        "spec": {key: value for key, value in spec.items() if value not in ("", 0, {}, [])},
    }


def pod(container: Container, uid: str) -> Object:
    """The pod of a WekaContainer with this uid. It needs what no restricted namespace allows, as the real one."""
    owner = {"kind": "WekaContainer", "name": container.name, "uid": uid}
    spec: Object = {
        "hostNetwork": True,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 5,
        "nodeSelector": {**container.node_selector, "kubernetes.io/os": "linux"},
        "affinity": {"podAntiAffinity": _one_of_a_kind(container.mode)},
        "tolerations": [dict(each) for each in container.tolerations],
        "containers": [
            {
                "name": "weka-container",
                "image": container.image,
                "securityContext": {"privileged": True},
                "resources": {"requests": requests(container), "limits": _limits(container)},
            }
        ],
    }
    if container.node:
        spec["affinity"]["nodeAffinity"] = _on(container.node)
    if container.pull_secret:
        spec["imagePullSecrets"] = [{"name": container.pull_secret}]
    metadata = _metadata(container, f"{GROUP}/{VERSION}", owner)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _metadata(container: Container, version: str, owner: Mapping[str, str]) -> Object:
    reference = {"apiVersion": version, "controller": True, "blockOwnerDeletion": True, **owner}
    return {
        "name": container.name,
        "namespace": container.namespace,
        "labels": dict(container.labels),
        "ownerReferences": [reference],
    }


def requests(container: Container) -> dict[str, str]:
    """What the scheduler has to find on a node. Threads of hyper-threaded cores come in pairs, and one pair is WEKA's
    own."""
    cpu = 2 * container.cores + 1 if container.cpu_policy == _HYPERTHREADED else container.cores
    return {"cpu": str(cpu), "memory": f"{_memory_mib(container)}Mi", **_limits(container)}


def _limits(container: Container) -> dict[str, str]:
    """Every core polls an interface of its own, unless the network is UDP."""
    limits = {_PAGES: f"{container.hugepages_mib + container.hugepages_offset_mib}Mi"}
    if container.drives:
        limits[drives.RESOURCE] = str(container.drives)
    if not container.udp and not container.devices:
        limits[INTERFACES] = str(container.cores)
    return limits


def _memory_mib(container: Container) -> int:
    base, each = _BASE_MEMORY_GB[container.mode], _MEMORY_GB[container.mode]
    return round((base + each * container.cores) * _GB / _MIB) + container.extra_memory_mib


def _one_of_a_kind(mode: str) -> Object:
    term = {
        "labelSelector": {"matchLabels": {MODE_LABEL: mode}},
        "namespaceSelector": {},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {"requiredDuringSchedulingIgnoredDuringExecution": [term]}


def _on(node: str) -> Object:
    field_is = {"key": "metadata.name", "operator": "In", "values": [node]}
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field_is]}]}}
