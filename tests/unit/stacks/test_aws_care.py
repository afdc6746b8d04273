"""What keeps an environment on AWS healthy, patched and accounted for, as its resources are declared."""

from __future__ import annotations

import json

import botocore.session
import pytest

from providers.aws.rows import ALL
from stacks.aws.cluster import addon_names
from tests.unit.stacks.declared_on_aws import Recorder, declared, example


@pytest.fixture(scope="module")
def program() -> Recorder:
    return declared(example())


def test_c3_a_sick_gpu_node_is_found_and_replaced(program: Recorder) -> None:
    groups = {each["nodegroupName"]: each for each in program.of_type("eks:Nodegroup").values()}
    assert {name: group.get("nodeRepairConfig") for name, group in groups.items()} == {
        "train": {"enabled": True},
        "serve": {"enabled": True},
        "web": None,
    }
    assert program.inputs["cluster:addon-eks-node-monitoring-agent"]["addonName"] == "eks-node-monitoring-agent"


def test_c3_what_is_up_stays_as_it_is(program: Recorder) -> None:
    assert all("nodeRepairConfig" in program.ignored[name] for name in program.of_type("eks:Nodegroup"))


def test_c3_without_gpus_nothing_watches_for_sick_ones() -> None:
    deployment = example()
    plain = deployment.pool("web")
    workloads = tuple(each for each in deployment.workloads if each.pool == "web")
    endpoints = tuple(each for each in deployment.endpoints if each.workload in {w.name for w in workloads})
    update = {"pools": (plain,), "workloads": workloads, "endpoints": endpoints}
    program = declared(deployment.model_copy(update=update))
    assert "cluster:addon-eks-node-monitoring-agent" not in program.types


def test_c4_a_cluster_made_new_leaves_with_standard_support_and_one_that_is_up_keeps_its_policy(
    program: Recorder,
) -> None:
    assert program.inputs["cluster:eks"]["upgradePolicy"] == {"supportType": "STANDARD"}
    assert "upgradePolicy" in program.ignored["cluster:eks"]


def test_c2_releases_are_named_only_where_somebody_asked_for_them(program: Recorder) -> None:
    assert not any("releaseVersion" in each for each in program.of_type("eks:Nodegroup").values())
    assert not any("addonVersion" in each for each in program.of_type("eks:Addon").values())
    deployment = example()
    pools = tuple(pool.model_copy(update={"image_release": "1.35.0-20261120"}) for pool in deployment.pools)
    cluster = deployment.cluster.model_copy(update={"addon_versions": {"coredns": "v1.12.9-eksbuild.1"}})
    refreshed = declared(deployment.model_copy(update={"pools": pools, "cluster": cluster}))
    assert {each["releaseVersion"] for each in refreshed.of_type("eks:Nodegroup").values()} == {"1.35.0-20261120"}
    versions = {each["addonName"]: each.get("addonVersion") for each in refreshed.of_type("eks:Addon").values()}
    assert {name for name, version in versions.items() if version} == {"coredns"}
    assert set(versions) == set(addon_names(deployment)), "all that are declared are asked about"


BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def guarded(**update: object) -> Recorder:
    deployment = example()
    values = {"tags": {"cost-centre": "4711"}, "permissions_boundary": BOUNDARY, "role_path": "/genai/", **update}
    return declared(deployment.model_copy(update={"cluster": deployment.cluster.model_copy(update=values)}))


def test_c5_each_role_has_the_boundary_and_one_that_is_up_stays_on_its_path(program: Recorder) -> None:
    rails = guarded()
    roles = rails.of_type("iam:Role")
    assert len(roles) >= 4  # cluster, nodes, and the workloads with buckets
    assert {(role.get("PermissionsBoundary"), role.get("Path")) for role in roles.values()} == {(BOUNDARY, "/genai/")}
    assert all("Path" in rails.ignored[name] for name in roles)
    assert not any({"PermissionsBoundary", "Path"} & set(role) for role in program.of_type("iam:Role").values())


def test_c5_everything_that_takes_tags_gets_those_of_the_environment() -> None:
    rails = guarded()
    providers = [name for name, type_ in rails.types.items() if type_ == "pulumi:providers:meshaws"]
    assert providers
    for name in providers:
        assert json.loads(rails.inputs[name]["defaultTags"])["cost-centre"] == "4711", name
    rows = {row.token: row for row in ALL}
    session = botocore.session.get_session()
    for token in {type_ for type_ in rails.types.values() if type_ in rows}:
        row = rows[token]
        create = session.get_service_model(row.service).operation_model(row.create.operation)
        members = set(create.input_shape.members) if create.input_shape else set()
        takes_tags = {"Tags", "tags", "TagSpecifications", "TagList"} & members
        assert bool(row.tags) or not takes_tags, f"{token} takes tags and gets none"


def test_c5_the_instances_of_a_pool_their_volumes_and_interfaces_have_the_tags() -> None:
    for name, template in guarded().of_type("ec2:LaunchTemplate").items():
        specifications = template["LaunchTemplateData"]["TagSpecifications"]
        assert {each["ResourceType"] for each in specifications} == {"instance", "volume", "network-interface"}
        for each in specifications:
            assert {"Key": "cost-centre", "Value": "4711"} in each["Tags"], name


def test_c5_no_tag_of_the_environment_hides_whose_a_resource_is() -> None:
    rails = guarded(tags={"meshctl.dev/mesh": "other"})
    provider = next(name for name, type_ in rails.types.items() if type_ == "pulumi:providers:meshaws")
    assert json.loads(rails.inputs[provider]["defaultTags"])["meshctl.dev/mesh"] == "llm-prod"
