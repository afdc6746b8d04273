from __future__ import annotations

import re

import pytest

from meshctl import tools
from meshctl.lab import images
from meshctl.lab.images import redis_server
from meshctl.lab.pods import lifecycle, runner

REDIS = "meshctl.lab.images.redis_server" if redis_server.find() else None


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vllm/vllm-openai:v0.11.0", "meshctl.lab.images.openai_server"),
        ("docker.io/vllm/vllm-openai:v0.11.0", "meshctl.lab.images.openai_server"),
        ("ghcr.io/acme/train:1.4", "meshctl.lab.images.trainer"),
        ("ghcr.io/acme/grpc-server:1", "meshctl.lab.images.grpc_server"),
        ("ghcr.io/acme/gang-server:1.0", "meshctl.lab.images.gang_server"),
        ("ghcr.io/acme/train", "meshctl.lab.images.trainer"),
        ("ghcr.io/coreweave/ml-containers/vllm-tensorizer:8552fbc-v0.10.0", "meshctl.lab.images.openai_server"),
        ("lmsysorg/sglang:latest", "meshctl.lab.images.openai_server"),
        ("ghcr.io/huggingface/text-generation-inference:3.3.4", "meshctl.lab.images.openai_server"),
        ("nvcr.io/nim/meta/llama-3.1-70b-instruct:1.1.0", "meshctl.lab.images.openai_server"),
        ("nvcr.io/nim/nvidia/llama-3.3-nemotron-super-49b-v1.5:1.14.0", "meshctl.lab.images.openai_server"),
        ("nvcr.io/nim/nvidia/llama-3.2-nv-embedqa-1b-v2:1.10.0", None),
        ("nvcr.io/nim/meta/llama-3.1-70b-instruct/more:1", "meshctl.lab.images.openai_server"),
        ("redis:8.2.1", REDIS),
        ("docker.io/library/redis:8.2.1", REDIS),
        ("valkey/valkey:9", REDIS),
        ("redis/redis-stack:7", None),
        ("nginx:1.29", None),
        ("ghcr.io/acme/train-other:1", None),
        ("anything:does-not-exist", ""),
    ],
)
def test_known_images_agree_with_the_expression_for_the_simulator(name: str, module: str | None) -> None:
    found = images.runnable(name)
    assert (found.module if found else None) == module
    assert bool(re.search(images.REGEX, name)) == (found is not None)


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        ([], ["--model", "/m"], ["py", "-m", "meshctl.lab.images.openai_server", "--model", "/m"]),
        (["python", "serve.py", "--x"], ["1"], ["py", "-m", "meshctl.lab.images.openai_server", "--x", "1"]),
        (
            ["python3", "-m", "vllm.entrypoints.openai.api_server"],
            ["--port", "1"],
            ["py", "-m", "meshctl.lab.images.openai_server", "--port", "1"],
        ),
        (["vllm"], ["serve", "a/m"], ["py", "-m", "meshctl.lab.images.openai_server", "serve", "a/m"]),
        (["vllm", "serve", "/m"], [], ["py", "-m", "meshctl.lab.images.openai_server", "/m"]),
        (["/bin/sh", "-c", "exit 3"], [], ["/bin/sh", "-c", "exit 3"]),
    ],
)
def test_a_command_keeps_its_options_only(command: list[str], args: list[str], expected: list[str]) -> None:
    image = images.runnable("vllm/vllm-openai:1")
    assert image is not None
    assert images.argv(image, command, args, "py") == expected


def test_one_program_plays_several_servers() -> None:
    image = images.runnable("lmsysorg/sglang:latest")
    assert image is not None
    command = ["python3", "-m", "sglang.launch_server"]
    words = ["--lab-server", "sglang", "--model-path", "/m"]
    assert images.argv(image, command, ["--model-path", "/m"], "py")[2:] == ["meshctl.lab.images.openai_server", *words]


@pytest.mark.parametrize(
    ("image", "command", "expected"),
    [
        ("ghcr.io/acme/train:1", ["python", "train.py"], ["meshctl.lab.images.trainer"]),
        ("ghcr.io/acme/train:1", ["torchrun", "train.py"], ["meshctl.lab.images.commands", "torchrun", "train.py"]),
        ("nvcr.io/nvidia/pytorch:1", ["/opt/bin/torchrun"], ["meshctl.lab.images.commands", "torchrun"]),
        ("nvcr.io/nvidia/pytorch:1", ["python", "x.py"], ["meshctl.lab.images.commands", "python", "x.py"]),
    ],
)
def test_a_launcher_is_started_with_its_own_words(image: str, command: list[str], expected: list[str]) -> None:
    known = images.runnable(image)
    assert known is not None
    assert images.argv(known, command, [], "py") == ["py", "-m", *expected]
    assert images.argv(known, ["bash", "-c", "torchrun x.py"], [], "py")[0] == "bash"


def test_redis_is_told_where_to_listen_and_nothing_else() -> None:
    words = ["--bind", "::1", "-::*", "--appendonly", "yes", "--protected-mode", "yes"]
    ours = ["--bind", "127.64.0.2", "--protected-mode", "no"]
    assert redis_server.arguments(words, "127.64.0.2") == ["--appendonly", "yes", *ours]
    assert redis_server.arguments(["/etc/redis.conf"], "127.64.0.2") == ["/etc/redis.conf", *ours]


def test_an_image_of_commands_runs_what_it_is_told() -> None:
    image = images.runnable("pytorch/pytorch:2.9")
    assert image is not None
    assert images.argv(image, ["sleep", "1"], [], "py") == ["sleep", "1"]
    assert images.argv(image, [], [], "py") == ["bash"]
    assert images.scripts(image, "/py")["torchrun"].endswith('"/py" -m meshctl.lab.images.commands torchrun "$@"\n')


def test_a_real_program_takes_the_containers_args() -> None:
    image = images.runnable("rclone/rclone:1.75")
    assert image is not None
    assert images.argv(image, [], ["copy", "a", "b"], "py") == ["rclone", "copy", "a", "b"]
    assert images.argv(image, ["rclone", "copy"], ["a", "b"], "py") == ["rclone", "copy", "a", "b"]
    assert images.argv(image, ["sleep", "1"], [], "py") == ["sleep", "1"]


def test_kubectl_runs_for_real_without_the_home_of_the_machines_user() -> None:
    image = images.runnable("registry.k8s.io/kubectl:v1.33.5")
    assert image is not None
    assert images.argv(image, [], ["wait", "job/a"], "py") == ["kubectl", "wait", "job/a"]
    own = lifecycle._home_and_path(image)
    assert own["PATH"].split(":")[0] == str(tools.find("kubectl").parent)
    assert own["HOME"] == "/nonexistent"  # a kubeconfig there would be taken for the pod's


def test_the_simulator_looks_at_the_same_containers_as_the_lab() -> None:
    """Else a pod with a known image and a step of an unknown one before it is nobody's, and stays Pending."""
    known, unknown = "vllm/vllm-openai:v0.11.0", "python:3.11-slim"
    pod = {"spec": {"nodeName": "n", "initContainers": [{"image": unknown}], "containers": [{"image": known}]}}
    assert not runner.is_ours(pod, "US-EAST-04A")
    assert images.JQ_ALL_KNOWN.startswith("[.spec.initContainers[]?, .spec.containers[]] | ")
