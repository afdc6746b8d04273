"""What an inference server of the lab answers to Prometheus: how many requests wait, run and have ended, by the names
that vLLM, SGLang, TGI and NIM give them (sources: `meshctl.model.keys.scaling`). EDGE: it counts over threads.

Kept by `openai_server`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

# a NIM had them at /metrics in its first versions
PATHS: Final = {
    "vllm": ("/metrics",),
    "sglang": ("/metrics",),
    "tgi": ("/metrics",),
    "nim": ("/v1/metrics", "/metrics"),
}
# by server: what waiting requests, running ones and those that have ended are called
_NAMES: Final = {
    "vllm": ("vllm:num_requests_waiting", "vllm:num_requests_running", "vllm:request_success_total"),
    "sglang": ("sglang:num_queue_reqs", "sglang:num_running_reqs", "sglang:num_requests_total"),
    "tgi": ("tgi_queue_size", "tgi_batch_current_size", "tgi_request_count"),
    "nim": ("num_requests_waiting", "num_requests_running", "request_success_total"),
}


@dataclass
class Requests:
    """`most_running`: so many are computed at a time (vLLM's `--max-num-seqs`), the others wait."""

    most_running: int
    waiting: int = 0
    running: int = 0
    ended: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """One request, from its turn to its end."""
        with self.changed:
            self.waiting += 1
            self.changed.wait_for(lambda: self.running < self.most_running)
            self.waiting, self.running = self.waiting - 1, self.running + 1
        try:
            yield
        finally:
            with self.changed:
                self.running, self.ended = self.running - 1, self.ended + 1
                self.changed.notify()

    def text(self, server: str) -> str:
        """In Prometheus' format."""
        with self.changed:
            values = (self.waiting, self.running, self.ended)
        kinds = ("gauge", "gauge", "counter")
        rows = zip(_NAMES[server], kinds, values, strict=True)
        return "".join(f'# TYPE {name} {kind}\n{name}{{model_name="lab"}} {value}\n' for name, kind, value in rows)
