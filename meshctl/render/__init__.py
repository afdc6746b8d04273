"""A Deployment as Kubernetes objects. PURE: templates in, checked values out; nothing is read but the templates.

Called by `stacks.platform`, which declares the objects; `meshctl.migrate` may render with `templates.render` too.

    platform_objects(deployment)    everything inside the cluster: namespace, storage, workloads, services
    load_balancer(workload, …)      the name of the object that gives the workload's endpoints their address
    node_objects(deployment)        what makes or marks its nodes, by the platform
    workload_manifests(…, workload) what the pods of one workload are made from
    secrets(deployment)             the Secrets among them, and which deferred values they hold

Values that are known only while deploying stand in a manifest as `LateValue(name)`; the names are

    <storage>.file_system_id  <storage>.dns_name  <storage>.mount_name       file systems on AWS
    object_storage.access_key_id  object_storage.secret_access_key           object stores outside AWS (secret)
    object_storage.endpoint            where a store's endpoint is only known to its AWS profile; AWS's own when absent
    secret.<secret name>                                                     what `secrets` of a workload names (secret)
    held <logical name> <path>                   the live value of a field that another program owns, and that stays
    certificate of <endpoint>                    what a load balancer that ends TLS names, as its platform calls it
    uid of <logical name>                        the UID of another object of the same deployment
    up <logical name>                      set where the object is up already, for `PlatformObject.after`
    revision.<name of a Secret>            counts the values it has had; a new one rolls out the pods that read it
"""

from __future__ import annotations

from meshctl.render.cluster.platform import (
    ENDPOINT,
    REVISION,
    load_balancer,
    node_objects,
    platform_objects,
    secrets,
    workload_manifests,
)
from meshctl.render.objects import (
    LateValue,
    PlatformObject,
    certificate_name,
    late_names,
    live_value_name,
    live_value_paths,
    up_name,
    whose_uid,
    zone_id_name,
)

__all__ = [
    "ENDPOINT",
    "REVISION",
    "LateValue",
    "PlatformObject",
    "certificate_name",
    "late_names",
    "live_value_name",
    "live_value_paths",
    "load_balancer",
    "node_objects",
    "platform_objects",
    "secrets",
    "up_name",
    "whose_uid",
    "workload_manifests",
    "zone_id_name",
]
