"""Each mesh of examples/real is carried or refused as docs/real-deployments.md says, and its rendered objects have what
the software of its source needs. That they come up is shown in tests/faults/test_real_deployments.py.

What a mesh can't say yet is in `WISHES`: each is refused today, and its test fails as soon as it isn't.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshctl.catalog import load_catalog
from meshctl.errors import DiagnosticsError
from meshctl.load import load
from meshctl.model.deployment import Resolution
from meshctl.render import platform_objects
from meshctl.resolve import resolve
from tests.real_deployments import ENVIRONMENTS, FOLDER, GAPS, NAMES

AWS, CW, DC1 = ENVIRONMENTS
Object = dict[str, Any]


@cache
def resolution(name: str, environment: str) -> Resolution:
    return resolved(FOLDER / name, environment)


def resolved(folder: Path, environment: str) -> Resolution:
    mesh, environments = load(folder / "mesh.yaml", folder / "environments.yaml")
    return resolve(mesh, environments, environment, load_catalog())


class Rendered:
    """The Kubernetes objects of one mesh in one environment."""

    def __init__(self, name: str, environment: str) -> None:
        deployment = resolution(name, environment).deployment
        assert deployment is not None
        self.objects: list[Object] = [each.manifest for each in platform_objects(deployment)]

    def named(self, kind: str, name: str) -> Object:
        (one,) = [each for each in self.objects if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        return one

    def workload(self, name: str) -> Object:
        kinds = ("Deployment", "StatefulSet", "Job")
        (one,) = [each for each in self.objects if each["kind"] in kinds and each["metadata"]["name"] == name]
        return one

    def waits_for(self, name: str) -> str:
        """The jobs that a job comes after; "" for one that starts at once."""
        job = self.workload(name)
        is_suspended = bool(job["spec"]["suspend"])
        after = str(job["metadata"].get("annotations", {}).get("meshctl.dev/after", ""))
        assert is_suspended == bool(after)
        return after

    def template(self, name: str) -> Object:
        template: Object = self.workload(name)["spec"]["template"]
        return template

    def pod(self, name: str) -> Object:
        pod: Object = self.template(name)["spec"]
        return pod

    def container(self, name: str) -> Object:
        (one,) = [each for each in self.pod(name)["containers"] if each["name"] == "main"]
        assert isinstance(one, dict)
        return one

    def limits(self, name: str) -> Object:
        limits: Object = self.container(name)["resources"]["limits"]
        return limits

    def variables(self, name: str) -> dict[str, str]:
        """Those with a value of their own, expanded as the kubelet expands them: by those that come before."""
        variables: dict[str, str] = {}
        for each in self.container(name)["env"]:
            if "value" in each:
                value = re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), each["value"])
                variables[each["name"]] = value
        return variables

    def texts(self, name: str) -> list[str]:
        """Command and arguments, expanded by the kubelet."""
        variables = self.variables(name)
        words = [*self.container(name).get("command", ()), *self.container(name).get("args", ())]
        return [re.sub(r"\$\((\w+)\)", lambda match: variables.get(match[1], match[0]), word) for word in words]

    def mounted(self, name: str) -> set[str]:
        return {each["mountPath"] for each in self.container(name)["volumeMounts"]}

    def starts_within_s(self, name: str) -> int:
        probe = self.container(name)["startupProbe"]
        return int(probe["periodSeconds"]) * int(probe["failureThreshold"])

    def user(self, name: str) -> Any:
        return self.pod(name)["securityContext"].get("runAsUser")

    def capabilities(self, name: str) -> set[str]:
        return set(self.container(name).get("securityContext", {}).get("capabilities", {}).get("add", ()))

    def ports(self, name: str) -> list[int]:
        """Of the name by which other pods reach the workload."""
        return [each["port"] for each in self.named("Service", name)["spec"]["ports"]]

    def scraped(self, name: str) -> tuple[str, str]:
        annotations = self.template(name)["metadata"]["annotations"]
        assert annotations["prometheus.io/scrape"] == "true"
        return annotations["prometheus.io/port"], annotations["prometheus.io/path"]

    def scaled_by(self, name: str) -> tuple[str, str, int, int]:
        """The metric, its target, and the bounds of the replicas."""
        (container,) = self.pod(f"{name}-scaler")["containers"]
        given = {each["name"]: each["value"] for each in container["env"]}
        series = [each for each in given["SCALE_SERIES"].split(",") if each.startswith(("vllm:gpu", "num_"))]
        return series[0], given["SCALE_TARGET"], int(given["SCALE_MIN"]), int(given["SCALE_MAX"])

    def surge(self, name: str) -> tuple[int, int | str]:
        rolling = self.workload(name)["spec"]["strategy"]["rollingUpdate"]
        return rolling["maxSurge"], rolling["maxUnavailable"]


@cache
def rendered(name: str, environment: str) -> Rendered:
    return Rendered(name, environment)


def test_every_mesh_has_its_row_in_the_table() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"| [{name}]({name}/mesh.yaml) |" not in page] == []
    assert len(NAMES) == 14


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("name", NAMES)
def test_it_is_carried_or_refused_with_these_gaps(name: str, environment: str) -> None:
    gaps = resolution(name, environment).gaps
    assert tuple(gap.subject for gap in gaps) == GAPS.get((name, environment), ())


@pytest.mark.parametrize("environment", [AWS, CW])
def test_a_machine_that_nobody_has_is_refused_by_its_name(environment: str) -> None:
    (gap,) = resolution("rccl-tests", environment).gaps
    assert "8 x MI300X" in gap.wanted
    assert gap.hint.startswith("the catalog here has A100, ")


RAG_NAMES = [("nim-llm", 8000), ("embedding-ms", 8000), ("ranking-ms", 8000), ("milvus", 19530), ("milvus-etcd", 2379),
             ("minio", 9000), ("redis", 6379), ("rag-server", 8081), ("ingestor-server", 8082)]  # fmt: skip

# (mesh, environments, what the software needs, whether the rendered objects have it)
Check = Callable[[Rendered], bool]
FEATURES: list[tuple[str, tuple[str, ...], str, Check]] = [
    ("vllm-deepseek", ENVIRONMENTS, "the cache is at /root, which its user can enter",
     lambda r: "/root/.cache/huggingface" in r.mounted("vllm-basic") and r.user("vllm-basic") == 0),
    ("vllm-deepseek", ENVIRONMENTS, "a start may take ten hours",
     lambda r: r.starts_within_s("vllm-basic") == 36_000
     and r.workload("vllm-basic")["spec"]["progressDeadlineSeconds"] >= 36_000),
    ("vllm-deepseek", ENVIRONMENTS, "1 to 10 replicas by the use of vLLM's cache",
     lambda r: r.scaled_by("vllm-basic") == ("vllm:gpu_cache_usage_perc", "0.8", 1, 10)),
    ("nim-70b", ENVIRONMENTS, "1 to 4 replicas by requests at a time",
     lambda r: r.scaled_by("llama-70b") == ("num_requests_running", "10", 1, 4)),
    ("vllm-deepseek", ENVIRONMENTS, "Prometheus finds it", lambda r: r.scraped("vllm-basic") == ("8000", "/metrics")),
    ("vllm-deepseek", ENVIRONMENTS, "1920 GiB and eight GPUs",
     lambda r: r.limits("vllm-basic") == {"memory": "1920Gi", "nvidia.com/gpu": "8"}),
    ("vllm-deepseek", ENVIRONMENTS, "as many tensor-parallel ranks as GPUs",
     lambda r: "--tensor-parallel-size=8" in r.texts("vllm-basic")),
    ("vllm-deepseek", (CW,), "the settings of CoreWeave",
     lambda r: r.variables("vllm-basic").items() >= {"NCCL_IB_HCA": "ibp", "NVIDIA_IMEX_CHANNELS": "0"}.items()),
    ("vllm-deepseek", (AWS, DC1), "no settings of CoreWeave", lambda r: "NCCL_IB_HCA" not in r.variables("vllm-basic")),
    ("vllm-405b", (AWS,), "all EFA devices, and huge pages",
     lambda r: r.limits("llama-0").items() >= {"vpc.amazonaws.com/efa": "32", "hugepages-2Mi": "5120Mi"}.items()),
    ("vllm-405b", (CW, DC1), "InfiniBand", lambda r: r.limits("llama-1-workers")["rdma/ib"] == "1"),
    ("vllm-405b", ENVIRONMENTS, "each worker joins the leader of its own group",
     lambda r: [r.variables(f"llama-{group}-workers")["MESH_LEADER"] for group in range(2)]
     == ["llama-0-0.llama-pods", "llama-1-0.llama-pods"]),
    ("vllm-405b", ENVIRONMENTS, "a leader is found before it is ready",
     lambda r: r.named("Service", "llama-pods")["spec"]["publishNotReadyAddresses"] is True),
    ("vllm-405b", ENVIRONMENTS, "one name leads to the leaders of both groups",
     lambda r: r.named("Service", "llama-internal")["spec"]["selector"]
     == {"app.kubernetes.io/instance": "vllm-lws", "app.kubernetes.io/name": "llama", "meshctl.dev/role": "leader"}),
    ("vllm-405b", ENVIRONMENTS, "leaders alone are asked, by a connection",
     lambda r: r.container("llama-0")["readinessProbe"]["tcpSocket"] == {"port": 8080}
     and "readinessProbe" not in r.container("llama-0-workers")),
    ("vllm-405b", ENVIRONMENTS, "800 GiB of the node's disk for each pod",
     lambda r: [r.container(f"llama-{pod}")["resources"]["requests"]["ephemeral-storage"] for pod in ("0", "1-workers")]
     == ["800Gi", "800Gi"]),
    ("sglang", ENVIRONMENTS, "the endpoint leads to rank 0 alone",
     lambda r: r.named("Service", "sglang-internal")["spec"]["selector"]["meshctl.dev/role"] == "leader"),
    ("sglang", ENVIRONMENTS, "memory shared by its processes",
     lambda r: "/dev/shm" in r.mounted("sglang-0-workers")),  # noqa: S108 (of the container)
    ("nim-70b", ENVIRONMENTS, "a roll-out on full GPUs ends one pod first",
     lambda r: r.surge("llama-70b") == (1, "25%")),
    ("nim-70b", ENVIRONMENTS, "ready and live are asked apart",
     lambda r: [r.container("llama-70b")[f"{probe}Probe"]["httpGet"]["path"] for probe in ("readiness", "liveness")]
     == ["/v1/health/ready", "/v1/health/live"]),
    ("nim-70b", ENVIRONMENTS, "the registry's password",
     lambda r: r.pod("llama-70b")["imagePullSecrets"] == [{"name": "registry-ngc-secret"}]),
    ("gpt-oss-sft", ENVIRONMENTS, "the scripts of the mesh's folder",
     lambda r: {"/sft/train.py", "/sft/fsdp2_120b.yaml"} <= r.mounted("sft")),
    ("gpt-oss-sft", ENVIRONMENTS, "MASTER_ADDR is the leader's name",
     lambda r: r.variables("sft")["MASTER_ADDR"] == "sft-0.sft"),
    ("gpt-oss-sft", ENVIRONMENTS, "GPUs per node without naming the hardware",
     lambda r: r.variables("sft")["GPUS_PER_NODE"] == "8"),
    ("llama31-serve", ENVIRONMENTS, "as many tensor-parallel ranks as GPUs",
     lambda r: r.texts("vllm")[2:4] == ["--tensor-parallel-size", "8"]),
    ("llama31-serve", ENVIRONMENTS, "the page finds the server by its name",
     lambda r: r.ports("vllm") == [8081]),
    ("trl-fsdp", ENVIRONMENTS, "checkpoints on a file system", lambda r: "/checkpoints" in r.mounted("sft")),
    ("trl-fsdp", ENVIRONMENTS, "what is installed goes where its user can write",
     lambda r: r.variables("sft").get("HOME") == "/tmp"),  # noqa: S108 (of the container)
    ("nccl-tests", ENVIRONMENTS, "sshd is root with the runtime's capabilities",
     lambda r: r.user("all-reduce") == 0
     and "drop" not in r.container("all-reduce").get("securityContext", {}).get("capabilities", {})),
    ("nccl-tests", ENVIRONMENTS, "the names of all hosts",
     lambda r: r.variables("all-reduce")["HOSTS"] == "all-reduce-0.all-reduce,all-reduce-1.all-reduce"),
    ("nccl-tests", ENVIRONMENTS, "the key as a file", lambda r: "/run/keys/id_ed25519" in r.mounted("all-reduce")),
    ("nccl-tests", (AWS,), "EFA as the source has it",
     lambda r: r.limits("all-reduce").items() >= {"vpc.amazonaws.com/efa": "32", "hugepages-2Mi": "5120Mi"}.items()
     and r.variables("all-reduce")["FI_PROVIDER"] == "efa"),
    ("nccl-tests", (CW, DC1), "an image that its nodes can pull",
     lambda r: r.container("all-reduce")["image"] == "ghcr.io/acme/nccl-tests:latest"),
    ("megatron", ENVIRONMENTS, "a folder on the node's disk",
     lambda r: "/local" in r.mounted("pretrain") and r.variables("pretrain")["TORCH_NCCL_DEBUG_INFO_TEMP_FILE"]
     == "/local/nccl_trace_rank_"),
    ("megatron", ENVIRONMENTS, "torchrun's options",
     lambda r: r.texts("pretrain")[1:5:3] == ["--nproc_per_node=8", "--master_addr=pretrain-0.pretrain"]),
    ("megatron", ENVIRONMENTS, "each job waits for the one before it, and holds nothing",
     lambda r: [r.waits_for(name) for name in ("getdata", "prepdata", "pretrain")] == ["", "getdata", "prepdata"]),
    ("megatron", ENVIRONMENTS, "all jobs write the file system as one user",
     lambda r: len({r.user(name) for name in ("getdata", "prepdata", "pretrain")}) == 1),
    ("rag", ENVIRONMENTS, "the prompts at /prompt.yaml",
     lambda r: all("/prompt.yaml" in r.mounted(name) for name in ("rag-server", "ingestor-server"))),
    ("rag", ENVIRONMENTS, "Redis runs as the owner of its data", lambda r: r.user("redis") == 999),
    ("rag", ENVIRONMENTS, "Redis is asked by a connection",
     lambda r: r.container("redis")["readinessProbe"]["tcpSocket"] == {"port": 6379}),
    ("rag", ENVIRONMENTS, "all names that the server is given lead somewhere",
     lambda r: {(name, port) for name, port in RAG_NAMES if port not in r.ports(name)} == set()),
    ("rag", ENVIRONMENTS, "etcd keeps its volume over a restart",
     lambda r: r.workload("milvus-etcd")["kind"] == "StatefulSet"),
    ("production-stack", ENVIRONMENTS, "the model is downloaded by another image first",
     lambda r: [each["image"] for each in r.pod("tinyllama-gpu")["initContainers"]] == ["python:3.11-slim"]
     and "/data" in r.mounted("tinyllama-gpu")),
    ("production-stack", ENVIRONMENTS, "a start may take 63 minutes",
     lambda r: r.starts_within_s("tinyllama-gpu") == 63 * 60),
    ("production-stack", ENVIRONMENTS, "the router finds the server by its name",
     lambda r: r.ports("tinyllama-gpu") == [8000]),
    ("cosmos3", ENVIRONMENTS, "all steps write the file system as one user",
     lambda r: len({r.user(name) for name in ("prefetch", "sft", "serve")}) == 1),
    ("cosmos3", (CW, DC1), "root may write what another user of the file system made",
     lambda r: all(r.capabilities(name) >= {"DAC_OVERRIDE", "CHOWN"} for name in ("prefetch", "sft", "serve"))),
    ("cosmos3", ENVIRONMENTS, "the fine-tuning waits for the models", lambda r: r.waits_for("sft") == "prefetch"),
    ("cosmos3", ENVIRONMENTS, "the server is up when its port accepts",
     lambda r: r.container("serve")["readinessProbe"]["tcpSocket"] == {"port": 8000}),
    ("deepseek-roce", (DC1,), "the RoCE network",
     lambda r: r.template("decode-0")["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"] == "roce-p2"
     and r.limits("decode-0")["rdma/roce_gdr"] == "1" and r.variables("decode-0")["NCCL_SOCKET_IFNAME"] == "net1"),
    ("deepseek-roce", (AWS, CW), "the platform's own interface",
     lambda r: r.variables("decode-0")["NCCL_SOCKET_IFNAME"] in ("^docker,lo,veth", "eth0")),
    ("deepseek-roce", ENVIRONMENTS, "the pod's own address",
     lambda r: [each["valueFrom"]["fieldRef"]["fieldPath"] for each in r.container("decode-0")["env"]
                if each["name"] == "MESH_ADDRESS"] == ["status.podIP"]),
    ("deepseek-roce", ENVIRONMENTS, "asked by HTTPS, within 80 minutes",
     lambda r: r.container("decode-0")["livenessProbe"]["httpGet"]["scheme"] == "HTTPS"
     and r.starts_within_s("decode-0") == 80 * 60),
    ("deepseek-roce", ENVIRONMENTS, "two nodes for each half",
     lambda r: [r.variables(f"{half}-0-workers")["MESH_NODES"] for half in ("decode", "prefill")] == ["2", "2"]),
    ("rccl-tests", (DC1,), "AMD's GPUs", lambda r: r.limits("rccl-tests")["amd.com/gpu"] == "8"),
    ("rccl-tests", (DC1,), "a folder of the node, and its network",
     lambda r: "/mnt/lib" in r.mounted("rccl-tests") and r.pod("rccl-tests")["hostNetwork"] is True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "environments", "check"),
    [pytest.param(name, environments, check, id=f"{name}: {what}") for name, environments, what, check in FEATURES],
)
def test_the_rendered_objects_have_what_the_software_needs(
    name: str, environments: tuple[str, ...], check: Check
) -> None:
    assert [environment for environment in environments if not check(rendered(name, environment))] == []


def test_every_mesh_has_a_feature() -> None:
    assert {name for name, *_ in FEATURES} == set(NAMES)


def changed_copy(name: str, file: str, path: tuple[str, ...], value: Any, folder: Path) -> None:
    """The mesh's files in `folder`, with `value` at `path` of one of them."""
    shutil.copytree(FOLDER / name, folder, dirs_exist_ok=True)
    changed = folder / f"{file}.yaml"
    document = place = yaml.safe_load(changed.read_text(encoding="utf-8"))
    for key in path[:-1]:
        place = place.setdefault(key, {})
    place[path[-1]] = value
    changed.write_text(yaml.safe_dump(document), encoding="utf-8")


# (mesh, environment, storage that exists in its source, how environments.yaml names that, the claim that pods mount)
EXISTING: list[tuple[str, str, str, dict[str, str], str]] = [
    ("vllm-deepseek", CW, "huggingface-model-cache", {"claim": "hf-cache"}, "hf-cache"),
    ("nim-70b", CW, "nvidia-nim-pvc", {"claim": "nim"}, "nim"),
    ("deepseek-roce", DC1, "weights", {"claim": "llm-test-pvc-deepseek"}, "llm-test-pvc-deepseek"),
    ("sglang", DC1, "llm", {"nfs": "nas1:/export/llm"}, "llm"),
    ("megatron", AWS, "fsx", {"fileSystem": "fs-0123456789abcdef0"}, "fsx"),
]


@pytest.mark.parametrize(
    ("name", "environment", "storage", "existing", "claim"), EXISTING, ids=[name for name, *_ in EXISTING]
)
def test_storage_that_exists_is_used(
    name: str, environment: str, storage: str, existing: dict[str, str], claim: str, tmp_path: Path
) -> None:
    """Its `environments.yaml` lets meshctl make the storage, so that the example runs anywhere."""
    changed_copy(name, "environments", ("environments", environment, "storage", storage), existing, tmp_path)
    found = resolved(tmp_path, environment)
    assert found.gaps == ()
    assert found.deployment is not None
    objects: list[Object] = [each.manifest for each in platform_objects(found.deployment)]
    claims = {each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"}
    assert claims == (set() if "claim" in existing else {claim}), "what exists is bound, and a claim is not made"
    templates = [each["spec"]["template"]["spec"] for each in objects if "template" in each.get("spec", {})]
    volumes = [volume for pod in templates for volume in pod.get("volumes", ()) if volume["name"] == storage]
    assert volumes
    assert {volume["persistentVolumeClaim"]["claimName"] for volume in volumes} == {claim}


# (mesh, what its source has, where it would stand: the file, the path of its keys, the value)
WISHES: list[tuple[str, str, str, tuple[str, ...], Any]] = [
    ("llama31-serve", "a readiness check by POST", "mesh", ("workloads", "vllm", "health", "method"), "POST"),
]  # fmt: skip


@pytest.mark.xfail(raises=DiagnosticsError, strict=True, reason="not in this version")
@pytest.mark.parametrize(
    ("name", "file", "path", "value"),
    [pytest.param(name, file, path, value, id=f"{name}: {what}") for name, what, file, path, value in WISHES],
)
def test_what_a_mesh_cannot_say_yet(name: str, file: str, path: tuple[str, ...], value: Any, tmp_path: Path) -> None:
    """Once it can, the row becomes one of `FEATURES`, the mesh says it, and the page as well."""
    changed_copy(name, file, path, value, tmp_path)
    mesh, environments = load(tmp_path / "mesh.yaml", tmp_path / "environments.yaml")
    mistakes = [*mesh.mistakes, *environments.mistakes]
    if mistakes:
        raise DiagnosticsError(mistakes)
