"""Gangs that go on with fewer ranks: what `elastic` of a mesh needs, and where the pods read their number from. PURE.

Used by `meshctl.model.files.references` for what goes together, by `meshctl.render`, and by `meshctl.shift`, which
changes the size. The template of a Job can't be changed, so the pods of such a gang read their number from a ConfigMap
when they start.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshctl.model.pods import object_names, pod_variables

ANNOTATION: Final = "meshctl.dev/elastic"  # on the Job, for whoever looks at it: with how many nodes it can work
NODES_KEY: Final = "nodes"
HOSTS_KEY: Final = "hosts"

Path = tuple[str | int, ...]


def hosts(workload: str, nodes: int) -> list[str]:
    """The names of the ranks of a gang, rank 0 first."""
    return [f"{workload}-{rank}.{workload}" for rank in range(nodes)]


def data(workload: str, nodes: int) -> dict[str, str]:
    """What the ConfigMap of a gang of so many ranks holds."""
    return {NODES_KEY: str(nodes), HOSTS_KEY: ",".join(hosts(workload, nodes))}


def variables(workload: str) -> dict[str, dict[str, Any]]:
    """The variables of a pod that follow the size of its gang."""
    keys = {pod_variables.NODES: NODES_KEY, pod_variables.HOSTS: HOSTS_KEY}
    name = object_names.gang(workload)
    return {variable: {"valueFrom": {"configMapKeyRef": {"name": name, "key": key}}} for variable, key in keys.items()}


def words(least: int, most: int) -> str:
    return f"{least} to {most} nodes"


def problems(mesh: dict[str, Any], workload: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What `elastic` of one workload has wrong beside the rest of the mesh, which is as the file has it, of any shape.

    Yields (path below the workload, message).
    """
    if "elastic" not in workload or "kind" not in workload:
        return
    if workload["kind"] != "training":
        advice = "; replicas that follow load are `replicas: {min, max}`" if workload["kind"] != "batch" else ""
        yield ("elastic",), f"only a training workload is a gang that can go on with fewer nodes{advice}"
        return
    if "checkpoint" not in workload:
        message = "needs a checkpoint, from which the gang starts again with fewer nodes"
        yield ("elastic",), f"{message}; write `checkpoint: {{storage: NAME, grace: 2m}}`"
    yield from _least(mesh, workload)
    fabric = _section(_section(mesh, "fabrics"), _section(_section(mesh, "pools"), workload.get("pool")).get("fabric"))
    if fabric.get("nvlink") == "rack":
        message = "a gang that shares NVLink between nodes has a ComputeDomain of its size, which can't change"
        yield ("elastic",), f"{message}; leave `elastic` out, or `nvlink` of the fabric"


def _least(mesh: dict[str, Any], workload: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    least = _count(_section(workload, "elastic").get("min"))
    of_pool = _section(_section(mesh, "pools"), workload.get("pool")).get("nodes")
    nodes = _count(workload.get("nodes", of_pool.get("min") if isinstance(of_pool, dict) else of_pool))
    if least >= nodes > 0:
        message = f"must be less than the {nodes} nodes of the gang, got {least}"
        yield ("elastic", "min"), f"{message}; leave `elastic` out where it can't go on with fewer"


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _section(data: dict[str, Any], key: object) -> dict[str, Any]:
    section = data.get(key) if isinstance(key, str) else None
    return section if isinstance(section, dict) else {}
