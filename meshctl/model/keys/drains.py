"""How long the pods of what serves may take to end their open requests once they are taken away. PURE.

`drain` of a workload: read by `meshctl.model.mesh`, rendered by `meshctl.render.pod.pods` as the grace of pods, from
which `up`, `restart`, `migrate`, `shift` and `destroy` have their deadlines.
`meshctl.deploy.guards.running.pods.running_drains` decides for workloads of which the mesh does not say it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Final

from meshctl.model.files import units

# how long a pod that is ending still gets new requests: until every load balancer knows that it ends
LEAVING_S: Final = 10
# Long answers of large models end within it: llm-d measured 259 s for the longest of DeepSeek-R1 with 2,000 tokens each
# way, and gives its pods 300 s (github.com/llm-d/llm-d, pull 1653).
DEFAULT_S: Final = 300
# Kubernetes itself has no limit. A pod that never ends of itself has its accelerators for so long, in every roll-out.
LONGEST_S: Final = 3600
UNSAID_S: Final = 50  # of what serves and has no `drain`, as it was before there was one

Path = tuple[str | int, ...]


Drain = Annotated[int, *units.duration(units.seconds_up_to(LONGEST_S), "10m")]


def problems(workload: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """What is wrong with the `drain` of a workload. `workload`: as the file has it, of any shape.

    Yields (path below the workload, message).
    """
    if workload.get("drain") is None:
        return
    kind = workload.get("kind")
    if kind in ("training", "batch"):
        advice = "write `checkpoint: {storage: NAME, grace: 10m}`" if kind == "training" else "its pods have 30 s"
        yield ("drain",), f"only inference and service workloads answer requests; this is {kind}: {advice}"
    elif not workload.get("ports"):
        yield ("drain",), "a workload without `ports` gets no requests: leave `drain` out, or write `ports`"
