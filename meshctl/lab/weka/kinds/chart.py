"""The Helm chart of WEKA's operator, as far as a cluster shows it. PURE.

Read by `images.programs.helm`, which installs it, and by `controllers.weka`. Names, labels and values:
weka/weka-operator, `charts/weka-operator` and `doc/operator/deployment/helm-install.md`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

CHART: Final = "weka-operator"
SOURCE: Final = "oci://quay.io/weka.io/helm/weka-operator"
NAMESPACE: Final = "weka-operator-system"
NEWEST: Final = "v1.11.0"
SELECTOR: Final = "app=weka-operator"
MANAGER: Final = "weka-operator-controller-manager"
AGENT: Final = "weka-operator-node-agent"
IMAGE: Final = "quay.io/weka.io/weka-operator"
CSI_VARIABLE: Final = "CSI_INSTALLATION_ENABLED"
_NUMBERS: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")
_MINORS: Final = range(5, 12)  # of v1: those with these kinds, up to the newest that is known here
Object = dict[str, Any]
_API: Final = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{namespace}/configmaps",
    "Namespace": "/api/v1/namespaces",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/rolebindings",
    "PriorityClass": "/apis/scheduling.k8s.io/v1/priorityclasses",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
    "DaemonSet": "/apis/apps/v1/namespaces/{namespace}/daemonsets",
}


@dataclass(frozen=True)
class Release:
    """One install of the chart. `values`: as given, over the chart's own."""

    namespace: str
    version: str
    values: Mapping[str, Any] = field(default_factory=dict)

    def value(self, *keys: str) -> Any:
        value: Any = self.values
        for key in keys:
            value = value.get(key, {}) if isinstance(value, dict) else {}
        return value or ""


def exists(version: str) -> bool:
    """Whether the registry has this version of the chart: tags have a `v`. Of a minor release every patch is taken to
    be there."""
    matched = _NUMBERS.fullmatch(version)
    return matched is not None and matched[1] == "1" and int(matched[2]) in _MINORS


def has_csi(deployment: Object) -> bool:
    """Whether this operator installs the CSI driver beside clients."""
    variables = deployment["spec"]["template"]["spec"]["containers"][0].get("env", [])
    return any(each["name"] == CSI_VARIABLE and each.get("value") == "true" for each in variables)


def objects(release: Release) -> list[Object]:
    """In the order in which they can be made, without the release's own Secret."""
    labels = {"app": CHART, "app.kubernetes.io/managed-by": "Helm"}
    namespace = release.namespace

    def made(kind: str, name: str, *, is_global: bool = False, **content: Any) -> Object:
        metadata = {"name": name, "labels": labels, **({} if is_global else {"namespace": namespace})}
        return {"apiVersion": _version(kind), "kind": kind, "metadata": metadata, **content}

    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": f"{CHART}-manager-role"}
    subjects = [{"kind": "ServiceAccount", "name": MANAGER, "namespace": namespace}]
    leader = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": f"{CHART}-leader-election-role"}
    leases = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]}
    classes = (("weka-initial-no-evict", 999_999_000), ("weka-targeted-no-evict", 1_000_000_000))
    return [
        made("ServiceAccount", MANAGER),
        made("ClusterRole", role["name"], is_global=True, rules=_rules()),
        made("ClusterRoleBinding", f"{CHART}-manager-rolebinding", is_global=True, roleRef=role, subjects=subjects),
        made("Role", leader["name"], rules=[leases]),
        made("RoleBinding", f"{CHART}-leader-election-rolebinding", roleRef=leader, subjects=subjects),
        made("ConfigMap", "weka-boot-scripts", data={"version": release.version}),
        *(made("PriorityClass", name, is_global=True, value=value) for name, value in classes),
        made("Deployment", MANAGER, spec=_manager(release, labels)),
        made("DaemonSet", AGENT, spec=_agent(release)),
    ]


def collection_of(item: Object) -> str:
    """The path of the API at which an object is made."""
    return _API[item["kind"]].format(namespace=item["metadata"].get("namespace", ""))


def _version(kind: str) -> str:
    path = _API[kind]
    return path.split("/")[2] if path.startswith("/api/") else "/".join(path.split("/")[2:4])


def _rules() -> list[Object]:
    every = ["*"]
    return [
        {"apiGroups": ["weka.weka.io"], "resources": every, "verbs": every},
        {"apiGroups": [""], "resources": ["pods", "secrets", "nodes", "nodes/status", "events"], "verbs": every},
        {"apiGroups": ["storage.k8s.io"], "resources": ["csidrivers", "storageclasses"], "verbs": every},
        {"apiGroups": ["apps"], "resources": ["deployments", "daemonsets"], "verbs": every},
    ]


def _image(release: Release) -> str:
    return f"{release.value('image', 'repository') or IMAGE}:{release.value('image', 'tag') or release.version}"


def _manager(release: Release, labels: Mapping[str, str]) -> Object:
    has_driver = bool(release.value("csi", "installationEnabled"))
    container = {
        "name": "manager",
        "image": _image(release),
        "env": [{"name": CSI_VARIABLE, "value": json.dumps(has_driver)}],
        "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}},
    }
    pod: Object = {"serviceAccountName": MANAGER, "containers": [container]}
    if release.value("imagePullSecret"):
        pod["imagePullSecrets"] = [{"name": release.value("imagePullSecret")}]
    if release.value("tolerations"):
        pod["tolerations"] = release.value("tolerations")
    return {
        "replicas": 1,
        "selector": {"matchLabels": {"app": CHART}},
        "template": {"metadata": {"labels": dict(labels)}, "spec": pod},
    }


def _agent(release: Release) -> Object:
    """It runs where the values say, which is on every node that lets it."""
    container = {"name": "node-agent", "image": _image(release)}
    pod: Object = {"serviceAccountName": MANAGER, "containers": [container]}
    for key in ("nodeSelector", "tolerations"):
        if release.value("nodeAgent", key):
            pod[key] = release.value("nodeAgent", key)
    labels = {"app": AGENT}
    return {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}
