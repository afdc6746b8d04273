"""On which nodes of a given cluster pods can run, by `nodeSelector` and `affinity` of environments.yaml.
PURE.

Called by `meshctl.resolve.placement.given.existing` when nodes are chosen, and by `workloads` when pods are counted. A
rule that this module can't read keeps no node out: a gap must be true, and the cluster checks the fields by a dry run.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#NodeSelector
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from meshctl.model.deployment import Gap, Workload
from meshctl.model.observed import ObservedNode
from meshctl.words import pluralize

_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_FIELDS: Final = ("nodeSelector", "affinity")

Json = Mapping[str, Any]


def allows(pod: Json, node: ObservedNode, pool_labels: Mapping[str, str]) -> bool:
    """Whether pods with these fields can run on the node. `pool_labels`: those that its pool gives it."""
    labels = {**node.labels, **pool_labels}
    selector = _mapping(pod, "nodeSelector")
    if any(labels.get(key) != str(value) for key, value in selector.items()):
        return False
    required = _mapping(_mapping(_mapping(pod, "affinity"), "nodeAffinity"), _REQUIRED)
    terms = required.get("nodeSelectorTerms")
    if not isinstance(terms, list):
        return True
    return any(_matches(term, labels, node.name) for term in terms if isinstance(term, Mapping))


def matching(workload: Workload, nodes: Iterable[ObservedNode], pool_labels: Mapping[str, str]) -> list[ObservedNode]:
    """The nodes on which the workload's pods can run."""
    return [node for node in nodes if allows(workload.pod, node, pool_labels)]


def shortage(
    workload: Workload,
    pool: str,
    counted: str,
    nodes: Iterable[ObservedNode],
    matching: Collection[ObservedNode],
    places: int,
) -> Gap:
    """`counted`: the workload's pods in words; `matching`: those of the pool's `nodes` on which they can run, with
    `places` for so many of them."""
    others = [node.name for node in nodes if node not in matching]
    names = f" ({', '.join(node.name for node in matching)})" if matching else ""
    fields = [field for field in _FIELDS if workload.pod.get(field)]
    return Gap(
        subject=f"workload/{workload.name}",
        wanted=f"{counted} on nodes of pool {pool} that environments.yaml lets them run on",
        best=f"{places} fit there: {' and '.join(fields)} of `workloads.{workload.name}.pod` match"
        f"{'es' if len(fields) == 1 else ''} {len(matching)} of its {pluralize(len(matching) + len(others), 'node')}"
        f"{names}",
        hint=_hint(workload, others[0]),
    )


def _hint(workload: Workload, node: str) -> str:
    labels = " ".join(f"{key}={value}" for key, value in _mapping(workload.pod, "nodeSelector").items())
    correct = f"correct `workloads.{workload.name}.pod` in environments.yaml, or ask for fewer replicas"
    return f"`kubectl label node {node} {labels}`; or {correct}" if labels else correct


def _mapping(value: Json, key: str) -> Json:
    inner = value.get(key)
    return inner if isinstance(inner, Mapping) else {}


def _matches(term: Json, labels: Mapping[str, str], name: str) -> bool:
    """A term without expressions matches nothing."""
    by_label, by_field = (term.get(key) or () for key in ("matchExpressions", "matchFields"))
    return bool(by_label or by_field) and all(
        _holds(expression, values) for expressions, values in ((by_label, labels), (by_field, {"metadata.name": name}))
        for expression in expressions
    )  # fmt: skip


def _holds(expression: Json, values: Mapping[str, str]) -> bool:
    value = values.get(str(expression.get("key")))
    wanted = [str(each) for each in expression.get("values") or ()]
    match expression.get("operator"):
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            return _compares(operator, value, wanted)
        case _:
            return True


def _compares(operator: str, value: str | None, wanted: list[str]) -> bool:
    try:
        number, limit = int(value or ""), int(wanted[0])
    except (ValueError, IndexError):
        return False
    return number > limit if operator == "Gt" else number < limit
