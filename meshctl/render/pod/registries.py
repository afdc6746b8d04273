"""What pods need to pull images from private registries. PURE. Called by `platform` and `pods`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshctl.model.deployment import Deployment, NeuralMesh, Workload
from meshctl.model.pods import object_names, pull_secrets
from meshctl.render.objects import PlatformObject
from meshctl.render.templates import render

KEY: Final = ".dockerconfigjson"  # of such a Secret: Kubernetes, kubernetes.io/dockerconfigjson


def registry_secrets(
    deployment: Deployment, labels: dict[str, str], *, needs: str, annotations: Mapping[str, tuple[str, str]]
) -> list[PlatformObject]:
    """One Secret for each name in `imagePullSecrets`, shared by those that name it. `annotations`: key and deferred
    value of those Secrets that have one."""
    names = sorted(pull_secrets.names(deployment))
    objects = []
    for name in names:
        values = {
            "name": object_names.registry_secret(name),
            "namespace": deployment.namespace,
            "labels": labels,
            "annotation": annotations.get(object_names.registry_secret(name)),
            "late": f"secret.{name}",
        }
        (manifest,) = render("platform/registry-secret.yaml.j2", ("Secret",), values)
        objects.append(PlatformObject(logical_name(name), manifest, depends_on=(needs,)))
    return objects


def references(workload: Workload) -> list[dict[str, str]]:
    """`imagePullSecrets` of the workload's pods."""
    return [{"name": object_names.registry_secret(name)} for name in workload.image_pull_secrets]


def secret_of(mesh: NeuralMesh) -> str:
    """The name of the Secret for WEKA's images; "" where they need none."""
    return object_names.registry_secret(mesh.image_pull_secret) if mesh.image_pull_secret else ""


def logical_name(name: str) -> str:
    return f"platform:registry-{name}"
