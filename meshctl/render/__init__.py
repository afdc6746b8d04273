"""A Deployment as Kubernetes objects. PURE: templates in, checked values out; nothing is read but the templates.

Called by `stacks.platform`, which declares the objects; `meshctl.migrate` may render with `templates.render` too.

    platform_objects(deployment)    everything inside the cluster: namespace, storage, workloads, services
    nodepool_objects(deployment)    CoreWeave: one NodePool for each pool
    node_label_objects(deployment)  existing clusters: the pool's label on each node that was chosen

Values that are known only while deploying stand in a manifest as `LateValue(name)`; the names are

    <storage>.file_system_id  <storage>.dns_name  <storage>.mount_name       file systems on AWS
    object_storage.access_key_id  object_storage.secret_access_key           object stores outside AWS (secret)
    object_storage.endpoint            where a store's endpoint is only known to its AWS profile; AWS's own when absent
    secret.<secret name>                                                     what `secrets` of a workload names (secret)
"""

from __future__ import annotations

from meshctl.render.nodes import node_label_objects, nodepool_objects
from meshctl.render.objects import LateValue, PlatformObject, late_names
from meshctl.render.platform import ENDPOINT, platform_objects

__all__ = [
    "ENDPOINT",
    "LateValue",
    "PlatformObject",
    "late_names",
    "node_label_objects",
    "nodepool_objects",
    "platform_objects",
]
