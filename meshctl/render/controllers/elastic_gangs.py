"""The size of a gang that goes on with fewer nodes: the ConfigMap that its pods read it from. PURE.

Called by `platform` and `jobs`. While a shift has some of the gang's nodes, the size is left as the shift has set it.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import elastic
from meshctl.model.pods import object_names
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render


def job_annotations(workload: Workload) -> dict[str, str]:
    """Those of the Job."""
    if not workload.is_elastic:
        return {}
    return {elastic.ANNOTATION: elastic.words(workload.least_nodes, workload.replicas)}


def size(deployment: Deployment, workload: Workload, needs: str) -> list[PlatformObject]:
    """`needs`: the logical name of the namespace. Pods of a gang that is small read it, whatever mesh.yaml says by
    now."""
    if not workload.is_elastic and workload.name not in deployment.jobs_with_fewer_nodes:
        return []
    values = {
        "name": object_names.gang(workload.name),
        "namespace": deployment.namespace,
        "labels": pods.labels(deployment, workload),
        "files": elastic.data(workload.name, deployment.nodes_of_gang(workload)),
    }
    (manifest,) = render("platform/config-map.yaml.j2", ("ConfigMap",), values)
    ignored = ("data",) if workload.name in deployment.jobs_with_fewer_nodes else ()
    return [PlatformObject(f"workload/{workload.name}:gang", manifest, depends_on=(needs,), ignore_changes=ignored)]
