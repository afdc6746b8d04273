"""CoreWeave NodePools -> nodes, with the conditions that CKS reports. EDGE.

Source of the fields and conditions: docs.coreweave.com, products/cks/reference/node-pool. A fault `{"operation":
"NodePool", "error": "NotSet"}` in `faults.json` plays a missing quota: the pool is accepted and never fills.
"""

from __future__ import annotations

import asyncio
import datetime
import json
from importlib import resources
from typing import Any

import httpx2 as httpx
import yaml

from meshctl.catalog import load_catalog
from meshctl.lab.controllers.nodes import GROUP_LABEL, Group, keep
from meshctl.lab.controllers.volumes import storage_class
from meshctl.lab.pods import api
from meshctl.lab.state import Lab

EVERY_S = 0.3
CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POOLS = "/apis/compute.coreweave.com/v1alpha1/nodepools"


async def play(lab: Lab, cluster: api.Cluster, client: httpx.AsyncClient) -> None:
    """Keep the pools at their targets, for ever."""
    await _install(client)
    known: set[str] = set()
    while True:
        listing = await client.get(POOLS)
        if listing.status_code == 200:
            pools = {pool["metadata"]["name"]: pool for pool in listing.json()["items"]}
            for pool in pools.values():
                await _reconcile(lab, cluster, client, pool)
            for gone in known - set(pools):
                await client.request("DELETE", "/api/v1/nodes", params={"labelSelector": f"{GROUP_LABEL}={gone}"})
            known = set(pools)
        await asyncio.sleep(EVERY_S)


async def _install(client: httpx.AsyncClient) -> None:
    definition = yaml.safe_load(resources.files(__package__).joinpath("nodepool-crd.yaml").read_text())
    await client.post(CRD, json=definition)  # 409 when it is there from an earlier start
    await storage_class(client, "shared-vast", "vast.coreweave.lab", waits=False)


async def _reconcile(lab: Lab, cluster: api.Cluster, client: httpx.AsyncClient, pool: dict[str, Any]) -> None:
    spec, name = pool["spec"], pool["metadata"]["name"]
    machine = load_catalog().machine("coreweave", spec.get("instanceType", ""))
    target = int(spec.get("targetNodes", 0))
    problem = _problem(lab, spec, known=machine is not None)
    ready = 0
    if machine is not None and not problem[0]:
        labels = {
            **spec.get("nodeLabels", {}),
            "compute.coreweave.com/node-pool": name,
            "node.coreweave.cloud/class": "gpu" if machine.gpu_count else "cpu",
            "node.coreweave.cloud/state": "production",
            "node.coreweave.cloud/type": machine.name,
        }
        if machine.rdma and machine.rdma.kind == "infiniband":
            labels |= {"backend.coreweave.cloud/flavor": "infiniband", "backend.coreweave.cloud/fabric": "fabric-1"}
        taints = tuple({k: v for k, v in taint.items() if v} for taint in spec.get("nodeTaints") or ())
        group = Group(name, machine, target, cluster.region, cluster.region, labels, taints)
        ready = await keep(client, group)
    await _report(client, pool, ready, target, problem)


def _problem(lab: Lab, spec: dict[str, Any], *, known: bool) -> tuple[str, str, str]:
    """(condition, reason, message) of what keeps a pool from filling; () when nothing does."""
    if not known:
        return ("Validated", "Invalid", f"unknown instance type {spec.get('instanceType')!r}")
    for fault in _faults(lab):
        if fault.get("operation") == "NodePool":
            message = fault.get("message") or f"no quota for {spec['instanceType']} in this zone"
            return ("Quota", str(fault.get("error", "NotSet")), message)
    return ("", "", "")


def _faults(lab: Lab) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads((lab.root / "faults.json").read_text())
    except (OSError, ValueError):
        return []
    return found


async def _report(
    client: httpx.AsyncClient, pool: dict[str, Any], ready: int, target: int, problem: tuple[str, str, str]
) -> None:
    kind, reason, message = problem
    states = {
        "Validated": (kind != "Validated", "Valid"),
        "Quota": (kind != "Quota", "Under"),
        "Capacity": (not kind, "Sufficient"),
        "AtTarget": (not kind and ready == target, "TargetMet" if ready == target else "ScalingUp"),
        "Ready": (not kind and ready == target, "Ready"),
    }
    old = {item["type"]: item for item in pool.get("status", {}).get("conditions", [])}
    conditions = []
    for name, (true, good) in states.items():
        status = "True" if true else "False"
        why = reason if name == kind else good
        before = old.get(name, {})
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        stamp = since or datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = message if name == kind else f"{ready} of {target} nodes"
        conditions.append({"type": name, "status": status, "reason": why, "message": text, "lastTransitionTime": stamp})
    status_now = {
        "currentNodes": ready,
        "queuedNodes": 0,
        "inProgress": target - ready if not kind else 0,
        "conditions": conditions,
        "observedGeneration": pool["metadata"].get("generation", 1),
    }
    if pool.get("status") != status_now:
        await api.patch(client, f"{POOLS}/{pool['metadata']['name']}/status", {"status": status_now})
