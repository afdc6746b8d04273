"""What `lend` and `burst` may not say, with the message at its place in the file."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.files.references import check_mesh

POOL = {"nodes": 2, "accelerator": {"model": "H100", "count": 8}}
JOB = {"kind": "batch", "pool": "p", "image": "i", "burst": True, "resources": {"accelerators": 8}}


def problems(pool: dict[str, Any], **job: Any) -> list[tuple[str, str]]:
    storage = {"home": {"kind": "block", "size": "1GiB"}, "cache": {"kind": "block", "size": "1GiB", "ephemeral": True}}
    mesh = {"name": "m", "pools": {"p": pool}, "storage": storage, "workloads": {"job": {**JOB, **job}}}
    return [(".".join(map(str, path)), message) for path, message in check_mesh(mesh)]


@pytest.mark.parametrize("up_to", [1, 2])
def test_a_pool_may_lend_all_that_it_has(up_to: int) -> None:
    assert problems({**POOL, "lend": {"upTo": up_to}}) == []


@pytest.mark.parametrize("nodes", [2, {"min": 1, "max": 2}])
def test_a_pool_can_not_lend_more_than_it_has(nodes: Any) -> None:
    (found,) = problems({**POOL, "nodes": nodes, "lend": {"upTo": 3}})
    assert found == ("pools.p.lend.upTo", "the pool has 2 nodes at most, and can't lend 3")


def test_only_nodes_with_accelerators_are_lent() -> None:
    ((path, message),) = problems({"nodes": 2, "lend": {"upTo": 1}})
    assert path == "pools.p.lend"
    assert message.startswith("only nodes with accelerators are lent")


SERVES: dict[str, Any] = {"replicas": {"min": 1, "max": 4}, "scale": {"metric": "queue-depth", "target": 5}}
SERVES |= {"ports": {"http": 8000}, "metrics": {"port": "http", "path": "/metrics"}}


@pytest.mark.parametrize("kind", ["service", "inference"])
def test_what_serves_borrows_nodes_for_replicas_that_load_brings(kind: str) -> None:
    assert problems(POOL, kind=kind, **SERVES) == []
    for fixed in ({"replicas": 4, "scale": None}, {"scale": None}):
        ((path, message),) = problems(POOL, kind=kind, **{**SERVES, **fixed})
        assert path == "workloads.job.burst"
        assert "write `replicas: {min: N, max: M}` and a `scale`" in message


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ({"scale": {"metric": "cpu", "target": 50}, "resources": {"accelerators": 8, "cpu": 1}}, "scale.metric", "cpu"),
        ({"nodes": 2}, "nodes", "groups of pods can't borrow nodes"),
    ],
)
def test_what_serves_and_can_not_borrow(more: dict[str, Any], path: str, words: str) -> None:
    ((place, message),) = problems(POOL, kind="inference", **{**SERVES, **more})
    assert place == f"workloads.job.{path}"
    assert words in message


def test_what_sleeps_borrows_nothing() -> None:
    sleeping = {**SERVES, "replicas": {"min": 0, "max": 4}}
    assert (
        "workloads.job.replicas.min",
        "with `burst` it must be at least 1: a workload without replicas borrows nothing",
    ) in problems(POOL, kind="inference", **sleeping)


def test_no_workload_is_called_as_the_deployment_on_lent_nodes() -> None:
    mesh = {
        "name": "m",
        "pools": {"p": POOL},
        "workloads": {"chat": {**JOB, "kind": "inference", **SERVES}, "chat-lent": {**JOB, "burst": False}},
    }
    ((_, message),) = check_mesh(mesh)
    assert message.startswith('its ServiceAccount would be called "chat-lent"')


@pytest.mark.parametrize("resources", [{}, {"accelerators": 0}, {"cpu": 4}])
def test_a_job_without_accelerators_has_nothing_to_borrow(resources: dict[str, Any]) -> None:
    ((path, message),) = problems(POOL, resources=resources)
    assert path == "workloads.job.burst"
    assert "asks for no accelerators" in message


def test_a_volume_of_one_zone_does_not_follow_a_job() -> None:
    ((path, message),) = problems(POOL, mounts={"home": {"path": "/home"}})
    assert (path, message) == (
        "workloads.job.mounts.home",
        "a workload with `burst` can't mount block storage, which stays in one zone",
    )
    assert problems(POOL, mounts={"cache": {"path": "/cache"}}) == []
    assert problems(POOL, mounts={"home": {"path": "/home"}}, burst=False) == []
