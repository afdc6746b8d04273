"""The Job of a training or batch workload. PURE.

Called by `platform`, and by `work` to tell whether two Jobs do the same. What starts one that is held is made by
`job_release`.
"""

from __future__ import annotations

import signal
from typing import Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import job_order
from meshctl.render import gang_hold
from meshctl.render.cluster import compute_domains
from meshctl.render.controllers import elastic_gangs, job_release, kai_queues, lending
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import render

SUSPEND: Final = "spec.suspend"
_METADATA: Final = ("metadata.labels", "metadata.annotations")
SIZE: Final = ("spec.completions", "spec.parallelism")
# Kueue adds those of the flavor with which it starts a job
OF_FLAVORS: Final = ("spec.template.spec.nodeSelector", "spec.template.spec.tolerations")


def job(deployment: Deployment, workload: Workload) -> PlatformObject:
    """The Job of a training or batch workload, without what it depends on."""
    signals = {signal.SIGTERM, signal.Signals[workload.checkpoint.signal]} if workload.checkpoint else {signal.SIGTERM}
    is_without_nodes = workload.name in deployment.jobs_without_nodes
    values = {
        **gang_hold.with_gate(workload, pods.pod_values(deployment, workload), size=workload.replicas),
        **lending.pod_values(deployment, workload),
        "node_selector": lending.node_selector(deployment, workload),
        "tolerations": lending.tolerations(deployment, workload),
        "namespace": deployment.namespace,
        "pods": deployment.nodes_of_gang(workload),
        "is_suspended": not workload.runs or job_order.is_held(deployment, workload) or is_without_nodes,
        "job_annotations": {
            **job_release.order_annotations(deployment, workload),
            **elastic_gangs.job_annotations(workload),
            **kai_queues.job_annotations(deployment, workload),
        },
        "labels": {**pods.labels(deployment, workload), **job_release.queue_labels(deployment, workload)},
        # a lost node fails all pods of a gang at once, so this allows for three lost nodes
        "backoff_limit": 3 * workload.replicas,
        "signal_exit_codes": sorted(128 + number for number in signals),
        "restart_policy": "Never",
        "subdomain": workload.name if workload.kind == "training" else "",
    }
    # `up` does not wait for the job: it may run for days
    (manifest,) = render("platform/job.yaml.j2", ("Job",), values)
    manifest = lending.with_lenders(compute_domains.with_channel(manifest, deployment, workload), workload)
    with_overrides = overrides.applied(manifest, workload)
    left_to_others = (SUSPEND,) if job_order.is_held(deployment, workload) or is_without_nodes else ()
    # the engine would make the Job anew with another size: `deploy.jobs.finished_jobs` keeps the rest of it, too
    ignored = (*SIZE, *_METADATA) if workload.name in deployment.jobs_with_fewer_nodes else ()
    added_to = OF_FLAVORS if workload.queue else ()
    return PlatformObject(
        f"workload/{workload.name}:job", with_overrides, left=left_to_others, added_to=added_to, ignore_changes=ignored
    )
