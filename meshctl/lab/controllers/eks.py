"""EKS managed node groups -> nodes in the cluster's control plane. EDGE.

The lab's AWS API writes the node groups that it was asked for to `eks.json`; this controller makes the nodes and
writes how many are ready to `nodes.json`, on which the API calls the node group ACTIVE.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2 as httpx

from meshctl.catalog import load_catalog
from meshctl.lab.controllers.nodes import GROUP_LABEL, Group, keep
from meshctl.lab.pods import api
from meshctl.lab.state import Lab, read_json, write_whole

EVERY_S = 0.3
EFFECTS = {"NO_SCHEDULE": "NoSchedule", "NO_EXECUTE": "NoExecute", "PREFER_NO_SCHEDULE": "PreferNoSchedule"}


async def play(lab: Lab, cluster: api.Cluster, client: httpx.AsyncClient) -> None:
    """Follow `eks.json` for ever."""
    known: set[str] = set()
    while True:
        groups = _groups(read_json(lab.root / "eks.json"), cluster.region)
        ready: dict[str, int] = {}
        for key, group in groups.items():
            ready[key] = await keep(client, group)
        for gone in known - set(groups):
            await _remove(client, gone.split("/")[1])
        known = set(groups)
        write_whole(lab.root / "nodes.json", json.dumps({"nodegroups": ready}))
        await asyncio.sleep(EVERY_S)


async def _remove(client: httpx.AsyncClient, name: str) -> None:
    await client.request("DELETE", "/api/v1/nodes", params={"labelSelector": f"{GROUP_LABEL}={name}"})


def _groups(document: dict[str, Any], region: str) -> dict[str, Group]:
    """`<cluster>/<node group>` -> the nodes it wants; those being deleted want none."""
    found = {}
    for cluster_name, cluster in (document.get("clusters") or {}).items():
        for name, nodegroup in (cluster.get("nodegroups") or {}).items():
            machine = load_catalog().machine("aws", (nodegroup.get("instanceTypes") or [""])[0])
            if machine is None or nodegroup.get("status") == "CREATE_FAILED":
                continue
            labels = {
                **nodegroup.get("labels", {}),
                "eks.amazonaws.com/nodegroup": name,
                "eks.amazonaws.com/capacityType": nodegroup.get("capacityType", "ON_DEMAND"),
            }
            found[f"{cluster_name}/{name}"] = Group(
                name=name,
                machine=machine,
                count=0 if nodegroup.get("status") == "DELETING" else int(nodegroup.get("desiredSize", 0)),
                zone=(nodegroup.get("zones") or [f"{region}a"])[0],
                region=region,
                labels=labels,
                taints=tuple(_taint(taint) for taint in nodegroup.get("taints") or ()),
            )
    return found


def _taint(taint: dict[str, str]) -> dict[str, str]:
    made = {"key": taint["key"], "value": taint.get("value", ""), "effect": EFFECTS[taint["effect"]]}
    return {key: value for key, value in made.items() if value}
