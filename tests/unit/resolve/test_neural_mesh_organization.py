"""A NeuralMesh in an organization of WEKA: its quotas, and where there can be none."""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Gap
from meshctl.model.neural_mesh import WekaOrganization
from tests.unit.resolve.meshes import AWS, gap, resolved
from tests.unit.resolve.test_neural_mesh import FILES, STORE, carried, deployed, work


def organization(**quotas: str) -> dict[str, Any]:
    users = {"name": "research", "adminPassword": "weka-admin", "driverPassword": "weka-driver"}
    return {"neuralMesh": {"organization": {**users, **quotas}}}


def test_file_systems_are_in_an_organization() -> None:
    resolution = carried({"p": STORE}, {**AWS, **organization(quota="40TiB", driveQuota="30TiB")})
    _, mesh = deployed(resolution)
    assert mesh.organization == WekaOrganization(
        name="research",
        admin_secret="weka-admin",
        driver_secret="weka-driver",
        quota_gib=40 * 1024,
        drive_quota_gib=30 * 1024,
    )
    assert any("in the organization research, which is deleted with the cluster" in note for note in resolution.notes)
    _, unlimited = deployed(carried({"p": STORE}, {**AWS, **organization()}))
    assert unlimited.organization is not None
    assert (unlimited.organization.quota_gib, unlimited.organization.drive_quota_gib) == (0, 0)


def test_a_quota_holds_all_file_systems_together() -> None:
    """WEKA counts what is allocated; of a tiered one a fifth is on drives."""
    tiered = {"s": {**FILES, "tier": "cold"}, "t": FILES, "cold": {"kind": "object", "size": "50TiB"}}

    def found(**quotas: str) -> Gap:
        return gap(
            resolved({"p": STORE}, {**AWS, **organization(**quotas)}, storage=tiered, workloads=work()), "storage/s"
        )

    whole, drives = found(quota="30TiB"), found(driveQuota="23TiB")
    assert (whole.wanted, whole.best) == (
        "40 TiB in the organization research = 20 TiB + 20 TiB",
        "its `quota` is 30 TiB",
    )
    assert drives.wanted == "24 TiB on drives in the organization research = 4 TiB + 20 TiB"
    assert drives.hint == "raise `neuralMesh.organization.driveQuota`, or lower `size`"


def test_in_a_cluster_that_exists_its_owner_makes_organizations() -> None:
    existing = {"storage": {"s": {"weka": {"cluster": "main", "namespace": "weka"}}}}
    found = gap(carried({"p": STORE}, {**AWS, **existing, **organization()}), "storage/s")
    assert found.wanted == "file systems in the organization research"
    assert found.hint.startswith("remove `neuralMesh.organization`, and name the Secret of a user")
