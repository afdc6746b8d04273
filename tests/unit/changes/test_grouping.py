"""Steps of the engine become changes in mesh terms."""

from dataclasses import replace

from meshctl.changes import Plan, PropertyChange, Step, done_text, group, plan_text
from meshctl.changes.fields import value_at
from meshctl.changes.grouping import joined
from meshctl.changes.losses import Loss
from meshctl.changes.steps import subject_of

URN = "urn:pulumi:aws-east::llm-prod::"


def step(type_: str, name: str, op: str, **more: object) -> Step:
    return Step(urn=f"{URN}{type_}::{name}", type=type_, op=op, **more)  # type: ignore[arg-type]


def plan(*steps: Step) -> Plan:
    return group(steps, environment="aws-east", digest="d", hourly_usd_before=0.0, hourly_usd_after=42.5)


def test_a_subject_is_read_off_the_urn() -> None:
    assert subject_of(f"{URN}meshaws:eks:Nodegroup::pool/train:nodegroup") == "pool/train"
    assert subject_of(f"{URN}kubernetes:core/v1:Namespace::platform:namespace") == "platform"


def test_resources_of_one_subject_are_one_change() -> None:
    found = plan(
        step("meshaws:ec2:LaunchTemplate", "pool/train:launch-template", "create"),
        step("meshaws:eks:Nodegroup", "pool/train:nodegroup", "create"),
        step("meshaws:ec2:Vpc", "network:vpc", "same"),
    )
    assert [(change.subject, change.action, len(change.resources)) for change in found.changes] == [
        ("pool/train", "create", 2)
    ]
    assert found.counts == {"create": 2, "update": 0, "replace": 0, "delete": 0, "same": 1}


def test_a_field_has_its_mesh_name_and_both_values() -> None:
    found = plan(
        step(
            "meshaws:eks:Nodegroup",
            "pool/train:nodegroup",
            "update",
            old={"scalingConfig": {"desiredSize": 4}},
            new={"scalingConfig": {"desiredSize": 5}},
            properties=(PropertyChange("scalingConfig.desiredSize"),),
        )
    )
    (change,) = found.changes
    assert (change.fields[0].path, change.fields[0].old, change.fields[0].new) == ("nodes", 4, 5)
    assert change.summary == "nodes 4 -> 5"


def test_a_part_that_comes_does_not_make_the_subject_new() -> None:
    found = plan(
        step("meshaws:ec2:PlacementGroup", "pool/train:placement-group", "create"),
        step("meshaws:eks:Nodegroup", "pool/train:nodegroup", "update"),
    )
    assert found.changes[0].action == "update"


def test_the_pieces_of_a_replacement_are_counted_once() -> None:
    bucket = "storage/weights:bucket"
    found = plan(
        step("meshaws:s3:Bucket", bucket, "create-replacement"),
        step("meshaws:s3:Bucket", bucket, "replace", properties=(PropertyChange("Bucket", forces_replace=True),)),
        step("meshaws:s3:Bucket", bucket, "delete-replaced"),
    )
    assert found.counts["replace"] == 1


def test_the_engines_own_resources_are_not_shown() -> None:
    found = plan(
        step("pulumi:pulumi:Stack", "llm-prod-aws-east", "create"), step("pulumi:providers:meshaws", "aws", "update")
    )
    assert not found.pending
    assert "no changes" in plan_text(found)


def test_data_at_risk_is_said_loudly() -> None:
    deleting = plan(step("meshaws:s3:Bucket", "storage/weights:bucket", "delete"))
    assert deleting.data_at_risk == (), "an empty bucket holds none"
    loss = Loss("storage/weights", "bucket", "bucket b-1", "2 objects", "the mesh has no storage weights any more")
    found = replace(deleting, losses=(loss,))
    said = "DATA AT RISK: storage/weights (bucket b-1, 2 objects): the mesh has no storage weights any more"
    assert said in plan_text(found)
    assert "AT RISK" not in done_text(found)
    assert found.document()["data_at_risk"] == ["storage/weights"]
    assert found.document()["data_losses"] == [
        {
            "subject": "storage/weights",
            "kind": "bucket",
            "identity": "bucket b-1",
            "size": "2 objects",
            "why": "the mesh has no storage weights any more",
        }
    ]


def test_an_unknown_price_is_never_zero() -> None:
    found = group([], environment="dc1", digest="d", hourly_usd_before=None, hourly_usd_after=None)
    assert "cost: unknown -> unknown" in plan_text(found)


def test_values_are_found_by_pulumis_property_paths() -> None:
    inputs = {"spec": {"ports": [{"port": 80}]}, "metadata": {"labels": {"a.b/c": "x"}}}
    assert value_at(inputs, "spec.ports[0].port") == 80
    assert value_at(inputs, 'metadata.labels["a.b/c"]') == "x"
    assert value_at(inputs, "spec.ports[3].port") is None


def test_a_plan_is_the_same_in_whatever_order_the_engine_came_to_its_resources() -> None:
    steps = [
        step("meshaws:ec2:LaunchTemplate", "pool/train:launch-template", "update", properties=(PropertyChange("a"),)),
        step("meshaws:eks:Nodegroup", "pool/train:nodegroup", "update", properties=(PropertyChange("b"),)),
    ]
    assert plan(*steps).document() == plan(*reversed(steps)).document()


JOB = "kubernetes:batch/v1:Job"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"


def with_env(**variables: str) -> dict[str, object]:
    container = {"env": [{"name": name, "value": value} for name, value in sorted(variables.items())]}
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


def test_variables_are_named_and_a_new_one_does_not_change_those_after_it() -> None:
    places = [f"spec.template.spec.containers[0].env[{index}].{key}" for index in (0, 1) for key in ("name", "value")]
    changed = step(
        DEPLOYMENT,
        "workload/chat:deployment",
        "update",
        old=with_env(LOG="info"),
        new=with_env(DEBUG="1", LOG="info"),
        properties=tuple(PropertyChange(path) for path in places),
    )
    assert plan(changed).changes[0].summary == "env DEBUG none -> 1"


def test_what_the_engine_does_not_know_yet_is_said_in_words() -> None:
    url = "spec.template.spec.containers[0].env[0].value"
    new = with_env(MESH_FOO="04da6b54-80e4-46f7-96ec-b56ff0331ba9")
    properties = (PropertyChange(url, forces_replace=True),)
    found = plan(step(JOB, "workload/train:job", "replace", old=with_env(MESH_FOO="x"), new=new, properties=properties))
    text = plan_text(found)
    assert "env MESH_FOO x -> known after up (replaces the resource)" in text
    assert "04da6b54" not in text


def test_a_secret_with_a_new_value_is_named_and_nothing_else_said_of_it() -> None:
    annotation = 'spec.template.metadata.annotations["meshctl.dev/secrets-revision"]'
    pods = [{"spec": {"template": {"metadata": {"annotations": {"meshctl.dev/secrets-revision": n}}}}} for n in "12"]
    secret = "kubernetes:core/v1:Secret"
    found = plan(
        step(secret, "workload/chat:secrets", "update", properties=(PropertyChange("data.HF_TOKEN"),)),
        step(
            DEPLOYMENT,
            "workload/chat:deployment",
            "update",
            old=pods[0],
            new=pods[1],
            properties=(PropertyChange(annotation),),
        ),
    )
    assert found.changes[0].summary == "secret HF_TOKEN changes, rolls out the pods that read them"


def test_two_runs_of_one_up_are_one_plan() -> None:
    """The second one has started the job that the first one has made, and has written a name."""
    made = plan(
        step("meshaws:eks:Nodegroup", "pool/train:nodegroup", "create"),
        step("kubernetes:batch/v1:Job", "workload/pretrain:job", "create"),
    )
    started = plan(
        step("meshaws:eks:Nodegroup", "pool/train:nodegroup", "same"),
        step("kubernetes:batch/v1:Job", "workload/pretrain:job", "update"),
        step("kubernetes:core/v1:Service", "endpoint/chat:record", "create"),
    )
    whole = joined(made, replace(started, hourly_usd_before=42.5))
    assert [(change.subject, change.action) for change in whole.changes] == [
        ("pool/train", "create"),
        ("workload/pretrain", "create"),
        ("endpoint/chat", "create"),
    ]
    assert whole.counts == {"create": 3, "update": 0, "replace": 0, "delete": 0, "same": 0}
    assert (whole.hourly_usd_before, whole.hourly_usd_after) == (0.0, 42.5)
