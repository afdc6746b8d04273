"""Replicas by load: the metrics that a mesh can name, and what `replicas` and `scale` must have in common. PURE.

Used by `meshctl.model.mesh` for the values of the keys, by `meshctl.model.files.references` for what goes together, and
by `meshctl.render`, which makes the object that scales.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema

from meshctl.model.files import units
from meshctl.model.keys import gateways

QUEUE_DEPTH: Final = "queue-depth"
CONCURRENCY: Final = "concurrency"
REQUESTS: Final = "requests"
CPU: Final = "cpu"
METRICS: Final = (QUEUE_DEPTH, CONCURRENCY, REQUESTS, CPU)

HTTP_REQUESTS: Final = "http_requests_total"  # of libraries, which count questions for health and metrics, too

# What servers call it in the text that they answer to Prometheus; one server has one of the names. Sources, all read
# 2026-11-29: vLLM docs.vllm.ai/en/stable/usage/metrics; SGLang docs.sglang.io/references/production_metrics.html
# (needs --enable-metrics); TGI huggingface.co/docs/text-generation-inference/reference/metrics; NIM
# docs.nvidia.com/nim/large-language-models/latest/observability.html (without a prefix, at /v1/metrics); Triton
# docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html.
SERIES: Final[dict[str, tuple[str, ...]]] = {
    QUEUE_DEPTH: (
        "vllm:num_requests_waiting",
        "sglang:num_queue_reqs",
        "tgi_queue_size",
        "num_requests_waiting",
        "nv_inference_pending_request_count",
    ),
    CONCURRENCY: (
        "vllm:num_requests_running",
        "sglang:num_running_reqs",
        "tgi_batch_current_size",
        "num_requests_running",
    ),
    REQUESTS: (
        "vllm:request_success_total",
        "sglang:num_requests_total",
        "tgi_request_count",
        "request_success_total",
        "request_finish_total",
        "nv_inference_request_success",
        HTTP_REQUESTS,
    ),
}
REPLICAS_ANNOTATION: Final = "meshctl.dev/replicas"  # on what runs the pods: the range, as `words` has it
WAKE_PORT: Final = 8080  # where what holds requests for a workload without pods takes them
# How long a request is held: shorter than load balancers keep a silent connection. Those of AWS do for 350 s (Elastic
# Load Balancing user guide, "Network Load Balancers", idle timeout of TCP listeners).
LONGEST_WAKE_S: Final = 300
COOLDOWN_S: Final = 300  # as Kubernetes' own autoscaler waits before it takes pods away
_LONGEST_COOLDOWN_S: Final = 3600  # the longest that autoscaling/v2 takes (HPAScalingRules.stabilizationWindowSeconds)

_PROMETHEUS: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_CHOICES: Final = f"{', '.join(METRICS)}, or the name of a Prometheus metric such as vllm:num_requests_waiting"

Path = tuple[str | int, ...]


def series(metric: str) -> tuple[str, ...]:
    """The names of the Prometheus metric, in the order in which they are looked for."""
    return SERIES.get(metric, (metric,))


def is_read_from_pods(metric: str) -> bool:
    """Whether the pods themselves answer it; the cluster measures the others."""
    return metric != CPU


def idle_series(metric: str) -> tuple[str, ...]:
    """The names of all metrics by which a pod says that somebody uses it."""
    of_servers = (name for names in SERIES.values() for name in names)
    return tuple(dict.fromkeys((*series(metric), *of_servers)))


def server_series() -> tuple[str, ...]:
    """Those of them by which a server says completely what it does."""
    return tuple(name for names in SERIES.values() for name in names if name != HTTP_REQUESTS)


def words(least: int, most: int) -> str:
    """The replicas of a workload, for people: `2`, or `2 to 6`."""
    return str(least) if most <= least else f"{least} to {most}"


def most_of(annotations: object) -> int:
    """The most replicas that the annotations of what runs the pods name; 0 where they name no range."""
    text = annotations.get(REPLICAS_ANNOTATION) if isinstance(annotations, dict) else None
    last = text.rpartition(" ")[2] if isinstance(text, str) else ""
    return int(last) if last.isdecimal() else 0


def replica_range(value: object) -> object:
    """A number is both bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    if value < 1:
        advice = (
            "; leave the workload out where it is to have no pods, or write `{min: 0, max: N}` with a `scale`"
            if value == 0
            else ""
        )
        raise ValueError(f"must be at least 1, got {value}{advice}")
    return {"min": value, "max": value}


def _metric(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected one of {_CHOICES}")
    is_prometheus = _PROMETHEUS.fullmatch(value) and ("_" in value or ":" in value)
    if value not in METRICS and not is_prometheus:
        raise ValueError(f'no metric is called "{value}"; write one of {_CHOICES}')
    return value


def _target(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("expected a number: the load that one replica is to have")
    if not math.isfinite(value) or value <= 0:
        raise ValueError(f"must be more than 0, got {value:g}: it is the load that one replica is to have")
    return float(value)


Metric = Annotated[
    str,
    BeforeValidator(_metric),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(METRICS)},
                {"type": "string", "pattern": r"^[a-zA-Z_:][a-zA-Z0-9_:]*[_:][a-zA-Z0-9_:]*$"},
            ]
        }
    ),
]
Target = Annotated[
    float, BeforeValidator(_target), WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "examples": [5]})
]
Cooldown = Annotated[int, *units.duration(units.seconds_up_to(_LONGEST_COOLDOWN_S), "5m")]


def problems(workload: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What `replicas` and `scale` of one workload have wrong together. `workload`: as the file has it, of any shape.

    Yields (path below the workload, message).
    """
    replicas, scale, kind = workload.get("replicas"), workload.get("scale"), workload.get("kind")
    bounds = replicas if isinstance(replicas, dict) else None
    if bounds is not None and kind == "batch":
        yield ("replicas",), "a batch job has a number of replicas: each of its pods must complete once"
    elif bounds is not None:
        yield from _bounds(bounds)
    if scale is None:
        return
    if kind in ("training", "batch"):
        yield ("scale",), f"only inference and service workloads follow load; this is {kind}, whose size is fixed"
        return
    if bounds is None:
        wanted = replicas if isinstance(replicas, int) and not isinstance(replicas, bool) else 1
        yield ("scale",), f"needs a range to move in: write `replicas: {{min: {wanted}, max: {wanted + 4}}}`"
    elif bounds.get("min") == bounds.get("max"):
        yield ("scale",), "min and max of `replicas` are the same: raise max, or leave `scale` out"
    if isinstance(scale, dict):
        yield from _measured(workload, scale.get("metric"))
        target = scale.get("target")
        if scale.get("metric") == CPU and isinstance(target, float) and 0 < target < 1:
            yield ("scale", "target"), f"of cpu it is percent: write {round(target * 100)}"


def _bounds(replicas: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    least, most = (_whole(replicas.get(key)) for key in ("min", "max"))
    if least is not None and most is not None and least > most > 0:
        yield ("replicas", "min"), f"min {least} is more than max {most}"


def _measured(workload: dict[str, Any], metric: object) -> Iterator[tuple[Path, str]]:
    """That what the metric is measured by is there."""
    if metric == CPU and "cpu" not in _section(workload, "resources"):
        yield ("scale", "metric"), "cpu is a share of what a pod asks for: write `resources: {cpu: N}`"
    if isinstance(metric, str) and is_read_from_pods(metric) and not _section(workload, "metrics"):
        port = next(iter(_section(workload, "ports")), "NAME")
        message = f"the pods are asked for it: write `metrics: {{port: {port}, path: /metrics}}`"
        yield ("scale", "metric"), f"{message}, where they answer Prometheus"


def sleep_problems(
    name: str, workload: dict[str, Any], endpoints: Mapping[str, Any], stores: Mapping[str, Any]
) -> Iterator[tuple[Path, str]]:
    """What keeps a workload with `min: 0` from having no pods: then somebody must hold its next request until it has
    one, which is the gateway of an endpoint. `endpoints`, `stores`: as the file has them, of any shape.

    Yields (path below the workload, message).
    """
    replicas, scale = _section(workload, "replicas"), _section(workload, "scale")
    if replicas.get("min") != 0 or workload.get("kind") in ("training", "batch"):
        return
    at: Path = ("replicas", "min")
    if not scale:
        yield at, "0 needs `scale`: without it nobody ends the last pod, or starts one for the next request"
    elif scale.get("metric") == CPU:
        choices = f"{QUEUE_DEPTH}, {CONCURRENCY} or {REQUESTS}"
        yield at, f"0 does not go with cpu, which says nothing of a workload without pods; scale by {choices}"
    if workload.get("nodes", 1) != 1:
        yield at, "0 does not go with groups of pods; write `min: 1`"
    if _section(workload, "health").get("protocol") == "https":
        yield at, "0 takes pods that speak HTTP, not HTTPS, to the gateway; write `min: 1`"
    written = next(_written(workload, stores), "")
    if written:
        reason = "a request must not start it again at the moment in which a migration stops it"
        advice = "mount it with `readOnly: true`, or write `min: 1`"
        yield at, f"0 takes a workload that only reads, and this one writes {written}: {reason}; {advice}"
    yield from ((at, message) for message in _unheld(name, endpoints))


def _written(workload: dict[str, Any], stores: Mapping[str, Any]) -> Iterator[str]:
    """The storage that it may change and that a migration moves."""
    for storage, mount in _section(workload, "mounts").items():
        store = stores.get(storage)
        is_scratch = isinstance(store, dict) and (store.get("ephemeral") is True or store.get("kind") == "local")
        if not is_scratch and not (isinstance(mount, dict) and mount.get("readOnly") is True):
            yield str(storage)


def _unheld(name: str, endpoints: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with how requests come to a workload that may have no pods."""
    sections = {key: each for key, each in endpoints.items() if isinstance(each, dict)}
    leading = [key for key, each in sections.items() if gateways.leads_to(each, name)]
    plain = [key for key in leading if not gateways.needs_gateway(sections[key])]
    if not leading:
        yield (
            "0 needs an endpoint whose gateway holds a request until a pod is ready, and no endpoint leads here: write"
            f" one with `routes: {{/: {name}/PORT}}`, or `min: 1`"
        )
    for key in plain:
        yield (
            f"0 needs a gateway, which holds a request until a pod is ready, and endpoints.{key} has none: write its"
            f" `routes: {{/: {name}/PORT}}` in place of `workload` and `port`, or `min: 1`"
        )


def _section(workload: dict[str, Any], key: str) -> dict[str, Any]:
    section = workload.get(key)
    return section if isinstance(section, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
