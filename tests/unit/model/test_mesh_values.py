"""Values that Kubernetes or a container would refuse later are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from meshctl.model import references
from meshctl.model.environment import AccountId
from meshctl.model.mesh import AbsolutePath, DnsLabel, Host, Image


def refusal(kind: Any, value: str) -> str:
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return str(error.errors()[0]["msg"])
    return ""


@pytest.mark.parametrize(
    "image",
    [
        "vllm/vllm-openai:v0.11.0",
        "ubuntu",
        "localhost:5000/a/b",
        "Registry.Example.com/a__b/c-d.e:V1.2_x",
        "602401143452.dkr.ecr.us-west-2.amazonaws.com/eks/x:v1",
        f"nvcr.io/nvidia/pytorch:25.01-py3@sha256:{'0' * 64}",
        f"a/b@sha256:{'a' * 64}",
    ],
)
def test_images(image: str) -> None:
    assert refusal(Image, image) == ""


@pytest.mark.parametrize(
    "image",
    ["", "a b", "ghcr.io/Acme/train:1", "Acme/train", "a:b:c", "a/", "/a", "a@sha256:12", "a:-x", "https://a/b", "a\n"],
)
def test_no_images(image: str) -> None:
    assert "is not an image" in refusal(Image, image)


def test_upper_case_says_so() -> None:
    assert "lower case" in refusal(Image, "ghcr.io/Acme/train:1")


@pytest.mark.parametrize("path", ["models", "/", "/a/../b", "/a:b", "/a\n"])
def test_no_mount_paths(path: str) -> None:
    assert refusal(AbsolutePath, path)


@pytest.mark.parametrize("path", ["/root", "/root/.cache", "/proc/x", "/sys", "/dev/shm", "/dev/hugepages/"])  # noqa: S108
def test_mount_paths_that_no_container_could_use(path: str) -> None:
    assert path in refusal(AbsolutePath, path)
    assert refusal(AbsolutePath, path.replace("/", "/my", 1)) == ""


def test_a_path_written_in_two_ways_is_one_path() -> None:
    mounts = {"a": {"path": "/data"}, "b": {"path": "/data/"}}
    mesh = {"storage": {"a": {}, "b": {}}, "workloads": {"w": {"mounts": mounts}}}
    ((where, why),) = references.check_mesh(mesh)
    assert where == ("workloads", "w", "mounts", "b")
    assert why == 'path /data is taken by "a" already'


@pytest.mark.parametrize("host", ["chat", "a..b", "-a.example.com", "a_b.example.com", "A.example.com", "a.b\n", "a.1"])
def test_no_hosts(host: str) -> None:
    assert "is not a host name" in refusal(Host, host)


def test_a_name_ends_where_it_ends() -> None:
    assert refusal(DnsLabel, "chat\n")


@pytest.mark.parametrize("digits", ["\u0661" * 12, "1" * 11, "1" * 12 + "\n"])
def test_an_account_is_twelve_digits(digits: str) -> None:
    assert refusal(AccountId, digits)
