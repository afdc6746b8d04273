"""Who installs WEKA's operator, and what a user is told who may not."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.weka import weka_operators, weka_rights
from meshctl.model.deployment import Deployment, NeuralMesh, Resolution
from meshctl.resolve.data import weka_operator
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.weka_mesh import neural_mesh, with_mesh


def installs(deployment: Deployment) -> bool:
    assert deployment.neural_mesh is not None
    return deployment.neural_mesh.installs_operator


@pytest.mark.parametrize(
    ("up", "is_ours", "is_theirs", "expected"),
    [
        (None, False, None, True),  # a cluster that is not there yet
        (None, False, False, True),
        (None, False, True, False),  # somebody else's
        (None, True, True, True),  # an `up` has installed it, and failed later
        (neural_mesh(), True, True, True),
        (neural_mesh(installs_operator=False), False, True, False),
        (neural_mesh(installs_operator=False), False, False, False),  # its owner has removed it: not ours to bring back
    ],
)
def test_an_operator_of_somebody_else_stays_theirs(
    up: NeuralMesh | None, *, is_ours: bool, is_theirs: bool | None, expected: bool
) -> None:
    assert installs(weka_operator.decided(with_mesh(), up, is_ours=is_ours, is_theirs=is_theirs)) is expected


def test_a_mesh_without_neuralmesh_is_left_alone() -> None:
    without = with_mesh().model_copy(update={"neural_mesh": None})
    assert weka_operator.decided(without, None, is_ours=False, is_theirs=True) is without
    resolution = Resolution(mesh="m", environment="dc1", deployment=without)
    assert weka_operator.with_findings(resolution, without, (), is_up=False) is resolution


def with_findings(mesh: NeuralMesh, *lacking: str, is_up: bool = False) -> Resolution:
    deployment = with_mesh(mesh)
    resolution = Resolution(mesh="m", environment="dc1", deployment=deployment)
    return weka_operator.with_findings(resolution, deployment, lacking, is_up=is_up)


def test_it_is_said_what_is_installed_and_what_stays() -> None:
    assert with_findings(neural_mesh()).notes == (
        "neuralmesh: WEKA's operator v1.11.0 is installed into the namespace weka-operator-system, and stays there"
        " after a `destroy`, since other meshes may use it",
    )
    assert with_findings(neural_mesh(), is_up=True).notes == ()
    (note,) = with_findings(neural_mesh(installs_operator=False), is_up=True).notes
    assert "which is used as it is" in note


def test_who_may_not_grant_its_rights_is_told_before_anything_is_made() -> None:
    resolution = with_findings(neural_mesh(), "escalate clusterroles.rbac.authorization.k8s.io")
    assert resolution.deployment is None
    (gap,) = resolution.gaps
    assert gap.best == "this one may not escalate clusterroles.rbac.authorization.k8s.io"
    assert "have an administrator install the operator v1.11.0" in gap.hint
    (gap,) = with_findings(neural_mesh(installs_operator=False), "create storageclasses.storage.k8s.io").gaps
    assert gap.hint == "have these granted"


def test_rights_to_install_are_asked_for_only_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient({}, forbidden=[("bind", "clusterroles"), ("create", "storageclasses")])
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    access = ClusterAccess("dc1")
    assert weka_rights.lacking(access, "m", installs_operator=False) == ("create storageclasses.storage.k8s.io",)
    assert weka_rights.lacking(access, "m", installs_operator=True) == (
        "create storageclasses.storage.k8s.io",
        "bind clusterroles.rbac.authorization.k8s.io",
    )
    client.forbidden = [("patch", "secrets"), ("create", "roles")]
    assert weka_rights.lacking(access, "m", installs_operator=False) == ()
    assert weka_rights.lacking(access, "m", installs_operator=False, has_organization=True) == (
        "create roles.rbac.authorization.k8s.io",
        "patch secrets",
    )
    client.forbidden = [("patch", "wekaclusters"), ("create", "persistentvolumes")]
    assert weka_rights.lacking(access, "m", installs_operator=False) == ("patch wekaclusters.weka.weka.io",)
    assert weka_rights.lacking(access, "m", installs_operator=False, is_tiered=True) == (
        "patch wekaclusters.weka.weka.io",
        "create persistentvolumes",
    )
    of_weka = [each for each in client.reviews if each["group"] == "weka.weka.io"]
    assert {each["namespace"] for each in of_weka} == {"m"}


SERVED = ("weka.weka.io/v1alpha1/WekaCluster",)
BY_CHART = {"metadata": {"name": "manager", "labels": {"app": "weka-operator"}}}
BY_HAND = {"metadata": {"name": "weka-operator-controller-manager"}}
OTHER = {"metadata": {"name": "coredns"}}


def mark(mesh: str) -> dict[str, Any]:
    return {"metadata": {"name": "meshctl-weka-operator"}, "data": {"mesh": mesh}}


@pytest.mark.parametrize(
    ("served", "objects", "refused", "expected"),
    [
        ((), {"deployments": [BY_CHART]}, {}, False),
        (SERVED, {"deployments": [OTHER, BY_CHART]}, {}, True),
        (SERVED, {"deployments": [BY_HAND]}, {}, True),
        (SERVED, {"deployments": [OTHER]}, {}, False),  # definitions that an uninstall has left
        (SERVED, {}, {"deployments": 403, "configmaps": 403}, True),
        (SERVED, {"deployments": [BY_CHART], "configmaps": [mark("m")]}, {}, False),  # an earlier `up` of this mesh
        (SERVED, {"deployments": [BY_CHART], "configmaps": [mark("other")]}, {}, True),
    ],
)
def test_an_operator_is_of_another_where_it_runs_and_this_mesh_has_not_brought_it(
    monkeypatch: pytest.MonkeyPatch,
    served: tuple[str, ...],
    objects: dict[str, Any],
    refused: dict[str, int],
    *,
    expected: bool,
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient(objects, refused, served)))
    assert weka_operators.is_of_another(ClusterAccess("dc1"), "m") is expected
