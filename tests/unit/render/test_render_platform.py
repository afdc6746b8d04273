"""The portable contract of a container, and the rules of each object, on every provider."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.errors import MeshError
from meshctl.load import load
from meshctl.model.deployment import Deployment, Mount, Provider
from meshctl.model.pods import object_names
from meshctl.render.objects import LateValue, NumberRange, PlatformObject
from meshctl.resolve import resolve
from tests.golden_files import Golden
from tests.unit.render.differences import differences
from tests.unit.render.sample import sample

PROVIDERS: tuple[Provider, ...] = ("aws", "coreweave", "onprem", "kubernetes")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(LateValue, lambda dumper, late: dumper.represent_scalar("!output", late.name))


def texts(deployment: Deployment) -> dict[str, str]:
    """Each object of the deployment as YAML, by its name; it begins with how it is declared."""
    return {item.name: text(item) for item in (*render.node_objects(deployment), *render.platform_objects(deployment))}


def text(item: PlatformObject) -> str:
    facts = f"# {item.name}" + " wait" * item.wait + " patch" * item.patch
    facts += f"\n# after: {', '.join(item.depends_on)}" if item.depends_on else ""
    facts += f"\n# ignores: {', '.join(item.ignore_changes)}" if item.ignore_changes else ""
    return f"{facts}\n{yaml.dump(item.manifest, Dumper=_Dumper, sort_keys=False, width=120)}"


def named(deployment: Deployment, name: str) -> PlatformObject:
    return {item.name: item for item in render.platform_objects(deployment)}[name]


def pod(item: PlatformObject) -> dict[str, Any]:
    spec: dict[str, Any] = item.manifest["spec"]["template"]["spec"]
    return spec


def env(item: PlatformObject) -> dict[str, Any]:
    entries = pod(item)["containers"][0]["env"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in entries}


def changed(deployment: Deployment, workload: str, **update: Any) -> Deployment:
    workloads = tuple(w.model_copy(update=update) if w.name == workload else w for w in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def test_all_objects_on_aws(golden: Golden) -> None:
    golden("render/aws.yaml", "".join(f"---\n{text}" for text in texts(sample("aws")).values()))


@pytest.mark.parametrize("provider", ["coreweave", "onprem"])
def test_what_differs_from_aws(golden: Golden, provider: Provider) -> None:
    here = sample(provider)
    on_aws = {name: text.replace("aws-1", here.environment) for name, text in texts(sample("aws")).items()}
    golden(f"render/{provider}.diff", f"# Objects that differ from aws.yaml\n{differences(on_aws, texts(here))}")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_object_comes_after_what_it_needs_and_names_are_unique(provider: Provider) -> None:
    seen: set[str] = set()
    for item in render.platform_objects(sample(provider)):
        assert set(item.depends_on) <= seen
        assert item.name not in seen
        seen.add(item.name)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_contract_of_a_training_container(provider: Provider) -> None:
    variables = env(named(sample(provider), "workload/pretrain:job"))
    assert variables["MESH_ENVIRONMENT"] == f"{provider}-1"
    assert variables["MESH_POOL"] == "train"
    assert variables["MESH_NODES"] == "4"
    assert variables["MESH_LEADER"] == "pretrain-0.pretrain"
    assert variables["MESH_RANK"]["fieldRef"]["fieldPath"].endswith("['batch.kubernetes.io/job-completion-index']")
    assert variables["MESH_CHECKPOINTS_URL"] == "s3://llm-checkpoints"
    assert "MESH_WEIGHTS_URL" not in variables  # it mounts only the other store
    chat = env(named(sample(provider), "workload/chat:deployment"))
    assert chat["MESH_WEIGHTS_URL"] == "s3://llm-weights/v2"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_workload_without_object_stores_gets_no_access_to_them(provider: Provider) -> None:
    index = named(sample(provider), "workload/index:statefulset")
    assert not [name for name in env(index) if name.startswith("AWS_") or name.endswith("_URL")]
    assert "platform:object-storage" not in index.depends_on


def test_credentials_come_from_a_secret_outside_aws_and_from_pod_identity_on_aws() -> None:
    outside = env(named(sample("coreweave"), "workload/pretrain:job"))
    assert outside["AWS_ACCESS_KEY_ID"] == {"secretKeyRef": {"name": "object-storage", "key": "AWS_ACCESS_KEY_ID"}}
    assert outside["AWS_ENDPOINT_URL_S3"] == "http://cwlota.com"
    inside = env(named(sample("aws"), "workload/pretrain:job"))
    assert not [name for name in inside if "KEY" in name or "ENDPOINT" in name]


def test_the_sdks_are_told_to_put_the_bucket_into_the_host_name(tmp_path: Path) -> None:
    """An SDK with an endpoint of its own puts it into the path, which CoreWeave refuses."""
    deployment = sample("coreweave")
    chat = named(deployment, "workload/chat:deployment")
    (config,) = [item for item in render.platform_objects(deployment) if item.kind == "ConfigMap"]
    assert config.name in chat.depends_on
    (volume,) = [each for each in pod(chat)["volumes"] if each.get("configMap") == {"name": "object-storage"}]
    (mount,) = [each for each in pod(chat)["containers"][0]["volumeMounts"] if each["name"] == volume["name"]]
    file = tmp_path / Path(env(chat)["AWS_CONFIG_FILE"]).relative_to(mount["mountPath"])
    file.write_text(config.manifest["data"][file.name])

    session = botocore.session.Session()
    session.set_config_variable("config_file", str(file))
    session.set_credentials("key", "secret")
    client: Any = session.create_client("s3", "us-east-1", endpoint_url=env(chat)["AWS_ENDPOINT_URL_S3"])
    url = client.generate_presigned_url("get_object", Params={"Bucket": "llm-weights", "Key": "k"})
    assert url.startswith("http://llm-weights.cwlota.com/k?")
    assert not [item for item in render.platform_objects(sample("onprem")) if item.kind == "ConfigMap"]


def test_an_endpoint_that_only_the_profile_knows_comes_with_the_credentials() -> None:
    deployment = sample("onprem")
    stores = tuple(store.model_copy(update={"endpoint": ""}) for store in deployment.object_stores)
    unknown = deployment.model_copy(update={"object_stores": stores})
    assert "object_storage.endpoint" in render.late_names(render.platform_objects(unknown))
    reference = {"secretKeyRef": {"name": "object-storage", "key": "AWS_ENDPOINT_URL_S3"}}
    chat = named(unknown, "workload/chat:deployment")
    assert env(chat)["AWS_ENDPOINT_URL_S3"] == reference
    staging = {entry["name"]: entry for entry in pod(chat)["initContainers"][0]["env"]}
    assert staging["RCLONE_S3_ENDPOINT"]["valueFrom"] == reference


def test_deferred_values() -> None:
    assert render.late_names(render.platform_objects(sample("aws"))) == (
        "revision.chat-secrets",
        "secret.hf-token",
        "shared.dns_name",
        "shared.file_system_id",
        "shared.mount_name",
    )
    assert render.late_names(render.platform_objects(sample("onprem"))) == (
        "object_storage.access_key_id",
        "object_storage.secret_access_key",
        "revision.chat-secrets",
        "revision.object-storage",
        "secret.hf-token",
    )


def test_the_users_variables_win_over_the_platforms_but_not_over_the_contract() -> None:
    own = {"NCCL_SOCKET_IFNAME": "bond0", "HOME": "/home/me", "MESH_POOL": "stolen"}
    variables = env(named(changed(sample("coreweave"), "pretrain", env=own), "workload/pretrain:job"))
    assert variables["NCCL_SOCKET_IFNAME"] == "bond0"
    assert variables["HOME"] == "/home/me"
    assert variables["MESH_POOL"] == "train"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_user_that_no_image_knows_has_a_name_and_a_home(provider: Provider) -> None:
    """`getpass.getuser()`, which PyTorch calls when it is imported, fails for a user that is not in /etc/passwd."""
    variables = env(named(sample(provider), "workload/pretrain:job"))
    assert (variables["USER"], variables["HOME"]) == ("mesh", "/tmp")  # noqa: S108


def test_staged_data_is_asked_for_as_ephemeral_storage_without_a_limit() -> None:
    chat = named(changed(sample("aws"), "chat", staged_gib=2048), "workload/chat:deployment")
    asked = pod(chat)["containers"][0]["resources"]
    assert asked["requests"]["ephemeral-storage"] == "2048Gi"
    assert "ephemeral-storage" not in asked["limits"]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_pods_on_gpu_nodes_tolerate_the_taints_that_such_nodes_have(provider: Provider) -> None:
    deployment = sample(provider)
    known = {"nvidia.com/gpu", "is_gpu"} if provider == "coreweave" else {"nvidia.com/gpu"}
    for name in ("workload/chat:deployment", "workload/pretrain:job"):
        open_keys = {t["key"] for t in pod(named(deployment, name))["tolerations"] if t["operator"] == "Exists"}
        assert open_keys == known
    assert "tolerations" not in pod(named(deployment, "workload/index:statefulset"))


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_private_registry_is_opened_by_reference(provider: Provider) -> None:
    deployment = changed(sample(provider), "chat", image_pull_secrets=("ghcr",))
    chat = named(deployment, "workload/chat:deployment")
    assert pod(chat)["imagePullSecrets"] == [{"name": "registry-ghcr"}]
    assert "platform:registry-ghcr" in chat.depends_on
    secret = named(deployment, "platform:registry-ghcr").manifest
    assert (secret["metadata"]["name"], secret["type"]) == ("registry-ghcr", "kubernetes.io/dockerconfigjson")
    assert secret["stringData"] == {".dockerconfigjson": LateValue("secret.ghcr")}
    assert "imagePullSecrets" not in pod(named(deployment, "workload/pretrain:job"))


@pytest.mark.parametrize(("copied", "code"), [("model.safetensors", 0), (".hidden", 0), ("", 1)])
def test_a_pod_waits_while_its_store_is_empty(tmp_path: Path, copied: str, code: int) -> None:
    (stage,) = pod(named(sample("onprem"), "workload/chat:deployment"))["initContainers"]
    rclone = tmp_path / "bin/rclone"
    rclone.parent.mkdir()
    rclone.write_text(f'#!/bin/sh\n[ "$1 $2" = "copy :s3:b" ] || exit 7\n[ -z "{copied}" ] || touch "$3/{copied}"\n')
    rclone.chmod(0o755)
    target = tmp_path / "models"
    target.mkdir()
    command = [*stage["command"], "stage", ":s3:b", str(target), "s3://b"]
    environment = {"PATH": f"{rclone.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (code, "" if code == 0 else "s3://b holds no objects\n")
    failing = [*stage["command"], "stage", "elsewhere", str(target), "s3://b"]
    assert subprocess.run(failing, env=environment, check=False, timeout=60).returncode == 7  # rclone's own code


def test_read_only_object_mounts_are_staged_and_writable_ones_are_urls() -> None:
    chat = pod(named(sample("onprem"), "workload/chat:deployment"))
    (stage,) = chat["initContainers"]
    assert stage["args"] == ["stage", ":s3:llm-weights/v2", "/models", "s3://llm-weights/v2"]
    settings = {entry["name"]: entry.get("value") for entry in stage["env"]}
    assert settings["RCLONE_S3_ENDPOINT"] == "https://s3.dc1.example"
    assert settings["RCLONE_S3_FORCE_PATH_STYLE"] == "true"
    pretrain = pod(named(sample("onprem"), "workload/pretrain:job"))
    assert "initContainers" not in pretrain
    assert "/ckpt" not in [mount["mountPath"] for mount in pretrain["containers"][0]["volumeMounts"]]


def test_paused_changes_nothing_but_the_number_of_pods() -> None:
    running = sample("aws")
    paused = running.paused(frozenset(w.name for w in running.workloads))
    before = {item.name: item.manifest for item in render.platform_objects(running)}
    after = {item.name: item for item in render.platform_objects(paused)}
    assert after["workload/chat:deployment"].manifest["spec"].pop("replicas") == 0
    assert after["workload/index:statefulset"].manifest["spec"].pop("replicas") == 0
    assert after["workload/pretrain:job"].manifest["spec"].pop("suspend") is True
    assert after["workload/embed:job"].manifest["spec"].pop("suspend") is True
    for manifest in before.values():
        manifest.get("spec", {}).pop("replicas", None)
        manifest.get("spec", {}).pop("suspend", None)
    assert {name: item.manifest for name, item in after.items()} == before
    assert not any(item.wait for item in after.values() if item.subject.startswith("workload/"))


def test_a_pod_that_takes_the_whole_node_is_replaced_one_goes_first() -> None:
    deployment = sample("aws")
    strategy = named(deployment, "workload/chat:deployment").manifest["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 1, "maxSurge": 0}
    half = changed(deployment, "chat", accelerators=4)
    strategy = named(half, "workload/chat:deployment").manifest["spec"]["strategy"]["rollingUpdate"]
    assert strategy == {"maxUnavailable": 0, "maxSurge": 1}


def test_half_a_node_gets_half_of_the_fabric() -> None:
    half = named(changed(sample("aws"), "chat", accelerators=4), "workload/chat:deployment")
    limits = pod(half)["containers"][0]["resources"]["limits"]
    assert limits["vpc.amazonaws.com/efa"] == "16"
    assert limits["hugepages-2Mi"] == "2560Mi"
    none = named(changed(sample("aws"), "chat", accelerators=0), "workload/chat:deployment")
    assert set(pod(none)["containers"][0]["resources"]["limits"]) == {"memory"}
    assert "FI_PROVIDER" not in env(none)


@pytest.mark.parametrize(("provider", "level"), [("aws", "restricted"), ("onprem", "privileged")])
def test_the_namespace_enforces_the_strictest_level_its_pods_keep_to(provider: Provider, level: str) -> None:
    deployment = sample(provider)
    namespace = named(deployment, "platform:namespace").manifest["metadata"]
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == level
    assert ("meshctl.dev/pod-security-reason" in namespace.get("annotations", {})) == (level == "privileged")
    for item in render.platform_objects(deployment):
        if item.manifest["metadata"].get("namespace") == deployment.namespace and "template" in item.manifest.get(
            "spec", {}
        ):
            assert _restricted(pod(item)) or level == "privileged"


def _restricted(spec: dict[str, Any]) -> bool:
    """The checks of the restricted Pod Security Standard that these pods could break."""
    containers = [*spec["containers"], *spec.get("initContainers", [])]
    contexts = [container["securityContext"] for container in containers]
    volumes = {key for volume in spec.get("volumes", []) for key in volume if key != "name"}
    return (
        spec["securityContext"].get("runAsNonRoot") is True
        and spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        and all(context["capabilities"] == {"drop": ["ALL"]} for context in contexts)
        and all(context["allowPrivilegeEscalation"] is False for context in contexts)
        and volumes <= {"emptyDir", "ephemeral", "persistentVolumeClaim"}
    )


def test_a_mesh_label_can_not_replace_ours_and_never_restarts_a_training() -> None:
    deployment = sample("aws")
    relabelled = deployment.model_copy(update={"labels": {"team": "other", "app.kubernetes.io/name": "mine"}})
    job = named(relabelled, "workload/pretrain:job").manifest
    assert job["metadata"]["labels"]["app.kubernetes.io/name"] == "pretrain"
    assert job["metadata"]["labels"]["team"] == "other"
    assert job["spec"]["template"] == named(deployment, "workload/pretrain:job").manifest["spec"]["template"]


def test_stopping_by_another_signal_than_sigterm() -> None:
    job = named(sample("aws"), "workload/pretrain:job")
    assert pod(job)["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2].startswith("kill -s USR1 1")
    rules = job.manifest["spec"]["podFailurePolicy"]["rules"]
    assert rules[1]["onExitCodes"]["values"] == [138, 143]


def test_a_lasting_block_for_each_pod_of_a_job_is_refused_with_a_way_out() -> None:
    mounts = (Mount(storage="rows", kind="block", path="/rows"),)
    one = changed(sample("onprem"), "embed", mounts=mounts)
    assert named(one, "storage/rows:claim-embed").kind == "PersistentVolumeClaim"
    with pytest.raises(MeshError) as caught:
        render.platform_objects(changed(sample("onprem"), "pretrain", mounts=mounts))
    assert "ephemeral: true" in caught.value.hint


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_service_finds_the_port_of_each_pod_by_name(provider: Provider) -> None:
    """So that a port can change its number: pods of the old version are reached at the old one while they last."""
    deployment = sample(provider)
    (container,) = pod(named(deployment, "workload/index:statefulset"))["containers"]
    names = {port["name"] for port in container["ports"]}
    for detail in ("service", "pods"):
        ports = named(deployment, f"workload/index:{detail}").manifest["spec"]["ports"]
        assert {port["targetPort"] for port in ports} == names
    assert named(deployment, "workload/chat:load-balancer").manifest["spec"]["ports"][0]["targetPort"] == "http"


def test_the_load_balancer_of_an_endpoint_is_public() -> None:
    """On CoreWeave a LoadBalancer is private unless it says otherwise."""
    balancers = {
        provider: named(sample(provider), "workload/chat:load-balancer").manifest["metadata"] for provider in PROVIDERS
    }
    kind = "service.beta.kubernetes.io/coreweave-load-balancer-type"
    assert balancers["coreweave"]["annotations"] == {kind: "public"}
    assert balancers["aws"]["annotations"]["service.beta.kubernetes.io/aws-load-balancer-type"] == "nlb"
    assert "annotations" not in balancers["onprem"]


def test_two_things_that_want_one_name_are_refused() -> None:
    deployment = sample("aws")
    chat = deployment.workload("chat")
    twin = chat.model_copy(update={"name": "chat-public"})
    with pytest.raises(MeshError) as caught:
        render.platform_objects(deployment.model_copy(update={"workloads": (chat, twin)}))
    assert "workload/chat-public" in caught.value.why


@pytest.mark.parametrize("environment", ["aws-east", "cw"])
def test_a_mesh_names_its_objects_as_they_are_rendered(environment: str) -> None:
    folder = Path(__file__).parents[3] / "examples" / "llm-prod"
    source = folder / "mesh.yaml"
    mesh, environments = load(source, folder / "environments.yaml")
    deployment = resolve(mesh, environments, environment, load_catalog()).deployment
    assert deployment is not None
    kinds = ("Service", "Secret", "PersistentVolumeClaim", "ServiceAccount")
    objects = render.platform_objects(deployment)
    rendered = {(item.kind, item.manifest["metadata"]["name"]) for item in objects if item.kind in kinds}
    of_pods = {
        ("PersistentVolumeClaim", f"{claim['metadata']['name']}-{item.manifest['metadata']['name']}-0")
        for item in objects
        for claim in item.manifest.get("spec", {}).get("volumeClaimTemplates") or ()
    }
    foreseen = {(kind, name) for _, kind, name in object_names.objects(yaml.safe_load(source.read_text()))}
    assert rendered | of_pods == foreseen | rendered & {("Secret", object_names.OBJECT_STORAGE_SECRET)}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_pods_run_on_the_pool_of_their_own_mesh_only(provider: Provider) -> None:
    deployment = sample(provider)
    wanted = {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "train"}
    assert pod(named(deployment, "workload/pretrain:job"))["nodeSelector"] == wanted
    if provider == "coreweave":
        assert wanted.items() <= render.node_objects(deployment)[0].manifest["spec"]["nodeLabels"].items()
    if provider == "onprem":
        assert render.node_objects(deployment)[0].manifest["metadata"]["labels"] == wanted


def test_nodepools() -> None:
    pools = {item.name: item for item in render.node_objects(sample("coreweave"))}
    train, serve = pools["pool/train:nodepool"], pools["pool/serve:nodepool"]
    assert train.manifest["metadata"]["name"] == "llm-prod-train"
    assert train.manifest["spec"]["nodeLabels"]["meshctl.dev/pool"] == "train"
    assert train.manifest["spec"]["targetNodes"] == 4
    assert (train.manifest["spec"]["autoscaling"], train.number_range) == (False, None)
    assert (serve.manifest["spec"]["autoscaling"], serve.number_range) == (True, NumberRange("targetNodes", 2, 6))
    assert (serve.manifest["spec"]["minNodes"], serve.manifest["spec"]["maxNodes"]) == (2, 6)


def test_racks_do_not_scale_and_reserved_labels_are_left_out() -> None:
    deployment = sample("coreweave")
    labels = {"node.coreweave.cloud/type": "x", "meshctl.dev/pool": "serve", "own": "1"}
    racks = deployment.pool("serve").model_copy(update={"machine": "gb200-4x", "labels": labels})
    (item,) = render.node_objects(deployment.model_copy(update={"pools": (racks,)}))
    assert item.manifest["spec"]["autoscaling"] is False
    ours = {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "serve"}
    assert item.manifest["spec"]["nodeLabels"] == {**ours, "own": "1"}


def test_existing_nodes_get_their_pools_label_and_nothing_else() -> None:
    items = render.node_objects(sample("onprem"))
    assert len(items) == 8
    assert items[0].name == "pool/train:node-train-0"
    assert items[0].patch
    metadata = items[0].manifest["metadata"]
    assert metadata["labels"] == {"meshctl.dev/mesh": "llm-prod", "meshctl.dev/pool": "train"}
    assert set(items[0].manifest) == {"apiVersion", "kind", "metadata"}
