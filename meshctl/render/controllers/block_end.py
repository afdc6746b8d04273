"""What asks training to save before the platform takes the nodes of its capacity block back. PURE.

Called by `platform`. It suspends the Job, as a migration does: the pods get the checkpoint's signal and have its grace.
The next `up` sets the field back, and the Job goes on from its checkpoint once there are nodes. When it is to happen is
the platform's to say (`ReservedCapacity.saves_at`).
"""

from __future__ import annotations

import json
from typing import Any, Final

from meshctl.model import block_ends
from meshctl.model.deployment import MESH_LABEL, Deployment, Workload
from meshctl.model.pods import object_names, own_images
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import render

MANAGER: Final = "meshctl-block-end"  # under which name it sets the field
_KINDS: Final = ("ServiceAccount", "Role", "RoleBinding", "CronJob")
_DETAILS: Final = ("block-end-account", "block-end-role", "block-end-binding", "block-end")


def objects(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    """Nothing for a workload that nobody takes the nodes of."""
    if not block_ends.is_saved(deployment, workload):
        return []
    manifests = render("platform/block-end.yaml.j2", _KINDS, _values(deployment, workload))
    names = [f"workload/{workload.name}:{detail}" for detail in _DETAILS]
    *rights, cron_job = [PlatformObject(name, manifest) for name, manifest in zip(names, manifests, strict=True)]
    needs = (*(each.name for each in rights), f"platform:priority-{workload.kind}")
    return [
        *(PlatformObject(each.name, each.manifest, depends_on=("platform:namespace",)) for each in rights),
        PlatformObject(cron_job.name, cron_job.manifest, depends_on=needs),
    ]


def _values(deployment: Deployment, workload: Workload) -> dict[str, Any]:
    name = object_names.block_end(workload.name)
    return {
        "name": name,
        "job": workload.name,
        "namespace": deployment.namespace,
        "labels": {**pods.fixed_labels(deployment, workload), "app.kubernetes.io/name": name},
        "schedule": schedule(block_ends.saves_at(deployment, workload)),
        "priority_class": pods.priority_class(deployment, workload),
        "node_selector": {MESH_LABEL: deployment.mesh},
        "tolerations": pods.tolerations_of_all(deployment),
        "image": overrides.image_here(deployment, own_images.RELEASE),
        "args": [
            "patch",
            f"job/{workload.name}",
            "--type=merge",
            f"--patch={json.dumps({'spec': {'suspend': True}})}",
            f"--field-manager={MANAGER}",
            f"--namespace={deployment.namespace}",
        ],
    }


def schedule(moment: str) -> str:
    """`25 10 4 12 *` of a moment in RFC 3339, in UTC."""
    month, day, hour, minute = (int(moment[begin : begin + 2]) for begin in (5, 8, 11, 14))
    return f"{minute} {hour} {day} {month} *"
