"""The WEKA operator, where the cluster has none: a Job that installs its chart, with an account and rights. PURE.

Called by `neural_mesh`. The chart is in an OCI registry and its custom resource definitions are too big for a
client-side apply, so that neither the engine's own objects nor its Helm releases can bring them; the Job runs what the
vendor documents (`templates/weka_operator/install.sh`). An operator that was there before is somebody else's:
`NeuralMesh.installs_operator` is False, and nothing of it is declared. What the Job has installed outlives the mesh, as
other meshes of the cluster may use it: with its definitions all WEKA clusters would go.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, Deployment, NeuralMesh
from meshctl.model.neural_mesh import OPERATOR_MARK, OPERATOR_NAMESPACE
from meshctl.model.pods import own_images
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import overrides, pods, registries
from meshctl.render.templates import FOLDER, render

NAME: Final = "meshctl-weka-operator"  # of the Job, its account and its files
INSTALL: Final = "neuralmesh:operator"
_KINDS: Final = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "Job")
_CLUSTER_KINDS: Final = {
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "rules"),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "roleRef", "subjects"),
}
_ENDINGS: Final = ("-account", "-cluster-role", "-cluster-binding", "-files", "")
_SCRIPT: Final = "install.sh"
_VALUES: Final = "values.json"
MARGIN_S: Final = 60  # by which a run waits longer: it says why a Job failed, and not that it is not done yet
_DEADLINE_S: Final = 900  # of the Job: the script itself waits 8 minutes for the operator's pods


def objects(deployment: Deployment, mesh: NeuralMesh, *, namespace: str) -> list[PlatformObject]:
    """Nothing where the cluster has an operator. `namespace`: the logical name of the mesh's namespace, where the Job
    runs."""
    if not mesh.installs_operator:
        return []
    manifests = render("platform/weka-operator.yaml.j2", _KINDS, _values(deployment, mesh), _CLUSTER_KINDS)
    names = [f"{INSTALL}{ending}" for ending in _ENDINGS]
    *rights, job = [PlatformObject(name, manifest) for name, manifest in zip(names, manifests, strict=True)]
    secret = (registries.logical_name(mesh.image_pull_secret),) if mesh.image_pull_secret else ()
    needs = (namespace, *secret, *(each.name for each in rights))
    return [
        *(PlatformObject(each.name, each.manifest, depends_on=(namespace,)) for each in rights),
        # waited for: until then the API server knows none of WEKA's kinds
        PlatformObject(job.name, job.manifest, wait=True, depends_on=needs),
    ]


def has_pull_secret(mesh: NeuralMesh) -> bool:
    """Whether the Job copies a pull secret into the operator's namespace."""
    return mesh.installs_operator and bool(mesh.image_pull_secret)


def chart_values(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    """The values of the chart: the embedded CSI driver without storage classes of its own, the pull secret, and the
    images that a mirror has. Without a mirror the chart's own images hold. Source of the keys: charts/weka-operator/
    README.md of github.com/weka/weka-operator, read 2026-11-29."""
    values: dict[str, Any] = {"csi": {"installationEnabled": True, "storageClassCreationDisabled": True}}
    if mesh.image_pull_secret:
        values["imagePullSecret"] = registries.secret_of(mesh)
    operator = overrides.image_here(deployment, own_images.weka_operator(mesh.operator_version))
    if operator != own_images.weka_operator(mesh.operator_version):
        values["image"] = {"repository": operator.rpartition(":")[0]}
    for key, image in own_images.OF_WEKA_OPERATOR.items():
        mirrored = overrides.image_here(deployment, image)
        if mirrored != image:
            _put(values, key, mirrored)
    return values


def _put(values: dict[str, Any], key: str, image: str) -> None:
    *parents, last = key.split(".")
    inner = values
    for parent in parents:
        inner = inner.setdefault(parent, {})
    inner[last] = image


def _values(deployment: Deployment, mesh: NeuralMesh) -> dict[str, Any]:
    script = (FOLDER / "weka_operator" / _SCRIPT).read_text(encoding="utf-8")
    files = {_SCRIPT: script, _VALUES: json.dumps(chart_values(deployment, mesh), sort_keys=True)}
    env = {
        "OPERATOR_CHART": mesh.operator_chart,
        "OPERATOR_VERSION": mesh.operator_version,
        "OPERATOR_NAMESPACE": OPERATOR_NAMESPACE,
        "OPERATOR_MARK": OPERATOR_MARK,
        "MESH": deployment.mesh,
        "PULL_SECRET": registries.secret_of(mesh),
    }
    return {
        "name": NAME,
        "cluster_name": f"{NAME}-{deployment.mesh}",
        "namespace": deployment.namespace,
        "labels": own_labels(deployment, NAME),
        "node_selector": {MESH_LABEL: deployment.mesh},
        "tolerations": pods.tolerations_of_all(deployment),
        "image": overrides.image_here(deployment, own_images.HELM),
        "files": files,
        "revision": revision(files),
        "env": [{"name": name, "value": value} for name, value in env.items()],
        "deadline_s": _DEADLINE_S,
        "waited_for_s": str(_DEADLINE_S + MARGIN_S),
        "pull_secret": registries.secret_of(mesh),
        # with other credentials the Job runs again, and copies them
        "pull_secret_revision": pods.revision_of(registries.secret_of(mesh)) if mesh.image_pull_secret else "",
    }


def own_labels(deployment: Deployment, name: str) -> dict[str, str]:
    """Labels that never change, since those of a Job's pods can't: labels of the mesh are not among them."""
    fixed = pods.common_labels(deployment.model_copy(update={"labels": {}}))
    return {**fixed, "app.kubernetes.io/name": name}


def revision(files: dict[str, str]) -> str:
    """What a Job is made anew by, once a file that it runs has changed."""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]
