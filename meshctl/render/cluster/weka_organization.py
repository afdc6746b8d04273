"""The organization of WEKA in which a mesh's file systems are: its users' Secrets, and the account of the Job that
makes it. PURE.

Called by `weka_settings`, whose Job then runs `templates/weka_settings/organization.py`, and by `platform`, which
declares the Secrets. The CSI driver reads user, organization and addresses from one Secret. Its addresses are known to
the operator alone, so that the Job adds them; as the driver follows them by itself (`autoUpdateEndpoints`), some of
them may change later. Source of the keys: examples/common/csi-wekafs-api-secret.yaml of github.com/weka/csi-wekafs.
"""

from __future__ import annotations

import json
from typing import Any, Final

from meshctl.model.deployment import Deployment, NeuralMesh
from meshctl.model.neural_mesh import WekaOrganization
from meshctl.model.pods import object_names
from meshctl.render.objects import PlatformObject, uid_name
from meshctl.render.pod import pods
from meshctl.render.templates import render

ADMIN: Final = "neuralmesh:organization-admin"
DRIVER: Final = "neuralmesh:organization-csi"
SCRIPT: Final = "organization.py"
PASSWORD: Final = "password"  # noqa: S105  the key of both Secrets
# of users in the organization; the names of those that others make there are their own
_ADMIN_USER: Final = "meshctl-admin"
_DRIVER_USER: Final = "meshctl-csi"
_KINDS: Final = ("ServiceAccount", "Role", "RoleBinding")
_GIB: Final = 1024**3


def of(mesh: NeuralMesh | None) -> WekaOrganization | None:
    """None also for a cluster that exists: its owner makes organizations."""
    return mesh.organization if mesh is not None and mesh.joined is None else None


def secret_entries(mesh: NeuralMesh) -> dict[str, dict[str, str]]:
    """By the name of each Secret, its keys whose values are secret, each with the name of the deferred value."""
    organization = of(mesh)
    if organization is None:
        return {}
    return {
        object_names.WEKA_ORGANIZATION_ADMIN: {PASSWORD: f"secret.{organization.admin_secret}"},
        object_names.WEKA_ORGANIZATION_CSI: {PASSWORD: f"secret.{organization.driver_secret}"},
    }


def driver_texts(organization: WekaOrganization) -> dict[str, str]:
    """What the driver's Secret has beside its password and the addresses."""
    return {"username": _DRIVER_USER, "organization": organization.name, "autoUpdateEndpoints": "true"}


def account(
    deployment: Deployment, name: str, labels: dict[str, str], *, needs: tuple[str, ...]
) -> list[PlatformObject]:
    """Of the Job, which is called `name`. `needs`: the logical names of what must be there before."""
    values = {
        "name": name,
        "namespace": deployment.namespace,
        "labels": labels,
        "secret": object_names.WEKA_ORGANIZATION_CSI,
    }
    manifests = render("platform/weka-organization.yaml.j2", _KINDS, values)
    return [
        PlatformObject(f"neuralmesh:settings-{part}", manifest, depends_on=needs)
        for part, manifest in zip(("account", "role", "binding"), manifests, strict=True)
    ]


def variables(mesh: NeuralMesh, organization: WekaOrganization) -> list[dict[str, Any]]:
    """What the Job is told of it, beside the settings: see the docstring of the program."""
    quotas = {"total_quota": organization.quota_gib * _GIB, "ssd_quota": organization.drive_quota_gib * _GIB}
    declared = {
        "name": organization.name,
        "admin": _ADMIN_USER,
        "driver": _DRIVER_USER,
        "namespace": mesh.namespace,
        "secret": object_names.WEKA_ORGANIZATION_CSI,
        **{key: quota for key, quota in quotas.items() if quota},
    }
    return [{"name": "ORGANIZATION", "value": json.dumps(declared, sort_keys=True)}]


def revisions() -> list[tuple[str, str]]:
    """Deferred values that change with the passwords, so that the Job runs again; also for a Secret of the driver that
    was deleted and made anew, which lacks the addresses."""
    return [
        ("organization-admin-revision", pods.revision_of(object_names.WEKA_ORGANIZATION_ADMIN)),
        ("organization-csi-revision", pods.revision_of(object_names.WEKA_ORGANIZATION_CSI)),
        ("organization-csi-uid", uid_name(DRIVER)),
    ]
