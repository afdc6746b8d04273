"""Notices pods that take all of their grace to end, and are killed then. PURE.

Called by `stopping` at each look at pods that a step waits for. A pod that is gone says nothing of how it ended; but
the API server says of one that is to end when its grace is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from meshctl.model.observed import PodState


@dataclass
class GraceWatch:
    """`exhausted`: the pods that ran at the last look before their grace was over, by name: how long it was. `poll_s`:
    how far looks are apart."""

    poll_s: float
    exhausted: dict[str, int] = field(default_factory=dict)

    def look(self, pods: Iterable[PodState], now: float) -> None:
        """`pods`: those that have not ended at the time `now`."""
        for pod in pods:
            if pod.killed_at and now + self.poll_s >= pod.killed_at:
                self.exhausted[pod.name] = pod.grace_s

    def messages(self) -> list[str]:
        return [
            f"{name} used its whole grace period of {grace_s} s, after which a pod is killed: what it was saving may be"
            " incomplete, and it continues from the last complete checkpoint; a longer `checkpoint.grace` gives it more"
            " time, if its program saves on the signal"
            for name, grace_s in sorted(self.exhausted.items())
        ]
