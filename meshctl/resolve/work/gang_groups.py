"""Which workloads of a pool must find room together, also where far too many sets of jobs may run at the same time.
PURE.

Called by `meshctl.resolve.work.workloads`. Thirty jobs of which two each follow each other may run in 2^15 sets. Of so
many only some are looked at, the largest among them; a job that stands for all of a chain then shows whether all sets
fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from meshctl.model.deployment import Workload
from meshctl.model.keys import job_order

MOST_SETS: Final = 256

# What makes a set large, by each resource that pods share.
_SIZES: Final[tuple[Callable[[Workload], float], ...]] = (
    lambda workload: workload.accelerators * workload.pods,
    lambda workload: workload.cpu * workload.pods,
    lambda workload: workload.memory_gib * workload.pods,
    lambda workload: workload.staged_gib * workload.pods,
    lambda workload: workload.pods,
)


def at_once(members: list[Workload], all_workloads: Iterable[Workload]) -> Iterator[list[Workload]]:
    """The workloads of a pool that must find room together.

    A `batch` job ends, and what waits for its place then gets it: it is counted beside those that serve, which never
    end, and beside no other job. Training jobs of which one comes after another are never there together.
    """
    serving = [workload for workload in members if not workload.is_job]
    for group in _sets(_gangs(members), all_workloads) or [[]]:
        yield [workload for workload in members if workload in serving or workload in group]
    yield from ([*serving, workload] for workload in members if workload.kind == "batch")


def stand_ins(members: list[Workload], all_workloads: Iterable[Workload]) -> list[Workload]:
    """What takes at least the room of any set that may run at the same time, beside what serves: for each chain of jobs
    that follow each other, one with the most that any of them asks for. Nothing where `at_once` gives every set."""
    gangs, everything = _gangs(members), tuple(all_workloads)
    if len(job_order.at_the_same_time(gangs, everything, most=MOST_SETS + 1)) <= MOST_SETS:
        return []
    chains = job_order.chains(gangs, everything)
    return [*(workload for workload in members if not workload.is_job), *map(_largest_of, chains)]


def note(pool: str) -> str:
    """For a pool in which the stand-ins don't fit, and every set that was looked at does."""
    return (
        f"pool/{pool}: more than {MOST_SETS} sets of its training jobs may run at the same time; those that were looked"
        " at fit, and whether all of them do is not certain: counted as the larger of what follows each other, they"
        " need more than the pool has. A job without room waits until others have ended"
    )


def _gangs(members: Iterable[Workload]) -> list[Workload]:
    return [workload for workload in members if workload.kind == "training"]


def _sets(gangs: list[Workload], all_workloads: Iterable[Workload]) -> list[list[Workload]]:
    everything = tuple(all_workloads)
    sets = job_order.at_the_same_time(gangs, everything, most=MOST_SETS + 1)
    if len(sets) <= MOST_SETS:
        return sets
    large = [job_order.greedy_set(sorted(gangs, key=lambda each: -size(each)), everything) for size in _SIZES]
    return [*large, *sets[:MOST_SETS]]


def _largest_of(chain: list[Workload]) -> Workload:
    most = {key: max(getattr(each, key) for each in chain) for key in ("replicas", "accelerators", "cpu")}
    most |= {key: max(getattr(each, key) for each in chain) for key in ("memory_gib", "staged_gib")}
    return chain[0].model_copy(update=most)
