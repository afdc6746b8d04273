"""Whether the network plugin of a cluster that is up leaves to WEKA the interfaces that it needs. PURE.

Part of the platform (`meshctl.platforms.aws`); called by `preflight`. The plugin of a cluster that a run makes has the
settings that it needs (`stacks.aws.cluster`, with their source); one that is up keeps those that it came up with, as a
change of them restarts it on every node. Nodes that WEKA has already are left alone.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from meshctl.model.deployment import Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.model.resource_types import WEKA_CLUSTER
from meshctl.platforms.aws.preflight.change import Change

_QUESTION: Final = "network-plugin"
_ADDON: Final = "vpc-cni"
_MOST: Final = "MAX_ENI"


def questions(change: Change) -> Iterator[ApiQuestion]:
    if not change.makes_cluster and _new_pools(change):
        arguments = {"clusterName": change.wanted.cluster.name, "addonName": _ADDON}
        about = "how many network interfaces the network plugin takes"
        codes = ("ResourceNotFoundException",)  # of a run that was cut off before it made the plugin
        yield ApiQuestion(_QUESTION, "eks", "describe_addon", about, arguments, telling_codes=codes)


def gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    """A gap where WEKA would take interfaces from which pods have their addresses."""
    answer, pools = answers.get(_QUESTION), _new_pools(change)
    if answer is None or answer.is_refused or not pools:
        return
    settings = _settings(answer.content.get("addon", {}))
    if (settings.get("env") or {}).get(_MOST) == "1":
        return
    names = ", ".join(pool.name for pool in pools)
    yield Gap(
        subject="cluster",
        wanted=f"network interfaces that WEKA alone has, on the nodes of pool {names}",
        best="the network plugin of this cluster attaches further interfaces for pods; WEKA would take those as well,"
        " and cut the pods off",
        hint=f"{_command(change, settings)} has it keep to a node's first interface; or write `neuralMesh: {{udp:"
        " true}` into environments.yaml, which needs no interfaces and is slower",
    )


def _new_pools(change: Change) -> list[Pool]:
    """Those whose nodes WEKA is to have interfaces on, and has none on so far: that are not up so, or are of a first
    run that was cut off before it made a WEKA cluster. An older meshctl did not set the plugin up for it."""
    mesh = change.wanted.neural_mesh
    is_own = mesh is not None and mesh.joined is None
    has_none = is_own and not change.in_place.counts.get(WEKA_CLUSTER)
    return [
        pool
        for pool in change.wanted.pools
        if _interfaces(pool) and (has_none or not _interfaces(change.in_place.pool(pool.name)))
    ]


def _interfaces(pool: Pool | None) -> int:
    return pool.storage.network_interfaces if pool is not None and pool.storage is not None else 0


def _settings(addon: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody has set, in JSON or YAML."""
    settings = yaml.safe_load(addon.get("configurationValues") or "{}")
    return settings if isinstance(settings, dict) else {}


def _command(change: Change, settings: Mapping[str, Any]) -> str:
    """Replaces all settings of the plugin: what is set already stays in them."""
    from stacks.aws.cluster import ONE_INTERFACE  # with the Pulumi SDK: only where something is brought up

    values = {**settings, "env": {**(settings.get("env") or {}), **ONE_INTERFACE}}
    wanted = change.wanted
    options = f" --profile {wanted.profile}" if wanted.profile else ""
    return (
        f"`aws eks update-addon --cluster-name {wanted.cluster.name} --addon-name {_ADDON} --configuration-values"
        f" {shlex.quote(json.dumps(values, sort_keys=True))} --region {wanted.region}{options}`"
    )
