"""The texts of a mesh reach the container as they are written, whatever Kubernetes reads in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from meshctl.model.deployment import Before, Deployment, Workload
from meshctl.model.pods import pod_variables
from meshctl.render import platform_objects
from meshctl.render.pod import literal
from tests.unit.render.sample import sample

HOSTS = "pretrain-0.pretrain,pretrain-1.pretrain,pretrain-2.pretrain,pretrain-3.pretrain"
LATE = {"MESH_ADDRESS", "MESH_ACCELERATORS", "MESH_HOSTS"}
AS_WRITTEN = [
    "pa$$word",
    "$$",
    "$$$",
    "$$$$$",
    "cost: $",
    "$(HOME)/x",
    "$$(HOME)",
    "$(HOME",
    "$((8 * 2))",
    "$HOME ${HOME:-$(HOME)}",
    "echo $$ > /tmp/pid; kill $(cat /tmp/pid)",
    "$(AWS_REGION) $(HF_TOKEN) $(LOG_LEVEL)",
    "$(KUBERNETES_SERVICE_HOST) $(AWS_CONTAINER_CREDENTIALS_FULL_URI)",
    "prix: $\u00e9 $$\u00e9 $\U0001f600",
    "$(MESH_TYPO)",
    "$MESH_POOL ${MESH_POOL}",
    "$(MESH_POOL",
    "$(mesh_pool) $( MESH_POOL )",
    "{{ MESH_POOL }} {% raw %} &a *a !output x",
]


def kubernetes(text: str, values: Mapping[str, str]) -> str:
    """kubernetes/third_party/forked/golang/expansion/expand.go, byte for byte."""
    source, result, at = text.encode(), b"", 0
    while at < len(source):
        following = source[at + 1 : at + 2]
        if source[at : at + 1] != b"$" or not following:
            result, at = result + source[at : at + 1], at + 1
        elif following == b"$":
            result, at = result + b"$", at + 2
        elif following == b"(" and b")" in source[at:]:
            end = source.index(b")", at)
            name = source[at + 2 : end].decode()
            result, at = result + values.get(name, f"$({name})").encode(), end + 1
        else:  # Go's string(byte): the byte taken for a character
            result, at = result + b"$" + chr(following[0]).encode(), at + 2
    return result.decode(errors="replace")


def main_of(deployment: Deployment, name: str) -> dict[str, Any]:
    manifests = [item.manifest for item in platform_objects(deployment) if item.subject == f"workload/{name}"]
    (spec,) = (each["spec"]["template"]["spec"] for each in manifests if "template" in each.get("spec", {}))
    container: dict[str, Any] = spec["containers"][0]
    return container


def started(container: Mapping[str, Any]) -> tuple[dict[str, str], list[str], list[str]]:
    """The variables, the command and the arguments that the kubelet gives the container."""
    outside = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23"}
    values: dict[str, str] = dict(outside)
    for entry in container["env"]:
        source = entry.get("valueFrom", {})
        late = source.get("fieldRef", {}).get("fieldPath") or source.get("secretKeyRef", {}).get("key")
        values[entry["name"]] = f"<{late}>" if late else kubernetes(entry["value"], values)
    command, args = ([kubernetes(text, values) for text in container.get(key, ())] for key in ("command", "args"))
    return values, command, args


def with_texts(provider: str, name: str, text: str, **more: Any) -> Deployment:
    deployment = sample(provider)
    update = {"env": {"A": text, "NAME": text, "Z": text, **more}, "command": ("sh", "-c", text), "args": (text, text)}
    workloads = tuple(w.model_copy(update=update) if w.name == name else w for w in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def with_fabric_env(deployment: Deployment, env: dict[str, str]) -> Deployment:
    pools = [
        pool.model_copy(update={"fabric": pool.fabric.model_copy(update={"env": env})}) if pool.fabric else pool
        for pool in deployment.pools
    ]
    return deployment.model_copy(update={"pools": tuple(pools)})


@pytest.mark.parametrize("name", ["chat", "pretrain", "index", "embed"])
@pytest.mark.parametrize("text", AS_WRITTEN)
def test_a_text_arrives_as_it_is_written(text: str, name: str) -> None:
    values, command, args = started(main_of(with_texts("aws", name, text, LOG_LEVEL="info"), name))
    assert [values["A"], values["NAME"], values["Z"]] == [text] * 3
    assert (command, args) == (["sh", "-c", text], [text, text])


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_a_setting_of_the_fabric_arrives_as_it_is_written(text: str) -> None:
    deployment = with_fabric_env(sample("onprem"), {"AAA": text, "NCCL_X": text, "odd name)": text})
    values, _, _ = started(main_of(deployment, "pretrain"))
    assert [values["AAA"], values["NCCL_X"], values["odd name)"]] == [text] * 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(MESH_LEADER)", "pretrain-0.pretrain"),
        ("--node_rank=$(MESH_RANK)", "--node_rank=<metadata.annotations['batch.kubernetes.io/job-completion-index']>"),
        ("$(MESH_POOL)/$(MESH_ENVIRONMENT)", "train/aws-1"),
        ("$(MESH_CHECKPOINTS_URL)/run", "s3://llm-checkpoints/run"),
        ("$(MESH_HOSTS)", HOSTS),
        ("--nproc-per-node=$(MESH_ACCELERATORS)", "--nproc-per-node=8"),
        ("$(MESH_ADDRESS):29500", "<status.podIP>:29500"),
        ("$(MESH_POOL) costs $$5, $(HOME)", "train costs $$5, $(HOME)"),
        ("$$(MESH_POOL)", "$(MESH_POOL)"),
        ("$$$(MESH_POOL)", "$train"),
        ("$$$$(MESH_POOL)", "$$(MESH_POOL)"),
        ("echo $(echo $(MESH_POOL))", "echo $(echo train)"),
    ],
)
def test_a_reference_becomes_the_value_whatever_the_names_sort_like(text: str, expected: str) -> None:
    values, command, args = started(main_of(with_texts("aws", "pretrain", text), "pretrain"))
    assert [values["A"], values["NAME"], values["Z"]] == [expected] * 3
    assert (command[-1], args) == (expected, [expected, expected])


def test_a_setting_of_the_fabric_may_refer_to_the_variables_of_every_pod() -> None:
    deployment = with_fabric_env(sample("onprem"), {"AAA": "$(MESH_ADDRESS)", "NCCL_X": "$(MESH_POOL)"})
    values, _, _ = started(main_of(deployment, "pretrain"))
    assert (values["AAA"], values["NCCL_X"]) == ("<status.podIP>", "train")


def step_of(text: str) -> tuple[dict[str, str], list[str], list[str]]:
    """What the first of the steps before a training is started with."""
    step = Before(image="acme/prepare:1", command=("sh", "-c", text), args=(text,), env={"A": text, "Z": text})
    deployment = sample("aws")
    workloads = [each.model_copy(update={"before": (step,), "env": {"A": "x"}}) for each in deployment.workloads]
    manifests = platform_objects(deployment.model_copy(update={"workloads": tuple(workloads)}))
    (spec,) = (item.manifest["spec"]["template"]["spec"] for item in manifests if item.name == "workload/pretrain:job")
    (container,) = (each for each in spec["initContainers"] if each["name"] == "before-1")
    return started(container)


@pytest.mark.parametrize("text", AS_WRITTEN)
def test_a_step_before_gets_its_texts_as_they_are_written(text: str) -> None:
    values, command, args = step_of(text)
    assert [values["A"], values["Z"], command[-1], args[0]] == [text] * 4


def test_a_step_before_may_refer_to_the_variables_of_its_workload() -> None:
    values, command, args = step_of("$(MESH_HOSTS)")
    assert [values["A"], values["Z"], command[-1], args[0]] == [HOSTS] * 4


def test_the_order_of_the_variables_stays_where_no_value_refers_to_a_later_one() -> None:
    container = main_of(with_texts("aws", "pretrain", "$$ $(HOME)"), "pretrain")
    names = [entry["name"] for entry in container["env"]]
    assert names == sorted(names)


def test_what_arrives_as_it_is_written_is_not_written_in_another_way() -> None:
    text = "for i in $(seq 3); do echo $i ${HOME} $((i * 2)) $? $! $#; done; wait $"
    container = main_of(with_texts("aws", "chat", text), "chat")
    assert container["args"] == [text, text]
    assert {"name": "A", "value": text} in container["env"]


@pytest.mark.parametrize("name", ["chat", "pretrain", "index", "embed"])
def test_newer_variables_are_only_set_where_they_are_named(name: str) -> None:
    """A new variable in all pods would roll out all that is up."""
    values, _, _ = started(main_of(sample("aws"), name))
    assert not LATE & values.keys()
    assert name == "pretrain" or not {"MESH_RANK", "MESH_NODES"} & values.keys()


@pytest.mark.parametrize(
    "text", ["$MESH_ADDRESS", "${MESH_ADDRESS:-x}", 'os.environ["MESH_ADDRESS"]', "$(MESH_ADDRESS)"]
)
def test_a_variable_is_set_in_whatever_way_it_is_named(text: str) -> None:
    for name in ("chat", "pretrain", "index", "embed"):
        values, _, _ = started(main_of(with_texts("aws", name, text), name))
        assert LATE & values.keys() == {"MESH_ADDRESS"}


def test_a_batch_of_several_pods_knows_its_rank() -> None:
    deployment = with_texts("aws", "embed", "$MESH_RANK of $(MESH_NODES)")
    three = tuple(each.model_copy(update={"replicas": 3}) for each in deployment.workloads)
    values, _, args = started(main_of(deployment.model_copy(update={"workloads": three}), "embed"))
    assert values["MESH_RANK"] == "<metadata.annotations['batch.kubernetes.io/job-completion-index']>"
    assert args[0] == "$MESH_RANK of 3"


def test_a_text_of_nothing_but_dollars_is_written_in_the_time_that_its_length_takes() -> None:
    assert literal.written("$" * 131_071, (), ()) == "$" * 262_142
    assert pod_variables.references("$" * 131_071 + "(MESH_POOL)") == ["MESH_POOL"]


def test_what_stages_an_object_store_gets_its_path_as_it_is_written() -> None:
    deployment = sample("coreweave")
    path = "/models/$(AWS_REGION)/$$x"
    mounts = tuple(mount.model_copy(update={"path": path}) for mount in deployment.workload("chat").mounts)
    workloads = tuple(w.model_copy(update={"mounts": mounts}) if w.name == "chat" else w for w in deployment.workloads)
    changed = deployment.model_copy(update={"workloads": workloads})
    (spec,) = (
        item.manifest["spec"]["template"]["spec"]
        for item in platform_objects(changed)
        if item.name == "workload/chat:deployment"
    )
    (stage,) = spec["initContainers"]
    assert kubernetes(stage["args"][2], {entry["name"]: "value" for entry in stage["env"]}) == path
    assert stage["volumeMounts"][0]["mountPath"] == path


def test_variables_of_every_kind_are_those_that_texts_may_refer_to() -> None:
    deployment = sample("aws")
    for workload in deployment.workloads:
        stores = [mount.storage for mount in workload.mounts if mount.kind == "object"]
        names = pod_variables.names(workload.kind, stores)
        text = " ".join(sorted(names))
        values, _, _ = started(main_of(with_texts("aws", workload.name, text), workload.name))
        assert {name for name in values if re.match("MESH_", name)} == names, workload


def test_the_workloads_of_the_sample_are_of_every_kind() -> None:
    kinds: set[str] = {workload.kind for workload in sample("aws").workloads}
    assert kinds == set(Workload.model_fields["kind"].annotation.__args__)  # type: ignore[union-attr]
