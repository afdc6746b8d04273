"""What a migration or an expansion is planned from, beside the two deployments: its options, and what the stores hold.
PURE."""

from __future__ import annotations

from typing import Literal

from meshctl.model.dns_splits import WHOLE
from meshctl.model.value import Value, added_later

SharedBy = Literal["dns", "gateway"]


class StoreFacts(Value):
    """The content of a store on both sides. `foreign_objects`: objects at the target that the source does not have."""

    store: str
    objects: int
    total_bytes: int
    target_objects: int = 0
    foreign_objects: int = 0
    read_bytes: int = 0  # estimated size of the source's objects that can't be compared by ETag
    shared: bool = False  # both environments use the same bucket and prefix: nothing to move


class Options(Value):
    """The user's options. `observe_s`: how long the target is watched after the cutover."""

    observe_s: int = 30
    deep_verify: bool = False  # read every object on both sides, even if the ETags prove that they are equal
    replace_target_data: bool = False
    take_over: tuple[str, ...] = ()  # fields that are set although other programs own them, as for `up`


class Share(Value):
    """The workload that is expanded, and the target's part of its requests, in 255ths as Route 53 takes it. `by`: who
    shares them, weighted DNS records each resolution, or the source's gateway each request."""

    workload: str
    weight: int
    by: SharedBy = added_later("dns")

    @property
    def text(self) -> str:
        return share_text(self.weight)

    @property
    def dns_weight(self) -> int:
        """The target's part of the resolutions. Where the gateway shares requests, all lead to it, and to the target
        when the source fails, or where it is to have everything."""
        if self.by == "dns":
            return self.weight
        return WHOLE if self.weight == WHOLE else 0


class Expanded(Value):
    """The expansion that a migration goes on from: the target has these workloads already, and its share of the users
    of these endpoints. `migration`: the id of its journal."""

    migration: str
    workloads: tuple[str, ...]
    endpoints: tuple[str, ...]


def weight_of(percent: float) -> int:
    """The nearest weight; never 0, and the whole only for all of it: anything else is a share."""
    return WHOLE if percent == 100 else min(max(round(percent * WHOLE / 100), 1), WHOLE - 1)


def share_text(weight: int) -> str:
    """`40.0% (102 of 255)`."""
    return f"{weight * 100 / WHOLE:.1f}% ({weight} of {WHOLE})"
