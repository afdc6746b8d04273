"""What pods need to pull images from private registries. PURE. Called by `platform` and `pods`."""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import object_names
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render


def registry_secrets(deployment: Deployment, labels: dict[str, str], *, needs: str) -> list[PlatformObject]:
    """One Secret for each name in the workloads' `imagePullSecrets`, shared by those that name it."""
    names = sorted({name for workload in deployment.workloads for name in workload.image_pull_secrets})
    objects = []
    for name in names:
        values = {
            "name": object_names.registry_secret(name),
            "namespace": deployment.namespace,
            "labels": labels,
            "late": f"secret.{name}",
        }
        (manifest,) = render("platform/registry-secret.yaml.j2", ("Secret",), values)
        objects.append(PlatformObject(logical_name(name), manifest, depends_on=(needs,)))
    return objects


def references(workload: Workload) -> list[dict[str, str]]:
    """`imagePullSecrets` of the workload's pods."""
    return [{"name": object_names.registry_secret(name)} for name in workload.image_pull_secrets]


def logical_name(name: str) -> str:
    return f"platform:registry-{name}"
