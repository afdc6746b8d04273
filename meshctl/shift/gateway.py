"""What a shift needs of the cluster, as a protocol: `cluster_gateway` implements it, and tests do so in memory. PURE.

Nodes and pods are the API's own objects, since labels and taints are to be put back exactly as they were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple, Protocol

Node = Mapping[str, Any]
Pod = Mapping[str, Any]
Patch = Mapping[str, Any]

FIELD_MANAGER: Final = "meshctl-shift"  # under which name nodes and Jobs are changed, in their managedFields
GONE: Final = "gone"  # what `evict` says of a pod that is no longer there


class Gang(NamedTuple):
    """The Job of an elastic gang: how many ranks it has, whether it stands still, whether its work is over."""

    nodes: int
    is_suspended: bool
    has_ended: bool


class Budget(NamedTuple):
    """A disruption budget: the labels of its pods, how many pods it counts and how many of them it needs."""

    selector: Mapping[str, str]
    pods: int
    needed: int


class Gateway(Protocol):
    """All but `now` and `sleep` raise CredentialsError, UnreachableError, BusyError and MeshError."""

    def nodes(self) -> list[Node]:
        """All nodes of the cluster."""

    def nodes_named(self, names: Iterable[str]) -> list[Node]:
        """Those of them that are in the cluster."""

    def node(self, name: str) -> Node | None:
        """None where it is no longer in the cluster."""

    def patch_node(self, name: str, patch: Patch) -> bool:
        """False where somebody else has changed the node since the patch was made: nothing was done."""

    def pods_on(self, nodes: Iterable[str]) -> list[Pod]:
        """Those of all namespaces."""

    def pods_of_mesh(self) -> list[Pod]:
        """Those in the mesh's namespace."""

    def evict(self, namespace: str, name: str, uid: str, *, dry_run: bool = False) -> str:
        """Asks for the end of a pod by the Eviction API. "" where it was accepted, `GONE`, or why it is refused now."""

    def budgets(self) -> list[Budget]:
        """The disruption budgets in the mesh's namespace that choose pods by labels alone; none where they may not be
        read."""

    def suspend(self, job: str, *, suspended: bool) -> bool:
        """Stops or starts a Job. False where there is none of that name, and where the last `up` has paused the one
        that is to be started."""

    def gang(self, job: str) -> Gang | None:
        """None where there is no such Job."""

    def resize(self, job: str, nodes: int) -> None:
        """Gives the Job of an elastic gang, which has no pods then, so many ranks, and starts it unless the last `up`
        has paused it."""

    def changed_by(self, workloads: Collection[str] | None = None) -> str:
        """Who is changing the environment now (an `up`, a roll-out of these workloads or of any), in words; "" for
        nobody. Takes some seconds where a controller has not seen a change yet."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def sleep(self, seconds: float) -> None: ...
