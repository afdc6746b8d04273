"""What `plan` says of the example platform, as far as no engine is needed: from the steps that its objects stand for.

The whole of `plan` and `up` on it runs in the lab: tests/faults/test_platform_acme.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.changes import Plan, PropertyChange, Step, plan_text
from meshctl.deploy.runs import plans
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.resolve import resolve
from tests.acme_platform import install, installed

ENVIRONMENTS = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "environments": {"acme": {"provider": "acme", "region": "north-1"}},
}
NODE_GROUP = "kubernetes:compute.acme.example/v1:NodeGroup"


@pytest.fixture(autouse=True, scope="module")
def _with_acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed(install(tmp_path_factory.mktemp("site"))):
        yield


def deployed(nodes: int) -> Deployment:
    pools = {"gpu": {"nodes": nodes, "accelerator": {"model": "H100", "count": 8}}}
    mesh = Mesh.model_validate({"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": pools})
    resolution = resolve(mesh, Environments.model_validate(ENVIRONMENTS), "acme", load_catalog())
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def manifests(deployment: Deployment) -> dict[str, Mapping[str, Any]]:
    objects = (*render.node_objects(deployment), *render.platform_objects(deployment))
    return {item.name: item.manifest for item in objects}


def step(name: str, manifest: Mapping[str, Any], op: str, **more: Any) -> Step:
    type_ = f"kubernetes:{manifest['apiVersion']}:{manifest['kind']}"
    return Step(f"urn:pulumi:acme::m::{type_}::{name}", type_, op, new=manifest, **more)


def preview(deployment: Deployment, before: Deployment | None = None) -> Plan:
    old = manifests(before) if before is not None else {}
    steps = [
        step(name, manifest, "create")
        if name not in old
        else step(
            name,
            manifest,
            "same" if manifest == old[name] else "update",
            old=old[name],
            properties=() if manifest == old[name] else (PropertyChange("spec.nodes"),),
        )
        for name, manifest in manifests(deployment).items()
    ]
    return plans.plan_of_preview(deployment, steps, before, ())


def test_the_first_plan_makes_a_node_group_and_has_its_price() -> None:
    plan = preview(deployed(2))
    assert plan.hourly_usd_after == 40.0
    pool = next(change for change in plan.changes if change.subject == "pool/gpu")
    assert (pool.action, [resource.type for resource in pool.resources]) == ("create", [NODE_GROUP])
    assert "pool/gpu" in plan_text(plan)


def test_a_change_of_nodes_is_told_in_the_words_of_the_mesh() -> None:
    plan = preview(deployed(3), before=deployed(2))
    (change,) = plan.changes
    assert (change.subject, change.action, change.summary) == ("pool/gpu", "update", "nodes 2 -> 3")
    assert (plan.hourly_usd_before, plan.hourly_usd_after) == (40.0, 60.0)


def test_without_a_change_there_is_nothing_to_do() -> None:
    assert preview(deployed(2), before=deployed(2)).changes == ()
