"""What a plan says of lending: in pools and accelerators, not in paths of Kubernetes objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshctl import render
from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.model.deployment import Deployment
from providers.kubernetes.diffing import changes as property_changes
from providers.plugin.values import path_text
from stacks.platform import token
from tests.unit.render import test_kai_queues
from tests.unit.resolve.lending_meshes import SERVE, chat, deployed, sweep


def terms(
    name: str, before: dict[str, Any], after: dict[str, Any], resolve: Callable[..., Deployment] = deployed
) -> list[tuple[str, Any, Any]]:
    """What the plan says of one object: of another mesh that changes it."""
    old, new = (
        {item.name: item for item in render.platform_objects(resolve(**each))}[name] for each in (before, after)
    )
    paths = [path_text(path) for path, _ in property_changes(old.manifest, new.manifest)]
    properties = tuple(map(PropertyChange, paths))
    step = Step(f"urn:pulumi:e::m::{token(new)}::{name}", token(new), "update", old.manifest, new.manifest, properties)
    return [(change.path, change.old, change.new) for change in fields(step)]


def test_a_pool_that_lends_more() -> None:
    more = {"serve": {**SERVE, "lend": {"upTo": 1}}}
    assert terms("pool/serve:cluster-queue", more, {}) == [("nvidia.com/gpu lent at most", "8", "16")]
    assert terms("pool/train:cluster-queue", more, {}) == [("nvidia.com/gpu borrowed at most from m.serve", "8", "16")]


def test_a_job_that_may_borrow() -> None:
    plain = {"sweep": sweep(burst=False)}
    changes = terms("workload/sweep:job", plain, {})
    assert ("burst: pools", "train", "train, serve") in changes
    assert not [term for term, _, _ in changes if "affinity" in term or "nodeSelector" in term]


def test_pods_that_are_counted_from_now_on() -> None:
    before = {"serve": {**SERVE, "lend": None}, "sweep": None, "chat": chat()}
    assert terms("workload/chat:deployment", before, {}) == [("lend: queue", None, "serve")]


def test_with_kai_scheduler() -> None:
    more = {"serve": {**SERVE, "lend": {"upTo": 1}}}
    kai = test_kai_queues.deployed
    assert terms("pool/serve:kai-lent-queue", more, {}, kai) == [("accelerators at most", 8, 16)]
    larger = {"serve": {**SERVE, "nodes": 4}}
    assert terms("pool/serve:kai-queue", {}, larger, kai) == [
        ("accelerators at most", 24, 32),
        ("accelerators of the pool", 24, 32),
    ]
    before = {"serve": {**SERVE, "lend": None}, "sweep": None, "chat": chat()}
    assert terms("workload/chat:deployment", before, {}, kai) == [
        ("lend: queue", None, "m.serve"),
        ("scheduler", None, "kai-scheduler"),
    ]
