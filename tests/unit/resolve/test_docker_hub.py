"""Finding B8: Docker Hub counts the pulls of an address, and every image of meshctl can come from a mirror."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.pods import image_names, own_images
from meshctl.render import platform_objects
from tests.unit.render.sample import sample
from tests.unit.resolve.meshes import AWS, DC, H100, resolved

CHAT: dict[str, Any] = {
    "kind": "inference",
    "pool": "serve",
    "image": "vllm/vllm-openai:v0.11.0",
    "resources": {"accelerators": 8},
    "mounts": {"weights": {"path": "/models", "readOnly": True}},
}
STORAGE = {"weights": {"kind": "object", "size": "100GiB"}}


def notes(nodes: int, environment: dict[str, Any] = AWS, **workload: Any) -> list[str]:
    found = resolved(
        {"serve": {**H100, "nodes": nodes}},
        environment,
        storage=STORAGE,
        workloads={"chat": {**CHAT, "replicas": nodes, **workload}},
    )
    assert found.deployment is not None, found.gaps
    return [note for note in found.notes if note.startswith("Docker Hub")]


def test_b8_many_nodes_without_a_login_are_told() -> None:
    [note] = notes(102)  # in two zones, two images each
    assert "rclone/rclone:1.75, vllm/vllm-openai:v0.11.0 up to 102 times" in note
    assert "`images: {docker.io: REGISTRY}`" in note


def test_b8_as_many_as_docker_hub_allows_are_not_mentioned() -> None:
    assert notes(100) == []


@pytest.mark.parametrize(
    ("environment", "workload"),
    [
        ({**AWS, "images": {"docker.io": "mirror.example.com/hub"}}, {}),
        (AWS, {"image": "ghcr.io/acme/chat:1", "mounts": {}}),
    ],
)
def test_b8_other_registries_are_not_docker_hub(environment: dict[str, Any], workload: dict[str, Any]) -> None:
    assert notes(102, environment, **workload) == []


def test_b8_nodes_that_are_given_may_share_one_address() -> None:
    assert notes(51, DC)
    assert notes(50, DC) == []


def test_b8_every_image_of_meshctl_can_come_from_a_mirror() -> None:
    beginnings = ("docker.io/rclone", "nvcr.io", "registry.k8s.io", own_images.EFA_REGISTRY)
    mirrors = dict.fromkeys(beginnings, "mirror.example.com/copies")
    deployment = sample("aws").model_copy(update={"images": mirrors})
    texts = "".join(str(each.manifest) for each in platform_objects(deployment))
    needed = own_images.of(deployment)
    assert {own_images.STAGING, own_images.GPU_PLUGIN, own_images.efa_plugin("us-east-1")} <= {*needed}
    for image in needed:
        assert f"'{image_names.mirrored(image, mirrors)}'" in texts
        assert f"'{image}'" not in texts
