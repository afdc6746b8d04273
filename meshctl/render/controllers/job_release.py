"""What starts a job that is created suspended: its release in the cluster, or Kueue. PURE.

Called by `platform`. Which jobs are held, and for which others they wait, is decided in `meshctl.model.keys.job_order`.
"""

from __future__ import annotations

import json
from typing import Any

from meshctl.model.deployment import MESH_LABEL, Deployment, Workload
from meshctl.model.keys import job_order
from meshctl.model.pods import object_names, own_images
from meshctl.render.objects import PlatformObject, uid_name
from meshctl.render.pod import overrides, pods
from meshctl.render.templates import render

MANAGER = "meshctl-release"  # the field manager under which the release changes a job
_REQUESTS = {"requests": {"cpu": "10m", "memory": "64Mi"}}
_DETAILS = ("release-account", "release-role", "release-binding", "release")


def order_annotations(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """The annotation of a Job that comes after others: it names them, to explain why the Job is suspended."""
    is_held = job_order.has_release(deployment, workload)
    return {job_order.ANNOTATION: ", ".join(workload.after)} if is_held else {}


def queue_labels(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """The label that hands a Job to Kueue. It is left out for a job that waits for others, as its release sets it, and
    for one that a migration has paused, as Kueue would start it again."""
    is_queued = workload.queue and workload.runs and not job_order.has_release(deployment, workload)
    return {job_order.QUEUE_LABEL: workload.queue} if is_queued else {}


def objects(deployment: Deployment, workload: Workload) -> list[PlatformObject]:
    """The release of one workload: its account, rights and Job; nothing for a workload that waits for no job."""
    if not job_order.has_release(deployment, workload):
        return []
    kinds = ("ServiceAccount", "Role", "RoleBinding", "Job")
    manifests = render("platform/job-release.yaml.j2", kinds, _values(deployment, workload))
    names = [f"workload/{workload.name}:{detail}" for detail in _DETAILS]
    jobs = [f"workload/{name}:job" for name in (workload.name, *job_order.unfinished(deployment, workload))]
    *rights, job = [PlatformObject(name, manifest) for name, manifest in zip(names, manifests, strict=True)]
    return [
        *(PlatformObject(each.name, each.manifest, depends_on=("platform:namespace",)) for each in rights),
        # declared after the jobs: the release must not see one of them as it was before this run
        PlatformObject(
            job.name,
            job.manifest,
            depends_on=(*(each.name for each in rights), *jobs),
            # Kueue refuses a change of the queue of a Job that has started
            replace_on=(f'metadata.labels["{job_order.QUEUE_LABEL}"]',),
        ),
    ]


def _values(deployment: Deployment, workload: Workload) -> dict[str, Any]:
    before = list(job_order.unfinished(deployment, workload))
    release = object_names.release(workload.name)
    namespace = ["--namespace", deployment.namespace]
    patch = _patch(workload)
    labels = {**pods.labels(deployment, workload), "app.kubernetes.io/name": release}
    return {
        "name": workload.name,
        "namespace": deployment.namespace,
        "release": release,
        "before": before,
        "labels": labels,
        # with a queue, since Kueue may be set up to suspend every job that has none
        "job_labels": {**labels, **({job_order.QUEUE_LABEL: workload.queue} if workload.queue else {})},
        "fixed_labels": {**pods.fixed_labels(deployment, workload), "app.kubernetes.io/name": release},
        "priority_class": pods.priority_class(deployment, workload),
        "node_selector": {MESH_LABEL: deployment.mesh},
        "tolerations": pods.tolerations_of_all(deployment),
        # none in a queue: its quota may have no CPU at all, or none left until the earlier jobs have ended
        "resources": {} if workload.queue else _REQUESTS,
        "image": overrides.image_here(deployment, own_images.RELEASE),
        "wait_args": [
            "wait",
            *(f"job/{name}" for name in before),
            "--for=condition=complete",
            "--timeout=-1s",
            *namespace,
        ],
        "release_args": ["patch", f"job/{workload.name}", "--type=merge", f"--patch={patch}", *_manager(), *namespace],
        "job_uid": uid_name(f"workload/{workload.name}:job"),
    }


def _manager() -> list[str]:
    return [f"--field-manager={MANAGER}"]


def _patch(workload: Workload) -> str:
    """The change that the release makes to its job. In a queue, Kueue decides when the job starts."""
    metadata: dict[str, Any] = {"uid": "$(JOB_UID)"}
    if workload.queue:
        return json.dumps({"metadata": {**metadata, "labels": {job_order.QUEUE_LABEL: workload.queue}}})
    return json.dumps({"metadata": metadata, "spec": {"suspend": False}})
