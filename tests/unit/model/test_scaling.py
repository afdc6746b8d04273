"""`replicas` as a range and `scale`: what is refused, at which line, and what is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshctl.errors import DiagnosticsError
from meshctl.load import load_mesh
from meshctl.model.keys import scaling
from meshctl.model.mesh import Workload

HEAD = """apiVersion: meshctl/v1
kind: Mesh
name: m
pools: {web: {nodes: {min: 1, max: 4}, cpu: {cores: 16}}}
workloads:
  chat:
    kind: %s
    pool: web
    image: acme/chat:1
    ports: {http: 8000}
"""
RANGE = "    replicas: {min: 1, max: 4}\n"
METRICS = "    metrics: {port: http}\n"
CPU = "    resources: {cpu: 2}\n"


def workload(tmp_path: Path, text: str, kind: str = "inference") -> Workload:
    file = tmp_path / "mesh.yaml"
    file.write_text(HEAD % kind + text)
    return load_mesh(file).workloads["chat"]


def refused(tmp_path: Path, text: str, kind: str = "inference") -> list[str]:
    with pytest.raises(DiagnosticsError) as caught:
        workload(tmp_path, text, kind)
    return [
        f"{each.line}: {each.path.removeprefix('workloads.chat.')}: {each.message}" for each in caught.value.diagnostics
    ]


def test_a_range_and_its_rule_are_read(tmp_path: Path) -> None:
    chat = workload(tmp_path, f"{RANGE}    scale: {{metric: queue-depth, target: 5, cooldown: 90s}}\n{METRICS}")
    assert chat.replicas is not None
    assert chat.scale is not None
    assert (chat.replicas.min, chat.replicas.max) == (1, 4)
    assert (chat.scale.metric, chat.scale.target, chat.scale.cooldown_s) == ("queue-depth", 5, 90)


def test_a_number_is_both_bounds_and_the_cooldown_is_that_of_kubernetes(tmp_path: Path) -> None:
    chat = workload(tmp_path, "    replicas: 2\n")
    assert chat.replicas is not None
    assert (chat.replicas.min, chat.replicas.max) == (2, 2)
    scaled = workload(tmp_path, f"{RANGE}{CPU}    scale: {{metric: cpu, target: 70}}\n")
    assert scaled.scale is not None
    assert scaled.scale.cooldown_s == 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("    replicas: {min: 5, max: 4}\n", "11: replicas.min: min 5 is more than max 4"),
        ("    replicas: 0\n", "11: replicas: must be at least 1, got 0; leave the workload out"),
        ("    replicas: {min: 1, max: 0}\n", "11: replicas.max: must be at least 1, got 0"),
        ("    replicas: many\n", '11: replicas: expected a whole number or {min, max}, got "many"'),
        (
            f"    scale: {{metric: cpu, target: 70}}\n{CPU}",
            "11: scale: needs a range to move in: write `replicas: {min: 1, max: 5}`",
        ),
        (
            f"    replicas: 3\n    scale: {{metric: cpu, target: 70}}\n{CPU}",
            "12: scale: needs a range to move in: write `replicas: {min: 3, max: 7}`",
        ),
        (
            f"    replicas: {{min: 3, max: 3}}\n    scale: {{metric: cpu, target: 70}}\n{CPU}",
            "12: scale: min and max of `replicas` are the same: raise max",
        ),
        (
            f"{RANGE}    scale: {{metric: cpu, target: 70}}\n",
            "12: scale.metric: cpu is a share of what a pod asks for: write `resources: {cpu: N}`",
        ),
        (
            f"{RANGE}    scale: {{metric: queue-depth, target: 5}}\n",
            "12: scale.metric: the pods are asked for it: write `metrics: {port: http, path: /metrics}`",
        ),
        (
            f"{RANGE}{METRICS}    scale: {{metric: memory, target: 5}}\n",
            '13: scale.metric: no metric is called "memory"; write one of queue-depth, concurrency, requests, cpu, or',
        ),
        (
            f"{RANGE}{CPU}    scale: {{metric: cpu, target: 0.7}}\n",
            "13: scale.target: of cpu it is percent: write 70",
        ),
        (f"{RANGE}{METRICS}    scale: {{metric: queue-depth, target: 0}}\n", "13: scale.target: must be more than 0"),
        (f"{RANGE}{METRICS}    scale: {{metric: queue-depth, target: high}}\n", "13: scale.target: expected a number"),
        (
            f"{RANGE}{METRICS}    scale: {{metric: queue-depth}}\n",
            '13: scale: missing key "target"; write `scale: {metric',
        ),
        (
            f"{RANGE}{METRICS}    scale: {{metric: queue-depth, target: 5, cooldown: 2h}}\n",
            "13: scale.cooldown: must be at most 1h, got 2h",
        ),
        (
            f"{RANGE}{METRICS}    scale: {{metric: queue-depth, target: 5, minReplicas: 1}}\n",
            '13: scale.minReplicas: unknown key "minReplicas"; write `replicas: {min: 1, max: 4}` beside',
        ),
    ],
)
def test_what_does_not_go_together_is_refused_where_it_stands(tmp_path: Path, text: str, expected: str) -> None:
    messages = refused(tmp_path, text)
    assert len(messages) == 1
    assert messages[0].startswith(expected)


def test_a_misspelt_bound_is_an_unknown_key_and_a_missing_one(tmp_path: Path) -> None:
    assert refused(tmp_path, "    replicas: {least: 1, max: 4}\n") == [
        '11: replicas: missing key "min"; write a number, or `{min: 1, max: 4}`',
        '11: replicas.least: unknown key "least"',
    ]


@pytest.mark.parametrize("kind", ["training", "batch"])
def test_jobs_do_not_follow_load(tmp_path: Path, kind: str) -> None:
    text = f"{METRICS}    scale: {{metric: queue-depth, target: 5}}\n"
    assert refused(tmp_path, text, kind) == [
        f"12: scale: only inference and service workloads follow load; this is {kind}, whose size is fixed"
    ]
    assert refused(tmp_path, RANGE, kind)[0].startswith("11: replicas: a ")


@pytest.mark.parametrize("metric", ["vllm:gpu_cache_usage_perc", "http_requests_total", *scaling.METRICS])
def test_metrics_that_are_known(tmp_path: Path, metric: str) -> None:
    target = 80 if metric == scaling.CPU else 0.8
    text = f"{RANGE}{METRICS}{CPU}    scale: {{metric: {metric}, target: {target}}}\n"
    scale = workload(tmp_path, text).scale
    assert scale is not None
    assert scale.metric == metric


ASLEEP = "    replicas: {min: 0, max: 4}\n"
QUEUE = f"{METRICS}    scale: {{metric: queue-depth, target: 5}}\n"
ROUTED = "endpoints:\n  chat: {host: chat.example.com, routes: {/: chat/http}}\n"
SEALED = "endpoints:\n  chat: {host: chat.example.com, workload: chat, port: http, tls: true}\n"
STORES = "storage: {notes: {kind: filesystem, size: 1TiB}, cache: {kind: block, size: 1GiB, ephemeral: true}}\n"
PLAIN = "endpoints:\n  chat: {host: chat.example.com, workload: chat, port: http}\n"


@pytest.mark.parametrize("endpoint", [ROUTED, SEALED], ids=["routes", "tls"])
def test_behind_a_gateway_load_may_leave_no_replica(tmp_path: Path, endpoint: str) -> None:
    chat = workload(tmp_path, ASLEEP + QUEUE + endpoint)
    assert chat.replicas is not None
    assert (chat.replicas.min, chat.replicas.max) == (0, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (QUEUE, "0 needs an endpoint whose gateway holds a request until a pod is ready, and no endpoint leads here"),
        (QUEUE + PLAIN, "0 needs a gateway, which holds a request until a pod is ready, and endpoints.chat has none"),
        (ROUTED, "0 needs `scale`: without it nobody ends the last pod, or starts one for the next request"),
        (f"{CPU}    scale: {{metric: cpu, target: 70}}\n{ROUTED}", "0 does not go with cpu, which says nothing of"),
        (f"{QUEUE}    nodes: 2\n{ROUTED}", "0 does not go with groups of pods"),
        (
            f"{QUEUE}    health: {{port: http, path: /up, protocol: https}}\n{ROUTED}",
            "0 takes pods that speak HTTP, not HTTPS, to the gateway",
        ),
        (
            f"    mounts: {{notes: {{path: /notes}}, cache: {{path: /cache}}}}\n{QUEUE}{ROUTED}{STORES}",
            "0 takes a workload that only reads, and this one writes notes",
        ),
    ],
)
def test_where_nobody_would_wake_it_zero_is_refused_with_what_to_write(
    tmp_path: Path, text: str, expected: str
) -> None:
    (problem,) = refused(tmp_path, ASLEEP + text)
    assert problem.startswith(f"11: replicas.min: {expected}")
