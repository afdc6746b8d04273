"""What a run would lose, decided from values alone: what takes claims along, and what the platform calls things."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes.losses import (
    CLAIM,
    STATEFUL_SET,
    UNSEEN,
    Loss,
    Outcome,
    Seen,
    Volume,
    losses,
    outcome_of_destroy,
    outcome_of_up,
)
from meshctl.changes.steps import PropertyChange, Step
from meshctl.deploy.guards import protection
from meshctl.model.deployment import Block, Deployment, FileSystem, Price
from meshctl.model.resource_types import WEKA_CLUSTER
from meshctl.model.stack_state import Resource
from tests.unit.deployments import deployment
from tests.unit.states import NOTHING, state
from tests.unit.weka_mesh import neural_mesh, system, with_mesh

PRICE = Price(subject="storage/x", usd_per_hour=None, source="unknown")
NAMESPACE, CLUSTER, EFS = "kubernetes:core/v1:Namespace", "meshaws:eks:Cluster", "meshaws:efs:FileSystem"


def made() -> Deployment:
    return deployment(
        file_systems=(FileSystem(name="home", service="efs", size_gib=1200, price=PRICE),),
        blocks=(Block(name="data", size_gib=5, storage_class="gp3", price=PRICE),),
    )


def resource(type_: str, name: str, id_: str = "", **inputs: Any) -> dict[str, Any]:
    return {"urn": f"urn:pulumi:aws-east::llm-prod::{type_}::{name}", "type": type_, "id": id_, "inputs": inputs}


def stateful_set(workload: str, block: str) -> dict[str, Any]:
    claim = {"metadata": {"name": block}, "spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    spec = {"replicas": 1, "volumeClaimTemplates": [claim]}
    return resource(STATEFUL_SET, f"workload/{workload}:statefulset", metadata={"name": workload}, spec=spec)


HOME = resource(
    CLAIM,
    "storage/home:claim",
    metadata={"name": "home"},
    spec={"volumeName": "llm-prod-home", "resources": {"requests": {"storage": "1200Gi"}}},
)
STATE = state(
    resource(CLUSTER, "cluster:eks"),
    resource(EFS, "storage/home:efs", "fs-0123"),
    resource(NAMESPACE, "platform:namespace"),
    HOME,
    stateful_set("site", "data"),
)
VOLUMES = (
    Volume("data-site-0", "pvc-1", "vol-1", "5Gi"),
    Volume("data-old-0", "pvc-2", "vol-2", "5Gi"),
    Volume("home", "llm-prod-home", "fs-0123", "1200Gi"),
)
SEEN = Seen(volumes=VOLUMES)


def steps(op: str, *types: str) -> list[Step]:
    return [Step(each.urn, each.type, op, each.inputs, each.inputs) for each in STATE.of_type(*types)]


@pytest.mark.parametrize("op", ["delete", "replace"])
@pytest.mark.parametrize("taken", [NAMESPACE, CLUSTER])
def test_a_namespace_or_a_cluster_takes_every_claim_along(op: str, taken: str) -> None:
    outcome = outcome_of_up(STATE, made(), made(), steps(op, taken))
    found = losses(STATE, made(), outcome, SEEN)
    assert [loss.subject for loss in found] == ["claim/data-old-0", "storage/data", "storage/home"]
    assert [loss.identity for loss in found] == [
        "claim data-old-0, volume pvc-2 (vol-2)",
        "claim data-site-0, volume pvc-1 (vol-1)",
        "claim home, volume llm-prod-home (fs-0123)",
    ]


def test_a_file_system_is_named_by_its_id_and_once() -> None:
    (_, _, home) = losses(STATE, made(), outcome_of_destroy(STATE), SEEN)
    assert (home.subject, home.kind, home.identity, home.size) == (
        "storage/home",
        "file system",
        "file system fs-0123",
        "1200 GiB",
    )


def test_a_stateful_set_that_is_replaced_finds_its_volumes_again() -> None:
    outcome = outcome_of_up(STATE, made(), made(), steps("replace", STATEFUL_SET))
    assert losses(STATE, made(), outcome, SEEN) == ()


def test_names_that_begin_alike_are_not_taken_for_each_other() -> None:
    """The claims of a workload `a` and of one `a-b`."""
    old, new = stateful_set("a-b", "data"), stateful_set("a", "data")
    before = state(old)
    goes = Step(old["urn"], STATEFUL_SET, "delete", old["inputs"])
    comes = Step(new["urn"], STATEFUL_SET, "create", {}, new["inputs"])
    outcome = outcome_of_up(before, made(), made(), [goes, comes])
    seen = Seen(volumes=(Volume("data-a-b-0", "pvc-1"),))
    assert [loss.subject for loss in losses(before, made(), outcome, seen)] == ["storage/data"]


def test_what_can_not_be_seen_counts() -> None:
    bucket = resource("meshaws:s3:Bucket", "storage/weights:bucket", Bucket="b-1")
    more = STATE.with_resources([Resource(bucket), *STATE.resources])
    found = losses(more, made(), outcome_of_destroy(more), Seen())
    sizes = {loss.subject: loss.size for loss in found}
    assert sizes == {"storage/weights": UNSEEN, "storage/home": "1200 GiB", "storage/data": "5Gi"}


def test_an_outcome_that_touches_nothing_loses_nothing() -> None:
    assert losses(STATE, made(), Outcome(frozenset()), SEEN) == ()
    assert losses(NOTHING, None, outcome_of_destroy(NOTHING), Seen()) == ()


GROUP, CW_POOL = "meshaws:eks:Nodegroup", "kubernetes:compute.coreweave.com/v1alpha1:NodePool"
CARRIED = state(
    resource(GROUP, "pool/train:nodegroup", "llm-prod|train"),
    resource(GROUP, "pool/serve:nodegroup", "llm-prod|serve"),
    resource(CW_POOL, "pool/train:nodepool", "train"),
    resource(
        WEKA_CLUSTER,
        "neuralmesh:cluster",
        metadata={"name": "llm-prod", "namespace": "llm-prod"},
        spec={"nodeSelector": {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "train"}},
    ),
)


def lost_with_nodes(
    op: str, path: str, pool: str = "train", type_: str = GROUP, *, ephemeral: bool = False
) -> list[str]:
    made = with_mesh(neural_mesh(net_capacity_gib=40 * 1024), system(ephemeral=ephemeral))
    (group,) = (each for each in CARRIED.of_type(type_) if each.subject == f"pool/{pool}")
    step = Step(group.urn, type_, op, {}, {}, (PropertyChange(path),))
    outcome = outcome_of_up(CARRIED, made, made, [step])
    return [loss.text() for loss in losses(CARRIED, made, outcome, Seen(volumes=()))]


@pytest.mark.parametrize("path", ["launchTemplate.version", "version", "releaseVersion"])
def test_nodes_that_are_replaced_one_by_one_come_back_with_empty_drives(path: str) -> None:
    """EKS goes on to the next node as soon as the new one is Ready, which is long before WEKA has its data again."""
    assert lost_with_nodes("update", path) == [
        "neuralmesh (WekaCluster llm-prod/llm-prod, 40 TiB): nodes of pool train, whose drives carry it, are replaced"
        " one by one by nodes with empty drives, and the platform goes on to the next one without waiting until WEKA"
        " has built the data anew"
    ]


@pytest.mark.parametrize("op", ["delete", "replace"])
def test_a_node_group_that_goes_takes_the_drives_along(op: str) -> None:
    (text,) = lost_with_nodes(op, "instanceTypes[0]")
    assert text.endswith("all nodes of pool train, whose drives carry it, go at once; new ones have empty drives")


def test_other_machines_of_a_node_pool_have_other_drives() -> None:
    assert len(lost_with_nodes("update", "spec.instanceType", type_=CW_POOL)) == 1


def test_the_way_to_keep_it_names_both_files_and_how_nodes_with_drives_change() -> None:
    """A required tag or another Kubernetes version is in environments.yaml, a pool in mesh.yaml."""
    made = with_mesh(neural_mesh())
    (group,) = (each for each in CARRIED.of_type(GROUP) if each.subject == "pool/train")
    step = Step(group.urn, GROUP, "update", {}, {}, (PropertyChange("version"),))
    lost = losses(CARRIED, made, outcome_of_up(CARRIED, made, made, [step]), Seen(volumes=()))
    for refused in (protection.refused_by_up("cw", lost), protection.refused_by_migrate("cw", lost)):
        assert refused.hint.startswith(
            "to keep the data, undo the change in mesh.yaml or environments.yaml that `meshctl plan cw` shows as its"
            " cause; how nodes whose drives carry a NeuralMesh are replaced: docs/neuralmesh.md, Nodes that are"
            " replaced; if all of this may be lost, run"
        )
    (other,) = [Loss("storage/disk", "volume", "claim a", "1Gi", "it goes")]
    assert "neuralmesh" not in protection.refused_by_up("cw", [other]).hint


def test_nodes_that_stay_or_carry_nothing_lose_nothing() -> None:
    assert not lost_with_nodes("update", "scalingConfig.maxSize")
    assert not lost_with_nodes("update", 'labels["team"]')
    assert not lost_with_nodes("replace", "instanceTypes[0]", pool="serve")
    assert not lost_with_nodes("update", "version", ephemeral=True)


def test_an_environment_that_goes_names_its_storage_once() -> None:
    made = with_mesh(neural_mesh())
    (loss,) = losses(CARRIED, made, outcome_of_destroy(CARRIED), Seen(volumes=()))
    assert loss.why.startswith("it goes with the environment")
