"""A changed property has the name that a mesh or the platform's documents give it; what is only ours is not shown."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meshctl.changes import Plan, PropertyChange, Step, group, plan_text
from meshctl.changes.field_change import FieldChange
from meshctl.changes.fields import fields
from meshctl.model.pods import pod_files
from meshwire.marks import UNKNOWN_STRING

JOB = "kubernetes:batch/v1:Job"
DEPLOYMENT = "kubernetes:apps/v1:Deployment"
STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
SECRET = "kubernetes:core/v1:Secret"
POLICY = "meshaws:iam:RolePolicy"


def grouped(*steps: Step) -> Plan:
    return group(steps, environment="dc1", digest="d", hourly_usd_before=0.0, hourly_usd_after=0.0)


def step(type_: str, *paths: str, old: Any = None, new: Any = None, replaces: bool = False) -> Step:
    properties = tuple(PropertyChange(path, replaces) for path in paths)
    urn = f"urn:pulumi:dc1::m::{type_}::workload/chat:part"
    return Step(urn, type_, "replace" if replaces else "update", old or {}, new or {}, properties)


def words(type_: str, *paths: str, old: Any = None, new: Any = None) -> list[str]:
    return [field.text() for field in fields(step(type_, *paths, old=old, new=new))]


def pod(**container: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [container]}}}}


@pytest.mark.parametrize(
    ("type_", "path"),
    [
        ("kubernetes:core/v1:Service", 'metadata.annotations["pulumi.com/skipAwait"]'),
        (SECRET, 'metadata.annotations["meshctl.dev/revision"]'),
        (SECRET, "__fieldManager"),
        ("meshaws:ec2:LaunchTemplate", "LaunchTemplateData.TagSpecifications[1].Tags[0].Value"),
    ],
)
def test_bookkeeping_is_not_shown(type_: str, path: str) -> None:
    assert fields(step(type_, path)) == []


@pytest.mark.parametrize(
    ("type_", "path", "term"),
    [
        ("meshaws:eks:Nodegroup", "instanceTypes[0]", "machine"),
        ("meshaws:eks:Nodegroup", "launchTemplate.version", "version of the launch template"),
        ("meshaws:eks:Nodegroup", 'labels["meshctl.dev/pool"]', "label meshctl.dev/pool"),
        ("meshaws:eks:Cluster", "version", "Kubernetes version"),
        ("meshaws:eks:Cluster", "resourcesVpcConfig.publicAccessCidrs[0]", "resourcesVpcConfig.publicAccessCidrs[0]"),
        ("meshaws:eks:Cluster", "resourcesVpcConfig.subnetIds", "subnets of the control plane"),
        ("meshaws:eks:Nodegroup", "updateConfig.updateStrategy", "order of node updates"),
        ("meshaws:ec2:SecurityGroupIngress", "IpPermissions[0].UserIdGroupPairs", "who is let in"),
        ("meshaws:fsx:FileSystem", "StorageCapacity", "size in GiB"),
        ("meshaws:ec2:LaunchTemplate", "LaunchTemplateData.UserData", "user data"),
        ("meshaws:ec2:LaunchTemplate", "LaunchTemplateData.MetadataOptions.HttpTokens", "MetadataOptions.HttpTokens"),
        ("kubernetes:core/v1:PersistentVolumeClaim", "spec.resources.requests.storage", "size"),
        (STATEFUL_SET, "spec.replicas", "replicas"),
        (DEPLOYMENT, "spec.template.spec.containers[0].resources.limits.memory", "resources.limits.memory"),
        (DEPLOYMENT, 'spec.template.metadata.labels["team"]', "label team"),
        (DEPLOYMENT, "spec.template.spec.terminationGracePeriodSeconds", "grace in seconds"),
        (SECRET, 'data[".dockerconfigjson"]', "credentials of the registry"),
        (SECRET, "data.HF_TOKEN", "secret HF_TOKEN"),
    ],
)
def test_a_property_has_a_term(type_: str, path: str, term: str) -> None:
    assert [field.path for field in fields(step(type_, path))] == [term]


def test_the_first_annotation_is_named_like_any_other() -> None:
    annotations = {"meshctl.dev/secrets-revision": "1", "a.b/c": "d"}
    new = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    assert words(DEPLOYMENT, "spec.template.metadata.annotations", new=new) == [
        "annotation a.b/c none -> d",
        "rolls out the pods that read them",
    ]


def test_arguments_are_one_thing() -> None:
    base = "spec.template.spec.containers[0].args"
    old, new = pod(args=["--a", "1"]), pod(args=["--a", "2", "--b"])
    assert words(DEPLOYMENT, f"{base}[1]", f"{base}[2]", old=old, new=new) == [
        'args ["--a", "1"] -> ["--a", "2", "--b"]'
    ]


def probed(path: str = "/health", *, live: str = "", startup: int = 360, port: int = 8000) -> dict[str, Any]:
    def get(at: str) -> dict[str, Any]:
        return {"httpGet": {"path": at, "port": port, "scheme": "HTTP"}}

    return pod(
        readinessProbe=get(path),
        livenessProbe=get(live or path),
        startupProbe={**get(path), "failureThreshold": startup, "periodSeconds": 5},
    )


PROBES = [f"spec.template.spec.containers[0].{which}Probe" for which in ("readiness", "liveness", "startup")]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (pod(), probed(), ["health none -> http /health on 8000"]),
        (probed(), pod(), ["health http /health on 8000 -> none"]),
        (pod(), probed(startup=1440), ["health none -> http /health on 8000", "health.startup none -> 2h"]),
        (probed(), probed(startup=1440), ["health.startup 30m -> 2h"]),
        (probed(), probed(live="/live"), ["health.live none -> /live"]),
        (
            probed(),
            pod(readinessProbe={"grpc": {"port": 50051}}, startupProbe={"failureThreshold": 360, "periodSeconds": 5}),
            ["health http /health on 8000 -> grpc on 50051"],
        ),
        (pod(), pod(readinessProbe={"tcpSocket": {"port": 22}}), ["health none -> tcp on 22"]),
    ],
)
def test_probes_are_told_in_the_words_of_health(old: dict[str, Any], new: dict[str, Any], says: list[str]) -> None:
    assert words(DEPLOYMENT, *PROBES, old=old, new=new) == says


def test_volumes_are_named_and_said_in_words() -> None:
    volumes = (
        {"name": "disk", "persistentVolumeClaim": {"claimName": "crunch-disk"}},
        {"name": "disk", "ephemeral": {}},
    )
    old, new = ({"spec": {"template": {"spec": {"volumes": [volume]}}}} for volume in volumes)
    paths = [f"spec.template.spec.volumes[0].{key}" for key in ("ephemeral", "persistentVolumeClaim")]
    assert words(JOB, *paths, old=old, new=new) == [
        "volume disk claim crunch-disk -> a volume that goes with its pod",
    ]


def test_a_policy_is_told_by_what_comes_and_goes() -> None:
    def document(*buckets: str) -> dict[str, str]:
        statement = {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": [f"arn:aws:s3:::{b}" for b in buckets]}
        return {"PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}

    assert words(POLICY, "PolicyDocument", old=document("a", "b"), new=document("b", "c")) == [
        "policy Statement[0].Resource arn:aws:s3:::a -> none",
        "policy Statement[0].Resource none -> arn:aws:s3:::c",
    ]
    assert words(POLICY, "PolicyDocument", old=document("a"), new={"PolicyDocument": UNKNOWN_STRING}) == [
        "policy changes"
    ]


def test_what_has_no_short_value_only_comes_goes_or_changes() -> None:
    assert FieldChange("lifecycle", None, {"exec": {}}).text() == "lifecycle comes"
    assert FieldChange("lifecycle", {"exec": {}}, None).text() == "lifecycle goes"
    assert FieldChange("lifecycle", {"a": 1}, {"a": 2}).text() == "lifecycle changes"
    assert FieldChange("secret A", "[secret]", "[secret]").text() == "secret A changes"
    assert FieldChange("secret A", None, "[secret]").text() == "secret A comes"


def test_an_object_that_never_got_ready_is_said_to_be_made_anew() -> None:
    assert [field.text() for field in fields(step(JOB, "metadata", replaces=True))] == ["object failed -> made anew"]


def test_several_objects_that_change_alike_are_one_field_and_nothing_but_bookkeeping_is_counted() -> None:
    sized = [{"spec": {"capacity": {"storage": s}, "resources": {"requests": {"storage": s}}}} for s in ("1Gi", "2Gi")]
    volume = step("kubernetes:core/v1:PersistentVolume", "spec.capacity.storage", old=sized[0], new=sized[1])
    claim = "kubernetes:core/v1:PersistentVolumeClaim"
    same = step(claim, "spec.resources.requests.storage", old=sized[0], new=sized[1])
    (change,) = grouped(volume, same).changes
    assert change.summary == "size 1Gi -> 2Gi"
    hidden = step("kubernetes:core/v1:Service", 'metadata.annotations["pulumi.com/skipAwait"]')
    text = plan_text(grouped(hidden))
    assert "~ workload/chat  1 resource to update" in text


def as_user(**context: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"securityContext": {"fsGroup": 1000, **context}, "containers": [{}]}}}}


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (as_user(runAsUser=1000, runAsGroup=1000, runAsNonRoot=True), as_user(runAsUser=0), "user 1000 -> root"),
        (as_user(runAsUser=0), as_user(), "user root -> image"),
        (as_user(), as_user(runAsUser=999), "user image -> 999"),
    ],
)
def test_who_a_pod_runs_as_is_said_once_and_as_in_the_mesh(old: Any, new: Any, text: str) -> None:
    path = "spec.template.spec.securityContext"
    paths = (f"{path}.runAsUser", f"{path}.runAsGroup", f"{path}.runAsNonRoot")
    assert words(DEPLOYMENT, *paths, old=old, new=new) == [text]


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ({"capabilities": {"drop": ["ALL"]}}, None, "capabilities none -> the runtime's own"),
        (
            {"capabilities": {"drop": ["ALL"], "add": ["IPC_LOCK"]}},
            {"capabilities": {"add": ["IPC_LOCK"]}},
            "capabilities IPC_LOCK -> the runtime's own and IPC_LOCK",
        ),
    ],
)
def test_what_a_container_may_do_is_in_words(old: Any, new: Any, text: str) -> None:
    path = "spec.template.spec.containers[0].securityContext"
    before, after = pod(securityContext=old), pod(**({"securityContext": new} if new else {}))
    assert words(DEPLOYMENT, path, old=before, new=after) == [text]


FILES = "kubernetes:core/v1:ConfigMap"
PROMPT_KEY = pod_files.key_of("/prompt.yaml")
TOKEN_KEY = pod_files.key_of("/run/secrets/hf")
MOUNTS = [
    {"name": "0-files", "mountPath": "/prompt.yaml", "subPath": PROMPT_KEY},
    {"name": "0-secret-files", "mountPath": "/run/secrets/hf", "subPath": TOKEN_KEY},
    {"name": "cache", "mountPath": "/cache"},
]


def test_a_file_with_another_text_is_called_by_its_path() -> None:
    old, new = {"data": {PROMPT_KEY: "be kind"}}, {"data": {PROMPT_KEY: "be mild"}}
    assert words(FILES, f'data["{PROMPT_KEY}"]', old=old, new=new) == ["file /prompt.yaml changes"]


def test_a_secret_that_is_a_file_is_called_by_its_path_and_never_shown() -> None:
    old, new = {"stringData": {TOKEN_KEY: "hf_old"}}, {"stringData": {TOKEN_KEY: "[secret]"}}
    (change,) = fields(step(SECRET, f'stringData["{TOKEN_KEY}"]', old=old, new=new))
    assert change.text() == "secret /run/secrets/hf changes"
    assert "hf_old" not in repr(change)
    masked = {"stringData": "[secret]"}
    assert words(SECRET, f'stringData["{TOKEN_KEY}"]', old=masked, new=masked) == ["secret /run/secrets/hf changes"]


def test_a_file_that_comes_or_goes_is_said_once() -> None:
    """With the pods that mount it, not with the ConfigMap or the Secret that holds it."""
    path = "spec.template.spec.containers[0].volumeMounts"
    come = words(DEPLOYMENT, path, old=pod(), new=pod(volumeMounts=MOUNTS))
    assert come == ["mount cache none -> /cache", "file /prompt.yaml comes", "secret /run/secrets/hf comes"]
    assert words(DEPLOYMENT, path, old=pod(volumeMounts=MOUNTS[:2]), new=pod()) == [
        "file /prompt.yaml goes",
        "secret /run/secrets/hf goes",
    ]
    assert words(FILES, f'data["{PROMPT_KEY}"]', new={"data": {PROMPT_KEY: "be kind"}}) == []
    volumes = {"spec": {"template": {"spec": {"volumes": [{"name": "0-files", "configMap": {"name": "chat-files"}}]}}}}
    assert words(DEPLOYMENT, "spec.template.spec.volumes", new=volumes) == []


def test_a_changed_file_rolls_out() -> None:
    path = 'spec.template.metadata.annotations["meshctl.dev/files-revision"]'
    assert words(DEPLOYMENT, path) == ["rolls out the pods that read them"]


def test_texts_are_shown_as_the_mesh_has_them() -> None:
    """The manifest has `$$` where Kubernetes would read a `$` otherwise."""
    env = "spec.template.spec.containers[0].env[0].value"
    old = pod(args=["a$$$$ $(MESH_POOL)"], env=[{"name": "A", "value": "$$(HOME)"}])
    new = pod(args=["b$$$$ $(echo $$)"], env=[{"name": "A", "value": "pa$$$$word"}])
    args = "spec.template.spec.containers[0].args[0]"
    assert words(DEPLOYMENT, args, env, old=old, new=new) == [
        'args ["a$$ $(MESH_POOL)"] -> ["b$$ $(echo $$)"]',
        "env A $(HOME) -> pa$$word",
    ]
    (field,) = fields(step(DEPLOYMENT, args, old=old, new=new))
    assert (field.old, field.new) == (["a$$ $(MESH_POOL)"], ["b$$ $(echo $$)"])


def test_a_text_that_is_only_written_in_another_way_changes() -> None:
    env = "spec.template.spec.containers[0].env[0].value"
    old, new = (pod(env=[{"name": "A", "value": value}]) for value in ("$(HOME)", "$$(HOME)"))
    assert words(DEPLOYMENT, env, old=old, new=new) == ["env A changes"]
