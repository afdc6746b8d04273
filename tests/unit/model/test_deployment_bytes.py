"""Deployments are kept in the state and named by their digest: what a release adds must not change them unused."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from meshctl.model.deployment import Checkpoint, Deployment, Health, Mount, Workload
from tests.unit.render.sample import sample

# The keys that every release has written. Not to be extended: see `added_later` in meshctl/model/deployment.py.
ALWAYS_WRITTEN: dict[type[BaseModel], str] = {
    Workload: "name kind pool replicas image image_pull_secrets command args env secrets accelerators cpu memory_gib"
    " ports health mounts staged_gib checkpoint paused",
    Health: "path port",
    Mount: "storage kind path read_only ephemeral",
    Checkpoint: "storage signal grace_s",
}


@pytest.mark.parametrize("model", ALWAYS_WRITTEN)
def test_a_field_that_is_not_used_is_not_written(model: type[BaseModel]) -> None:
    parts = [part for workload in sample("aws").workloads for part in _parts(workload) if type(part) is model]
    assert parts
    for part in parts:
        assert sorted(part.model_dump()) == sorted(ALWAYS_WRITTEN[model].split()), (
            f"a new field of {model.__name__} needs the default `added_later(…)`: without it the deployments of older"
            " releases get another digest, and older releases can't read those of this one"
        )


def _parts(workload: Workload) -> list[BaseModel | None]:
    return [workload, workload.health, *workload.mounts, workload.checkpoint]


def test_a_deployment_that_uses_a_later_field_is_read_as_it_was_written() -> None:
    deployment = sample("aws").finished({"pretrain": "aws-1"})
    assert deployment.model_dump()["workloads"][1]["finished_in"] == "aws-1"
    assert Deployment.model_validate(deployment.model_dump(mode="json")) == deployment
