"""What the sections of the users' files look like, for a value that has another form, or lacks a part. PURE.

Asked through `foreign_keys`. `*` is the name of an entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshctl.model.files import foreign_environment_keys

Path = tuple[str | int, ...]

# Sections whose keys only mean something together: what to write where one of them is missing.
MISSING: Final[Mapping[Path, str]] = {
    ("fabrics", "*"): "write `kind: rdma`, which becomes EFA, InfiniBand or RoCE, or `kind: ethernet`",
    ("pools", "*", "accelerator"): "write `accelerator: {model: H100, count: 8}`",
    ("workloads", "*", "before"): "write {image: acme/prepare:1, command: [prepare]}",
    ("workloads", "*", "metrics"): "write {port: NAME, path: /metrics}",
    ("workloads", "*", "replicas"): "write a number, or `{min: 1, max: 4}`",
    ("workloads", "*", "scale"): "write `scale: {metric: queue-depth, target: 5, cooldown: 5m}`",
}

# What a section or list looks like, for a value of another form.
FORMS: Final[Mapping[Path, str]] = {
    **foreign_environment_keys.FORMS,
    ("pools", "*", "accelerator"): "{model: H100, count: 8}",
    ("endpoints", "*"): "{host: chat.example.com, workload: chat, port: http}",
    ("endpoints", "*", "cidrs"): "[203.0.113.0/24]",
    ("endpoints", "*", "routes"): "{/v1/embeddings: embed/http, /: chat/http}",
    ("fabrics", "*"): "{kind: rdma}",
    ("pools", "*", "cpu"): "{cores: 16, memory: 64GiB}",
    ("workloads", "*", "after"): "[prepdata]",
    ("workloads", "*", "args"): "[--model, /models/llama]",
    ("workloads", "*", "before"): "[{image: acme/prepare:1, command: [prepare]}]",
    ("workloads", "*", "checkpoint"): "{storage: NAME, grace: 2m}",
    ("workloads", "*", "command"): "[python, serve.py]",
    ("workloads", "*", "elastic"): "{min: 2}",
    ("workloads", "*", "env"): "{LOG_LEVEL: info}",
    ("workloads", "*", "files"): "{/etc/app.yaml: app.yaml}",
    ("workloads", "*", "health"): "{port: http, path: /health}",
    ("workloads", "*", "metrics"): "{port: http, path: /metrics}",
    ("workloads", "*", "mounts"): "{weights: {path: /models}}",
    ("workloads", "*", "mounts", "*"): "{path: /models}",
    ("workloads", "*", "ports"): "{http: 8000}",
    ("workloads", "*", "resources"): "{accelerators: 1, cpu: 8, memory: 64GiB}",
    ("workloads", "*", "scale"): "{metric: queue-depth, target: 5, cooldown: 5m}",
    ("workloads", "*", "secrets"): "{HF_TOKEN: hf-token}",
}

# What a mapping would mean where a number is expected, and where that is written.
OF_NUMBERS: Final[Mapping[Path, str]] = {
    ("pools", "*", "accelerator", "count"): (
        "it is the number per node; for alternatives write a list: `accelerator: [{model: H100, count: 8}, …]`"
    ),
    ("workloads", "*", "nodes"): (
        "a gang, and each group of what serves, has a fixed number of pods; `elastic: {min: N}` lets a gang go on with"
        " fewer, and `replicas: {min: N, max: M}` with `scale` brings as many groups as there is load"
    ),
    ("workloads", "*", "ports", "*"): "write the number alone: {http: 8000}",
    ("workloads", "*", "resources", "accelerators"): (
        "the `accelerator` of the pool says which model they are; write only their number here, or all"
    ),
}
