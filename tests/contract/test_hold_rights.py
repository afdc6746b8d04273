"""What a user may not grant to the program that holds gangs, asked of a real API server with its real roles."""

from __future__ import annotations

import json
from pathlib import Path

from meshctl.clients.kubernetes import hold_rights
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from tests.contract.kubernetes_recording.control_plane import ControlPlane

NAMESPACE = "team-of-gangs"
RBAC = "/apis/rbac.authorization.k8s.io/v1"


def bind(plane: ControlPlane, role: str, path: str) -> None:
    subject = {"kind": "ServiceAccount", "name": "lead", "namespace": NAMESPACE}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
    plane.call("POST", path, {"metadata": {"name": f"lead-{role}"}, "roleRef": reference, "subjects": [subject]})


def test_a_user_is_told_what_it_may_not_grant(plane: ControlPlane, tmp_path: Path) -> None:
    def lacking(token: str | None = None) -> tuple[str, ...]:
        (tmp_path / "kubeconfig").write_text(json.dumps(plane.config(token=token)))
        return hold_rights.lacking(ClusterAccess("dc1", str(tmp_path / "kubeconfig"), ""), NAMESPACE)

    assert lacking() == (), "the namespace need not be there yet"
    plane.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    account = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
    plane.call("POST", account, {"metadata": {"name": "lead"}})
    viewing = {
        "metadata": {"name": "sees-nodes"},
        "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["*"]}],
    }
    plane.call("POST", f"{RBAC}/clusterroles", viewing)
    try:
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = plane.call("POST", f"{account}/lead/token", asked)["status"]["token"]
        assert "list nodes" in lacking(token)
        bind(plane, "view", f"{RBAC}/clusterrolebindings")
        bind(plane, "sees-nodes", f"{RBAC}/clusterrolebindings")
        bind(plane, "admin", f"{RBAC}/namespaces/{NAMESPACE}/rolebindings")
        of_cluster = [
            f"{verb} {kind}" for kind in ("clusterroles", "clusterrolebindings") for verb in ("create", "patch")
        ]
        named = lacking(token)
        assert named[: len(of_cluster)] == tuple(f"{each}.rbac.authorization.k8s.io" for each in of_cluster)
        assert set(named[len(of_cluster) :]) <= {"create events"}, "the admin of a namespace has all else there"
    finally:
        for name in ("view", "sees-nodes"):
            plane.call("DELETE", f"{RBAC}/clusterrolebindings/lead-{name}")
        plane.call("DELETE", f"{RBAC}/clusterroles/sees-nodes")
        plane.call("DELETE", f"/api/v1/namespaces/{NAMESPACE}")
