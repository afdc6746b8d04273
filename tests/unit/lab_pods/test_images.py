from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshctl import tools
from meshctl.lab import images
from meshctl.lab.images import openai_server
from meshctl.lab.pods import lifecycle, runner


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("vllm/vllm-openai:v0.11.0", "meshctl.lab.images.openai_server"),
        ("docker.io/vllm/vllm-openai:v0.11.0", "meshctl.lab.images.openai_server"),
        ("ghcr.io/acme/train:1.4", "meshctl.lab.images.trainer"),
        ("ghcr.io/acme/grpc-server:1", "meshctl.lab.images.grpc_server"),
        ("ghcr.io/acme/gang-server:1.0", "meshctl.lab.images.gang_server"),
        ("ghcr.io/acme/train", "meshctl.lab.images.trainer"),
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
        (["vllm", "serve", "/m"], [], ["py", "-m", "meshctl.lab.images.openai_server", "/m"]),
        (["/bin/sh", "-c", "exit 3"], [], ["/bin/sh", "-c", "exit 3"]),
    ],
)
def test_a_command_keeps_its_options_only(command: list[str], args: list[str], expected: list[str]) -> None:
    image = images.runnable("vllm/vllm-openai:1")
    assert image is not None
    assert images.argv(image, command, args, "py") == expected


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


def test_nothing_is_healthy_before_the_weights_are_read() -> None:
    assert openai_server.respond("/health", b"", None)[0] == 503
    loaded = openai_server.Weights("/m", "ab" * 32, 3, 1)
    assert openai_server.respond("/health", b"", loaded)[0] == 200
    assert openai_server.respond("/v1/models", b"", loaded)[1]["data"][0]["bytes"] == 3
    assert openai_server.respond("/v1/completions", b"{", loaded)[0] == 400


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (["serve", "acme/llama", "--tensor-parallel-size", "8"], "acme/llama"),
        (["/m", "--port", "1"], "/m"),
        (["--seed", "1", "s3://b/m"], "s3://b/m"),
        (["--tensor-parallel-size", "8"], "/models"),
        ([], "/models"),
    ],
)
def test_the_model_of_the_arguments(arguments: list[str], model: str) -> None:
    assert openai_server.model_of(arguments) == model


def test_the_name_of_a_model_hub_stands_for_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert openai_server.load("acme/llama").files == 1
    assert openai_server.load("acme/llama").sha256 != openai_server.load("acme/other").sha256
    for missing in ("/nowhere/llama", "acme/llama/v1"):
        with pytest.raises(FileNotFoundError):
            openai_server.load(missing)


def test_the_simulator_looks_at_the_same_containers_as_the_lab() -> None:
    """Else a pod with a known image and a step of an unknown one before it is nobody's, and stays Pending."""
    known, unknown = "vllm/vllm-openai:v0.11.0", "python:3.11-slim"
    pod = {"spec": {"nodeName": "n", "initContainers": [{"image": unknown}], "containers": [{"image": known}]}}
    assert not runner.is_ours(pod)
    assert images.JQ_ALL_KNOWN.startswith("[.spec.initContainers[]?, .spec.containers[]] | ")
