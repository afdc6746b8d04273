"""What a WekaCluster, a WekaClient and a WekaContainer report. PURE. Called by `controllers.weka`.

A cluster goes from `Init` to `WaitForDrives`, `StartingIO` and `Ready`, one step at each look, and stays `Ready`: a
drive that fails shows in `stats` alone. Words, order and the least number of drives: weka/weka-operator,
`internal/controllers/wekacluster` (funcs_clusterization.go) and `doc/operator/operations/weka-cluster-ops.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from meshctl.lab.weka.operator import containers, drives

Object = dict[str, Any]
INIT, WAITS, STARTING, READY = "Init", "WaitForDrives", "StartingIO", "Ready"
GRACE, DESTROYING = "GracePeriod", "Destroying"
RUNNING, NOT_RUNNING, PAUSED, DRAINING = "Running", "PodNotRunning", "Paused", "Draining"
_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_FOR_DATA: Final = 0.9  # of the capacity behind protection and hot spare: the rest is the system's own (docs.weka.io)
# in the order in which the operator comes to them; the names are those that it stores
_AT: Final = {
    "PodsCreated": INIT,
    "ClusterSecretsCreated": INIT,
    "PodsReady": WAITS,
    "ClusterCreated": WAITS,
    "DrivesAdded": STARTING,
    "IoStarted": READY,
    "ClusterSecretsApplied": READY,
    "CondDefaultFsCreated": READY,
    "ClusterClientsSecretsCreated": READY,
    "ClusterClientsSecretsApplied": READY,
    "ClusterCsiSecretsCreated": READY,
    "ClusterCsiSecretsApplied": READY,
    "ClusterIsReady": READY,
}
_MODES: Final = (containers.COMPUTE, containers.DRIVE)
_REACHED: Final = ("True", "Success", "Completed successfully")
_PENDING: Final = ("False", "Init", "Pending")
_ORDER: Final = (INIT, WAITS, STARTING, READY)


@dataclass(frozen=True)
class Seen:
    """A cluster as its containers and nodes are now. `failures`: serial numbers of drives. `why_not`: what keeps it
    from forming; "" = nothing, or that pods are still to start. `raw_gb`: of all active drives."""

    compute: int
    drive: int
    active_drives: int
    failures: tuple[str, ...]
    raw_gb: float
    why_not: str = ""


def seen(cluster: Object, running: Sequence[tuple[containers.Container, Object]], provider: str) -> Seen:
    """`running`: the containers whose pods are ready, each with its node."""
    backends = [pair for pair in running if pair[0].mode == containers.DRIVE]
    failures: list[str] = []
    sizes: list[float] = []
    for container, node in backends:
        own = drives.usable(node)[: container.drives]
        lost = [serial for serial in own if serial in drives.failed(node)]
        size_of = {drive.serial: drive.size_gb for drive in drives.of_node(node)}
        failures += lost
        sizes += [size_of.get(serial, 0.0) for serial in own if serial not in lost]
    return Seen(
        compute=sum(container.mode == containers.COMPUTE for container, _ in running),
        drive=len(backends),
        active_drives=len(sizes),
        failures=tuple(failures),
        raw_gb=sum(sizes),
        why_not=why_not(cluster, provider),
    )


def why_not(cluster: Object, provider: str) -> str:
    """What keeps a cluster from ever forming, whatever its nodes have; "" = nothing."""
    spec = cluster["spec"]
    backends = containers.of_cluster(cluster)
    count = sum(container.mode == containers.DRIVE for container in backends)
    least = min(count, sum(container.mode == containers.COMPUTE for container in backends))
    if least < containers.LEAST and not (spec.get("overrides") or {}).get("disregardRedundancy"):
        return f"{least} containers of a kind are too few: a cluster needs {containers.LEAST} of each"
    data, protection, spare = stripe(spec)
    if data < 3 or data > 16 or protection not in (2, 4) or data + protection + spare > count:
        return (
            f"stripe width {data}, redundancy {protection} and {spare} hot spares don't fit {count} failure domains "
            "(3 to 16, 2 or 4, and the sum at most that many)"
        )
    physical = provider not in ("eks",)
    if physical and any(not each.udp and not each.devices for each in backends):
        return "no network device is chosen: network.ethDevice, ethDevices, deviceSubnets or selectors, or udpMode"
    return ""


def stripe(spec: Mapping[str, Any]) -> tuple[int, int, int]:
    """(stripe width, redundancy, hot spares) with the defaults that are fixed when a cluster forms."""
    template = spec.get("dynamicTemplate") or {}
    count = template.get("driveContainers") or containers.DEFAULT_CONTAINERS
    protection, spare = spec.get("redundancyLevel") or 2, spec.get("hotSpare", 0)
    return spec.get("stripeWidth") or max(3, min(count - protection - 1, 16)), protection, spare


def least_drives(spec: Mapping[str, Any]) -> int:
    """Drives that must be there before IO starts: all of them, unless the cluster says otherwise."""
    least = (spec.get("startIoConditions") or {}).get("minNumDrives", 0)
    return int(least) or desired_drives(spec)


def desired_drives(spec: Mapping[str, Any]) -> int:
    template = spec.get("dynamicTemplate") or {}
    count = template.get("driveContainers") or containers.DEFAULT_CONTAINERS
    return int(count) * containers.drives_of_a_container(spec)


def next_state(cluster: Object, now: Seen) -> str:
    """The state after this look: at most one step further."""
    spec, state = cluster["spec"], (cluster.get("status") or {}).get("status") or INIT
    if spec.get("expandEndpoints"):
        return READY
    if state == INIT:
        formed = not now.why_not and min(now.compute, now.drive) >= containers.LEAST
        return WAITS if formed else INIT
    if state == WAITS:
        return STARTING if now.active_drives + len(now.failures) >= least_drives(spec) else WAITS
    return READY


def net_bytes(spec: Mapping[str, Any], raw_gb: float) -> int:
    """Capacity for file systems (docs.weka.io, "SSD capacity management")."""
    template = spec.get("dynamicTemplate") or {}
    count = template.get("driveContainers") or containers.DEFAULT_CONTAINERS
    data, protection, spare = stripe(spec)
    return int(raw_gb * 1e9 * (count - spare) / count * data / (data + protection) * _FOR_DATA)


def of_cluster(cluster: Object, now: Seen, *, guid: str, provisioned: int, alerts: int, stamp: str) -> Object:
    """The whole status, with the step that this look allows. `provisioned`: bytes of its file systems."""
    spec, state = cluster["spec"], next_state(cluster, now)
    before = cluster.get("status") or {}
    wanted = _wanted(spec)
    status = {
        "status": state,
        "conditions": conditions(state, before.get("conditions", []), stamp, now.why_not),
        "ports": {"basePort": containers.BASE_PORT, "portRange": 500},
        "printer": {
            "computeContainers": f"{now.compute}/{wanted['compute']}/{wanted['compute']}",
            "driveContainers": f"{now.drive}/{wanted['drive']}/{wanted['drive']}",
            "drives": "/".join(str(count) for count in _drive_counts(spec, now).values()),
        },
    }
    if state != INIT:
        status["clusterID"] = guid
        status["stats"] = _stats(spec, state, now, provisioned, alerts)
    if state == READY:
        status["lastAppliedImage"] = spec["image"]
    return status


def _wanted(spec: Mapping[str, Any]) -> dict[str, int]:
    """Containers, by mode."""
    template = spec.get("dynamicTemplate") or {}
    return {mode: template.get(f"{mode}Containers") or containers.DEFAULT_CONTAINERS for mode in _MODES}


def _drive_counts(spec: Mapping[str, Any], now: Seen) -> Object:
    created = now.active_drives + len(now.failures)
    return {"active": now.active_drives, "created": created, "desired": desired_drives(spec)}


def _stats(spec: Mapping[str, Any], state: str, now: Seen, provisioned: int, alerts: int) -> Object:
    """Of a cluster that has formed."""
    health, wanted = "REBUILDING" if now.failures else "OK", _wanted(spec)
    total = net_bytes(spec, now.raw_gb)
    return {
        "clusterStatus": health if state == READY else "UNINITIALIZED",
        "alertsCount": alerts + len(now.failures),
        "containers": {
            "compute": {"numContainers": _counts(now.compute, wanted["compute"]), "cpuUtilization": "0"},
            "drive": {"numContainers": _counts(now.drive, wanted["drive"]), "cpuUtilization": "0"},
        },
        "drives": {
            "counters": _drive_counts(spec, now),
            "failures": [{"serialId": serial, "wekaDriveId": str(n)} for n, serial in enumerate(now.failures)],
        },
        "capacity": {
            "totalBytes": total,
            "unprovisionedBytes": max(total - provisioned, 0),
            "unavailableBytes": 0,
            "hotSpareBytes": net_bytes({**spec, "hotSpare": 0}, now.raw_gb) - total,
        },
        "filesystem": {"totalProvisionedCapacity": provisioned},
    }


def _counts(running: int, wanted: int) -> Object:
    return {"active": running, "created": wanted, "desired": wanted}


def conditions(state: str, before: Iterable[Object], stamp: str, why: str = "") -> list[Object]:
    """The conditions in this state; what has not changed keeps its time."""
    present = {each["type"]: each for each in before}
    made = []
    for name, since in _AT.items():
        reached = state in _ORDER and _ORDER.index(state) >= _ORDER.index(since)
        status, reason, message = _REACHED if reached else _PENDING
        if name == "ClusterCreated" and not reached and why:
            reason, message = "Error", why
        old = present.get(name, {})
        at = old["lastTransitionTime"] if old.get("status") == status else stamp
        made.append({"type": name, "status": status, "reason": reason, "message": message, "lastTransitionTime": at})
    return made


def of_client(running: int, wanted: int) -> Object:
    """The status of a WekaClient that is not being deleted."""
    return {
        "status": RUNNING if wanted and running == wanted else INIT,
        "stats": {"containers": _counts(running, wanted)},
        "printer": {"containers": f"{running}/{wanted}/{wanted}"},
    }


def of_container(state: str, node: Object | None, container: containers.Container, address: str) -> Object:
    """The status of a WekaContainer. `node`: where its pod runs."""
    own = list(drives.usable(node)[: container.drives]) if node else []
    name = node["metadata"]["name"] if node else ""
    printer = {"nodeAffinity": name, "processes": f"{container.cores}/{container.cores}/{container.cores}"}
    if own:
        lost = len([serial for serial in own if node and serial in drives.failed(node)])
        printer["drives"] = f"{len(own) - lost}/{len(own)}/{container.drives}"
    status: Object = {"status": state, "lastAppliedImage": container.image, "printer": printer}
    if own:
        status["allocations"] = {"drives": own, "wekaPort": containers.BASE_PORT}
    return status | ({"managementIP": address} if address else {})


def duration_s(text: str) -> float:
    """A duration as Go writes it, in seconds."""
    return sum(float(number) * _UNITS_S[unit] for number, unit in re.findall(r"([0-9.]+)(ns|us|µs|ms|s|m|h)", text))
