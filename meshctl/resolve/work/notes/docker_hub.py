"""Many nodes that pull from Docker Hub without a name: it counts their pulls by address, and refuses more. PURE.

Called by `meshctl.resolve` for the notes of `check`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import image_names, own_images

# Without a login, in six hours, for each IPv4 address ("Docker Hub pull usage and limits", docs.docker.com).
_MOST_PULLS: Final = 100


def notes(deployment: Deployment) -> Iterator[str]:
    """Of a first `up`, in which each node pulls each image once. Nodes in one zone share the address of its NAT
    gateway, and where meshctl makes no network, all nodes may share one."""
    pulls: Counter[str] = Counter()
    images: set[str] = set()
    for workload in deployment.workloads:
        pool = deployment.pool(workload.pool)
        nodes = min(pool.nodes, workload.pods)
        zones = pool.zones if deployment.network is not None and pool.zones else ("",)
        anonymous = () if workload.image_pull_secrets else _from_docker_hub(deployment, workload)
        images.update(anonymous)
        pulls.update(dict.fromkeys(zones, math.ceil(nodes / len(zones)) * len(anonymous)))
    most = max(pulls.values(), default=0)
    if most > _MOST_PULLS:
        yield (
            f"Docker Hub: a first `up` pulls {', '.join(sorted(images))} up to {most} times from one address without a"
            f" login, of which Docker Hub allows {_MOST_PULLS} in six hours: name a mirror, for example a pull-through"
            " cache (`images: {docker.io: REGISTRY}` of the environment), or give the workloads `imagePullSecrets`"
        )


def _from_docker_hub(deployment: Deployment, workload: Workload) -> tuple[str, ...]:
    """The images of the workload's pods that come from there; copies at a mirror do not."""
    staging = [own_images.STAGING] if any(own_images.is_staged(mount) for mount in workload.mounts) else []
    names = dict.fromkeys([workload.image, *(step.image for step in workload.before), *staging])
    pulled = (image_names.mirrored(name, deployment.images) for name in names)
    return tuple(image for image in pulled if image_names.is_of_docker_hub(image))
