"""What the stack adds to the objects of a NeuralMesh: the nodes that it waits for, its end, rights on buckets."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from meshctl import render
from meshctl.model.deployment import Deployment, ReservedCapacity
from stacks import platform
from stacks.aws.storage import tier_policy
from stacks.kubernetes import KubernetesProvider
from tests.unit.event_loops import event_loops
from tests.unit.stacks.test_aws_documents import allowed
from tests.unit.stacks.test_platform_waits import Monitor, Nothing
from tests.unit.weka_mesh import joined, neural_mesh, system, with_mesh


def declared(given: Deployment) -> dict[str, Any]:
    """Each resource as it was registered, by its name. Each pool has something that makes its nodes."""
    monitor = Monitor()
    late = dict.fromkeys(render.late_names(render.platform_objects(given)), "late")

    def program() -> None:
        provider = KubernetesProvider("kubernetes", {}, "4.34.2")
        pools = {pool.name: [pulumi.CustomResource("m:test:Nodes", f"nodes-{pool.name}", {})] for pool in given.pools}
        platform.declare(given, provider=provider, late=late, pools=pools)

    with event_loops():
        pulumi.runtime.set_mocks(Nothing(), monitor=monitor)
        pulumi.runtime.test(program)()
    return monitor.asked


def needed(request: Any) -> set[str]:
    return {urn.rpartition("::")[2] for urn in request.dependencies}


def test_storage_waits_for_the_nodes_that_carry_it() -> None:
    asked = declared(with_mesh())
    assert "nodes-train" in needed(asked["neuralmesh:cluster"])
    assert "nodes-serve" not in needed(asked["neuralmesh:cluster"])
    assert "nodes-train" in needed(asked["neuralmesh:operator"])
    outside = declared(with_mesh(joined()))
    assert "nodes-serve" in needed(outside["neuralmesh:operator"])  # any node of the mesh


def test_the_end_of_a_cluster_may_take_its_time() -> None:
    asked = declared(with_mesh())
    assert asked["neuralmesh:cluster"].customTimeouts.delete == "1800s"
    assert asked["storage/data:claim"].customTimeouts.delete == ""


def test_nobody_waits_for_storage_whose_nodes_are_gone() -> None:
    made = with_mesh()
    ended = ReservedCapacity(has_ended=True)
    pools = tuple(pool.model_copy(update={"reserved": ended if pool.name == "train" else None}) for pool in made.pools)
    objects = render.platform_objects(made.model_copy(update={"pools": pools}))
    waited_for = [item.name for item in objects if item.wait and item.subject in ("neuralmesh", "storage/data")]
    assert waited_for == ["neuralmesh:operator"]  # which other nodes run
    assert [item.name for item in render.platform_objects(made) if item.wait and item.subject == "storage/data"]


def test_nodes_may_use_the_buckets_to_which_is_tiered_and_no_others() -> None:
    statements = json.loads(tier_policy(with_mesh(neural_mesh(), system(tier="weights"))))["Statement"]
    bucket = "arn:aws:s3:::llm-prod-dc1-weights"
    assert allowed(statements, "s3:ListBucket") == {bucket}
    assert allowed(statements, "s3:PutObject") == allowed(statements, "s3:GetObject") == {f"{bucket}/*"}
    assert not any("*" in action for statement in statements for action in statement["Action"])
    assert tier_policy(with_mesh()) == tier_policy(with_mesh(joined(), system(tier="weights"))) == ""
