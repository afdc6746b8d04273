"""Which taints of nodes the pods of a pool tolerate. PURE.

Rendered by `meshctl.render.pod.pods`; asked by `meshctl.resolve.placement.given.existing` when nodes of a given cluster
are chosen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from meshctl.model.deployment import Taint, Toleration
from meshctl.platforms import registry

_GPU: Final = "nvidia.com/gpu"
_KEEPING_OUT: Final = ("NoSchedule", "NoExecute")  # PreferNoSchedule keeps no pod out
# Kubernetes gives pods with requests a toleration for it:
# https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-nodes-by-condition
_OF_EVERY_POD: Final = ({"key": "node.kubernetes.io/memory-pressure", "operator": "Exists"},)

Rendered = dict[str, str]


def of_pods(
    provider: str, taints: Iterable[Taint], declared: Iterable[Toleration], *, gpu_resource: str
) -> list[Rendered]:
    """What pods say. `taints`: those that meshctl gives the pool's nodes; `declared`: what environments.yaml adds;
    `gpu_resource`: the extended resource of the pool's accelerators, which is also the key of their taint, "" without.

    The taints of GPU nodes are tolerated wherever there are GPUs, whether or not this pool's nodes have them. Ours
    comes and goes with other pools of the mesh, and an existing cluster's operator may have set it; neither is to
    change a pod that runs.
    """
    of_mesh = [
        {"key": taint.key, "operator": "Equal", "value": taint.value, "effect": taint.effect}
        for taint in taints
        if taint.key != (gpu_resource or _GPU)
    ]
    of_platform: list[Rendered] = []
    if gpu_resource:
        of_platform = [{"key": gpu_resource, "operator": "Exists", "effect": "NoSchedule"}]
        of_platform += map(dict, registry.platform(provider).nodes.gpu_tolerations)
    own = [*of_platform, *of_mesh]
    return [*own, *(each for each in map(_rendered, declared) if each not in own)]


def _rendered(toleration: Toleration) -> Rendered:
    means = {"operator": "Exists"} if toleration.value is None else {"operator": "Equal", "value": toleration.value}
    return {"key": toleration.key, **means, **({"effect": toleration.effect} if toleration.effect else {})}


def of_all_overrides(pods: Iterable[Mapping[str, Any]]) -> list[Rendered]:
    """The tolerations that the fields of each of these pods have, as environments.yaml writes them. One that ends some
    time after it has begun counts for none: it lets a pod come to a node, and not stay."""
    listed = [[_full(each) for each in pod.get("tolerations", ()) if "tolerationSeconds" not in each] for pod in pods]
    return [each for each in listed[0] if all(each in others for others in listed[1:])] if listed else []


def _full(toleration: Mapping[str, Any]) -> Rendered:
    """With the operator that Kubernetes takes without one; an effect that is empty is any."""
    with_operator = {"operator": "Equal", **{key: str(value) for key, value in toleration.items()}}
    return {key: value for key, value in with_operator.items() if value or key == "value"}


def keeping_out(taints: Iterable[Taint], tolerations: Iterable[Rendered]) -> tuple[Taint, ...]:
    """The taints that keep pods with these tolerations off a node."""
    all_tolerations = (*tolerations, *_OF_EVERY_POD)
    return tuple(
        taint
        for taint in taints
        if taint.effect in _KEEPING_OUT and not any(_covers(each, taint) for each in all_tolerations)
    )


def _covers(toleration: Rendered, taint: Taint) -> bool:
    is_of_any_key = not toleration.get("key") and toleration["operator"] == "Exists"
    return (
        (is_of_any_key or toleration.get("key") == taint.key)
        and toleration.get("effect", taint.effect) == taint.effect
        and (toleration["operator"] == "Exists" or toleration.get("value", "") == taint.value)
    )
