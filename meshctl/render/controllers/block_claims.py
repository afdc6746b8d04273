"""Claims for the lasting blocks of jobs; those of a StatefulSet's pods are made by Kubernetes. PURE.

Called by `platform`.
"""

from __future__ import annotations

from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import object_names
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render


def block_claims(deployment: Deployment, workload: Workload, needs: str) -> list[PlatformObject]:
    """One claim for each lasting block of a job. A job of several pods can't have one for each pod.

    `needs`: the logical name of the namespace.
    """
    if pods.is_stateful(deployment, workload):
        return []
    objects = []
    for block in pods.lasting_blocks(deployment, workload):
        if workload.replicas > 1:
            raise MeshError(
                f"workload {workload.name} can't keep the block storage {block.name}",
                why=f"it is a {workload.kind} job of {workload.replicas} pods; Kubernetes gives jobs no claim per pod",
                hint=f"use `kind: filesystem` for storage.{block.name}; or `ephemeral: true` if it may be lost",
            )
        values = {
            "name": object_names.job_claim(workload.name, block.name),
            "namespace": deployment.namespace,
            "labels": pods.labels(deployment, workload),
            "claim": pods.claim_spec(block),
        }
        (manifest,) = render("platform/block-claim.yaml.j2", ("PersistentVolumeClaim",), values)
        name = f"storage/{block.name}:claim-{workload.name}"
        objects.append(PlatformObject(name, manifest, wait=True, depends_on=(needs,)))
    return objects
