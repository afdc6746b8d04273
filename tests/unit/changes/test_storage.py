"""What a plan says of storage that no resource says."""

from __future__ import annotations

from meshctl.changes import Step, group, plan_text
from meshctl.changes.notes import storage
from meshctl.model.deployment import Deployment, FileSystem, Price
from tests.unit.deployments import deployment


def with_file_system(*, ephemeral: bool) -> Deployment:
    price = Price(subject="storage/shared", usd_per_hour=None, source="by hand")
    system = FileSystem(name="shared", service="storage-class", size_gib=1, ephemeral=ephemeral, price=price)
    return deployment("dc1", file_systems=(system,))


def text(old: Deployment | None, new: Deployment, *steps: Step) -> str:
    found = group(
        steps,
        environment="dc1",
        digest="d",
        hourly_usd_before=0.0,
        hourly_usd_after=0.0,
        declared=storage.declared(old, new),
        notes=tuple(storage.notes(steps)),
    )
    return plan_text(found)


def test_what_is_protected_no_longer_is_said_though_no_resource_changes() -> None:
    lasting, ephemeral = with_file_system(ephemeral=False), with_file_system(ephemeral=True)
    assert "~ storage/shared  ephemeral from now on: what is in it is no longer protected" in text(lasting, ephemeral)
    assert "~ storage/shared  no longer ephemeral: what is in it is protected" in text(ephemeral, lasting)
    for old in (None, lasting):
        assert "no changes" in text(old, lasting)


def test_what_becomes_of_the_volumes_of_pods_is_said() -> None:
    made = with_file_system(ephemeral=False)
    type_ = "kubernetes:apps/v1:StatefulSet"
    urn = f"urn:pulumi:dc1::m::{type_}::workload/site:statefulset"
    assert "workload/site: its pods are stopped" in text(made, made, Step(urn, type_, "replace"))
    assert "workload/site: the volumes of its pods stay" in text(made, made, Step(urn, type_, "delete"))
