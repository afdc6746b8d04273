"""What lets the pods of a gang start together: a gate on each of them, and a small program that takes it away. PURE.

Called by `platform` and by what renders the pods of gangs. The program is `templates/gang_hold` (ADR 0053). There is
one for the mesh, since gangs that were released by several would take each other's room.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, Deployment, Workload
from meshctl.model.keys import gangs
from meshctl.model.pods import own_images
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import FOLDER, render

LOGICAL_NAME: Final = "platform:gang-hold"
_FILES: Final = ("gang_hold.py", "gangs.py")
_KINDS: Final = (
    "ServiceAccount",
    "Role",
    "RoleBinding",
    "ClusterRole",
    "ClusterRoleBinding",
    "ConfigMap",
    "Deployment",
)
_CLUSTER_KINDS: Final = {
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "rules"),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "roleRef", "subjects"),
}
_ENDINGS: Final = ("-account", "-role", "-binding", "-cluster-role", "-cluster-binding", "-files", "")


def with_gate(workload: Workload, values: dict[str, Any], *, size: int, gang: str = "") -> dict[str, Any]:
    """The values of `pod.yaml.j2` for pods that start with all `size` pods of their gang. `gang`: its name, where the
    workload has several."""
    if not workload.held_together:
        return values
    annotations = {**values["annotations"], gangs.GANG: gang or workload.name, gangs.SIZE: str(size)}
    return {**values, "annotations": annotations, "gates": [gangs.GATE]}


def objects(deployment: Deployment, *, namespace: str, priorities: Iterable[str]) -> list[PlatformObject]:
    """The program with its account and rights; nothing for a mesh without held gangs. `namespace`, `priorities`: the
    logical names of what must be there before."""
    if not gangs.has_program(deployment):
        return []
    manifests = render("platform/gang-hold.yaml.j2", _KINDS, _values(deployment), _CLUSTER_KINDS)
    names = [f"{LOGICAL_NAME}{ending}" for ending in _ENDINGS]
    *rights, program = [PlatformObject(name, manifest) for name, manifest in zip(names, manifests, strict=True)]
    needs = (namespace, *priorities, *(each.name for each in rights))
    return [
        *(PlatformObject(each.name, each.manifest, depends_on=(namespace,)) for each in rights),
        PlatformObject(program.name, program.manifest, wait=_is_waited_for(deployment), depends_on=needs),
    ]


def _is_waited_for(deployment: Deployment) -> bool:
    """Whether there is a node for it yet: one that starts at a later date has none."""
    return gangs.program_is_needed(deployment) and any(pool.nodes and not pool.starts for pool in deployment.pools)


def _values(deployment: Deployment) -> dict[str, Any]:
    own = {"app.kubernetes.io/name": gangs.PROGRAM, "app.kubernetes.io/instance": deployment.mesh}
    files = {name: (FOLDER / "gang_hold" / name).read_text(encoding="utf-8") for name in _FILES}
    first = next(workload for workload in deployment.workloads if workload.held_together)
    return {
        "name": gangs.PROGRAM,
        "cluster_name": f"{gangs.PROGRAM}-{deployment.mesh}",
        "namespace": deployment.namespace,
        "labels": {**pods.common_labels(deployment), **own},
        "selector": own,
        "priority_class": pods.priority_class(deployment, first),
        "node_selector": {MESH_LABEL: deployment.mesh},
        "tolerations": pods.tolerations_of_all(deployment),
        "image": overrides.image_here(deployment, own_images.SCALER),
        "replicas": 1 if gangs.program_is_needed(deployment) else 0,
        "files": files,
        "revision": hashlib.sha256("".join(files.values()).encode()).hexdigest()[:12],
    }
