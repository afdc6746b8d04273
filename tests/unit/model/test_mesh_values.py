"""Values that Kubernetes or a container would refuse later are refused where they are written."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from meshctl.model.files import references
from meshctl.model.files.key_values import AbsolutePath, DnsLabel, Host, Image, User, WorkingDir
from meshctl.model.mesh import Fabric
from meshctl.platforms.aws.environment import AccountId


def refusal(kind: Any, value: Any) -> str:
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


@pytest.mark.parametrize("expect", [0, -0.5, 1.2, "0.8", "80%", True])
def test_no_shares_of_a_bandwidth(expect: object) -> None:
    assert refusal(Fabric, {"kind": "rdma", "expect": expect})
    assert refusal(Fabric, {"kind": "rdma", "expect": 0.8}) == ""


@pytest.mark.parametrize("path", ["models", "/", "/a/../b", "/a:b", "/a\n"])
def test_no_mount_paths(path: str) -> None:
    assert refusal(AbsolutePath, path)


@pytest.mark.parametrize("path", ["/proc/x", "/sys", "/dev/hugepages/", "/etc/meshctl"])
def test_mount_paths_that_no_container_could_use(path: str) -> None:
    assert path in refusal(AbsolutePath, path)
    assert refusal(AbsolutePath, path.replace("/", "/my", 1)) == ""


@pytest.mark.parametrize(
    ("path", "normal"),
    [("//proc", "/proc"), ("/./proc", "/proc"), ("//root/x", "/root/x"), ("/a//b/.", "/a/b"), ("/data//", "/data")],
)
def test_a_mount_path_has_one_form(path: str, normal: str) -> None:
    assert refusal(AbsolutePath, path).endswith(f'"{path}" is not in its shortest form; write "{normal}"')


def test_a_mount_does_not_hide_what_a_container_needs() -> None:
    assert "it would hide /dev/shm" in refusal(AbsolutePath, "/dev")
    assert "it would hide /dev/shm" in refusal(AbsolutePath, "/dev/")
    assert refusal(AbsolutePath, "/dev/data") == ""


@pytest.mark.parametrize("path", ["app", "", "./app", "/app/..", "/../app", "..", "~/app", "/app\n", "/a\0b"])
def test_no_working_folders(path: str) -> None:
    assert refusal(WorkingDir, path).endswith(f'"{path}" is not an absolute path without ".."; write it like /app')


@pytest.mark.parametrize("path", ["/", "/app", "/app/", "/srv/a b:c/..d", "/rooted"])
def test_working_folders(path: str) -> None:
    assert refusal(WorkingDir, path) == ""


@pytest.mark.parametrize("user", ["image", "root", 1, 1001, 2**31 - 1])
def test_users(user: Any) -> None:
    assert refusal(User, user) == ""


@pytest.mark.parametrize("user", ["1001", "nobody", -1, 2**31, 1.0, True, [1], None])
def test_no_users(user: Any) -> None:
    assert refusal(User, user).endswith("must be image, root or the number of a user from 1 to 2147483647")


def test_the_number_of_root_says_how_it_is_written() -> None:
    assert refusal(User, 0).endswith("user 0 is root; write `user: root`")


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


SERVER = {"kind": "service", "ports": {"p": 80}}
CLASHES: dict[str, tuple[dict[str, Any], tuple[str | int, ...], str]] = {
    "the load balancer of one and another": (
        {
            "workloads": {"w": SERVER, "w-public": SERVER},
            "endpoints": {"e": {"workload": "w", "port": "p", "host": "a.example.com"}},
        },
        ("workloads", "w-public"),
        'its Service would be called "w-public", as one of workloads.w; rename one of them',
    ),
    "a set of pods and another": (
        {
            "storage": {"disk": {"kind": "block"}},
            "workloads": {"w-pods": {"kind": "training"}, "w": {"kind": "service", "mounts": {"disk": {}}}},
        },
        ("workloads", "w"),
        'its Service would be called "w-pods", as one of workloads.w-pods; rename one of them',
    ),
    "the secrets of a workload and those of a registry": (
        {
            "workloads": {
                "a": {"kind": "batch", "imagePullSecrets": ["x-secrets"]},
                "b": {"kind": "batch", "imagePullSecrets": ["x-secrets"]},
                "registry-x": {"kind": "batch", "secrets": {"A": "a"}},
            }
        },
        ("workloads", "registry-x"),
        'its Secret would be called "registry-x-secrets", as one of workloads.a.imagePullSecrets.0; rename one of them',
    ),
    "the volumes of two jobs": (
        {
            "storage": {"b-c": {"kind": "block"}, "c": {"kind": "block"}},
            "workloads": {
                "a": {"kind": "batch", "mounts": {"b-c": {}}},
                "a-b": {"kind": "batch", "mounts": {"c": {}}},
            },
        },
        ("workloads", "a-b", "mounts", "c"),
        'its PersistentVolumeClaim would be called "a-b-c", as one of workloads.a.mounts.b-c; rename one of them',
    ),
    "the volumes of two sets of pods": (
        {
            "storage": {"a": {"kind": "block"}, "a-b": {"kind": "block"}},
            "workloads": {
                "b-c": {"kind": "service", "mounts": {"a": {}}},
                "c": {"kind": "service", "mounts": {"a-b": {}}},
            },
        },
        ("workloads", "c", "mounts", "a-b"),
        'its PersistentVolumeClaim would be called "a-b-c-0", as one of workloads.b-c.mounts.a; rename one of them',
    ),
    "a file system and the volume of a job": (
        {
            "storage": {"w-disk": {"kind": "filesystem"}, "disk": {"kind": "block"}},
            "workloads": {"w": {"kind": "batch", "mounts": {"disk": {}}}},
        },
        ("workloads", "w", "mounts", "disk"),
        'its PersistentVolumeClaim would be called "w-disk", as one of storage.w-disk; rename one of them',
    ),
}


@pytest.mark.parametrize("case", CLASHES)
def test_two_objects_of_one_name_are_told_where_they_are_written(case: str) -> None:
    mesh, where, why = CLASHES[case]
    for workload in mesh["workloads"].values():
        for mount in workload.get("mounts", {}).values():
            mount["path"] = "/data"
    assert references.check_mesh(mesh) == [(where, why)]


def test_names_that_only_look_alike_do_not_clash() -> None:
    both = {"w": SERVER, "w-public": SERVER, "w-pods": SERVER}
    assert references.check_mesh({"workloads": both}) == []
    ephemeral = {"b-c": {"kind": "block", "ephemeral": True}, "c": {"kind": "block"}}
    jobs = {name: {"kind": "batch", "mounts": {disk: {}}} for name, disk in (("a", "b-c"), ("a-b", "c"))}
    assert references.check_mesh({"storage": ephemeral, "workloads": jobs}) == []
