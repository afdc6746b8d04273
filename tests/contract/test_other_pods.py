"""What the pods of others take of nodes, asked of a real API server, with the right to list pods and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from meshctl.clients.kubernetes import clusters, other_pods
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.model.observed import Facts, Requests
from tests.contract.kubernetes_recording.control_plane import ControlPlane

NAMESPACE = "other-team"


def pod(name: str) -> dict[str, Any]:
    container = {"name": "c", "image": "i", "resources": {"requests": {"cpu": "1500m", "memory": "3Gi"}}}
    spec = {"nodeName": "gd-0", "containers": [container]}
    return {"metadata": {"name": name}, "spec": {**spec, "terminationGracePeriodSeconds": 0}}


def access(plane: ControlPlane, folder: Path, token: str | None = None) -> ClusterAccess:
    (folder / "kubeconfig").write_text(json.dumps(plane.config(token=token)))
    return ClusterAccess("dc1", str(folder / "kubeconfig"), "")


def taken(facts: Facts, name: str) -> Requests:
    return next(node.taken for node in facts.nodes if node.name == name)


def test_pods_of_others_are_counted_or_a_note_says_why_not(plane: ControlPlane, tmp_path: Path) -> None:
    namespaces = "/api/v1/namespaces"
    plane.call("POST", namespaces, {"metadata": {"name": NAMESPACE}})
    account = f"{namespaces}/{NAMESPACE}/serviceaccounts"
    plane.call("POST", account, {"metadata": {"name": "nobody"}})
    admin = access(plane, tmp_path)
    seen = clusters.facts(admin)
    assert seen.served_apis == ()  # it has no definitions of others
    before = taken(other_pods.counted(seen, admin, "m"), "gd-0")
    plane.call("POST", f"{namespaces}/{NAMESPACE}/pods", pod("a") | {"apiVersion": "v1", "kind": "Pod"})
    try:
        counted = other_pods.counted(seen, admin, "m")
        now = taken(counted, "gd-0")
        assert (now.cpu - before.cpu, now.memory_gib - before.memory_gib, now.pods - before.pods) == (1.5, 3, 1)
        assert counted.pods_are_seen
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = plane.call("POST", f"{account}/nobody/token", asked)["status"]["token"]
        blind = other_pods.counted(seen, access(plane, tmp_path, token), "m")
        assert not blind.pods_are_seen
        assert "may not list the pods of all namespaces" in blind.notes[0]
    finally:
        plane.call("DELETE", f"{namespaces}/{NAMESPACE}/pods/a")
        plane.call("DELETE", f"{namespaces}/{NAMESPACE}")
