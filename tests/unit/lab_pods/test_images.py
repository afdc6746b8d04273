from __future__ import annotations

import re

import pytest

from meshctl.lab import images
from meshctl.lab.images import openai_server


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


def test_nothing_is_healthy_before_the_weights_are_read() -> None:
    assert openai_server.respond("/health", b"", None)[0] == 503
    loaded = openai_server.Weights("/m", "ab" * 32, 3, 1)
    assert openai_server.respond("/health", b"", loaded)[0] == 200
    assert openai_server.respond("/v1/models", b"", loaded)[1]["data"][0]["bytes"] == 3
    assert openai_server.respond("/v1/completions", b"{", loaded)[0] == 400
