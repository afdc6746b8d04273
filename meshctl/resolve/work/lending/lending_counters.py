"""Who counts what pools lend in one environment, and whether it is there: Kueue, or KAI Scheduler. PURE.

Called by `meshctl.resolve` and `lending`. KAI Scheduler counts where environments.yaml says so, in clusters that exist.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from meshctl.model.deployment import KaiScheduler
from meshctl.model.observed import Facts
from meshctl.model.served_apis import CLUSTER_QUEUE, KAI_QUEUE, KAI_TOPOLOGY, OLDER_CLUSTER_QUEUE

INSTALL: Final = (
    "helm install kueue oci://registry.k8s.io/kueue/charts/kueue --version 0.18.2 --namespace kueue-system"
    " --create-namespace --wait"
)
INSTALL_KAI: Final = (
    "helm upgrade --install kai-scheduler oci://ghcr.io/kai-scheduler/kai-scheduler/kai-scheduler --namespace"
    " kai-scheduler --create-namespace --wait"
)


_NOT_YET = (
    "meshctl makes the cluster without Kueue, which counts what is lent, and uses it once it is there: after the first"
    f" `up` install it (`{INSTALL}`), and run `up` again"
)


@dataclass(frozen=True)
class Counter:
    """What is known of it. `is_there`: whether objects for it can be made. `gap`: what to say where a cluster that was
    asked can't count; `note`: where nobody could ask, or the cluster is yet to be made. `kai`: that it is KAI
    Scheduler; None for Kueue. `install`: how to get it."""

    is_there: bool
    gap: str = ""
    note: str = ""
    kai: KaiScheduler | None = None

    @property
    def install(self) -> str:
        return INSTALL if self.kai is None else INSTALL_KAI


def seen(
    facts: Facts | None,
    served: Collection[str],
    asked_for: KaiScheduler | None = None,
    *,
    nodes_are_made: bool,
    cluster_is_made: bool,
) -> Counter:
    """`served`: as for `meshctl.resolve.resolve`. `asked_for`: KAI Scheduler, where environments.yaml names it. A
    cluster whose nodes are given is taken to have what counts until somebody has asked, as it is taken to have its
    nodes."""
    if asked_for is not None:
        return _seen_kai(facts, served, asked_for, nodes_are_made=nodes_are_made)
    if not nodes_are_made:
        if facts is None or facts.serves(CLUSTER_QUEUE) is not False:
            return Counter(is_there=True)
        return Counter(is_there=False, gap=_why_not(is_older=facts.serves(OLDER_CLUSTER_QUEUE) is True))
    if CLUSTER_QUEUE in served:
        return Counter(is_there=True)
    is_older = OLDER_CLUSTER_QUEUE in served
    if cluster_is_made and not is_older:
        return Counter(is_there=False, note=_NOT_YET)
    return Counter(is_there=False, note=f"{_why_not(is_older=is_older)}; install it: `{INSTALL}`")


def _why_not(*, is_older: bool) -> str:
    if is_older:
        return "its Kueue is older than 0.15: it serves kueue.x-k8s.io/v1beta1 and not v1beta2"
    return "the cluster serves no kueue.x-k8s.io/v1beta2: it has no Kueue of release 0.15 or newer"


def _seen_kai(
    facts: Facts | None, served: Collection[str], asked_for: KaiScheduler, *, nodes_are_made: bool
) -> Counter:
    if facts is not None and facts.served_apis is not None:
        all_served: Collection[str] = facts.served_apis
    elif nodes_are_made:
        all_served = served
    else:
        return Counter(is_there=True, kai=asked_for)
    if KAI_QUEUE in all_served and KAI_TOPOLOGY in all_served:
        return Counter(is_there=True, kai=asked_for)
    if KAI_QUEUE in all_served:
        why_not = (
            "its KAI Scheduler is older than 0.12: it serves scheduling.run.ai/v2 and no kai.scheduler/v1alpha1, and"
            " does not let pods say whether they may be taken back"
        )
    else:
        why_not = "the cluster serves no scheduling.run.ai/v2: it has no KAI Scheduler, which `lending` names"
    return Counter(is_there=False, gap=why_not, kai=asked_for)
