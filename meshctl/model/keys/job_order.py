"""The order of jobs: which jobs another one comes after, and what starts a job that is created suspended. PURE.

Read by `references` (what `after` may name), `resolve` (jobs that follow each other never hold nodes at the same time),
`render` (a held job is created suspended) and by all that say why a job waits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Deployment, Workload

JOB_KINDS: Final = ("training", "batch")  # kinds of workloads that run to an end of their own
ANNOTATION: Final = "meshctl.dev/after"  # the annotation of a held Job with the names of the jobs before it
QUEUE_LABEL: Final = "kueue.x-k8s.io/queue-name"

Problem = tuple[tuple[str | int, ...], str]


def unfinished(deployment: Deployment, workload: Workload) -> tuple[str, ...]:
    """The jobs that must end well before the workload starts. A job that has ended in another environment, or whose Job
    is gone since it ended, is not waited for: no Job here says that it has ended."""
    others = {other.name: other for other in deployment.workloads}
    return tuple(name for name in workload.after if name in others and not others[name].finished_in)


def is_held(deployment: Deployment, workload: Workload) -> bool:
    """Whether its Job is created suspended and another program starts it: its release, or Kueue."""
    return workload.is_job and workload.runs and bool(workload.queue or unfinished(deployment, workload))


def queue_of(workload: Workload) -> str:
    """The queue of Kueue that decides when the job starts: meshctl's own, or one that its labels name."""
    return workload.queue or workload.labels.get(QUEUE_LABEL, "")


def has_release(deployment: Deployment, workload: Workload) -> bool:
    """Whether a release in the cluster starts it, or hands it to Kueue, once the jobs before it have ended."""
    return workload.is_job and workload.runs and bool(unfinished(deployment, workload))


def at_the_same_time(
    members: Iterable[Workload], all_workloads: Iterable[Workload], *, most: int | None = None
) -> list[list[Workload]]:
    """All largest groups of the members that may run at the same time: no member of a group comes after another one,
    and no further member could be added. There may be exponentially many, so the search ends after `most` of them."""
    listed = list(members)
    beside = _beside(listed, all_workloads)
    groups = itertools.islice(_largest_groups(frozenset(), frozenset(beside), frozenset(), beside), most)
    ordered = [[workload for workload in listed if workload.name in group] for group in groups]
    return sorted(ordered, key=lambda group: [listed.index(workload) for workload in group])


def greedy_set(members: Iterable[Workload], all_workloads: Iterable[Workload]) -> list[Workload]:
    """One of the groups of `at_the_same_time`: the first member, and each further one that may run beside all so far.
    It is given in the order of their names."""
    listed = list(members)
    beside = _beside(listed, all_workloads)
    group: list[Workload] = []
    for workload in listed:
        if all(other.name in beside[workload.name] for other in group):
            group.append(workload)
    return sorted(group, key=lambda workload: workload.name)


def chains(members: Iterable[Workload], all_workloads: Iterable[Workload]) -> list[list[Workload]]:
    """The members in chains, each of which has at most one that runs at any time: each comes after the one before."""
    after = _after_of(all_workloads)
    listed = sorted(members, key=lambda workload: len(_all_before(workload.name, after)))
    all_chains: list[list[Workload]] = []
    for workload in listed:
        before = _all_before(workload.name, after)
        chain = next((chain for chain in all_chains if chain[-1].name in before), None)
        if chain is None:
            all_chains.append([workload])
        else:
            chain.append(workload)
    return all_chains


def _beside(listed: list[Workload], all_workloads: Iterable[Workload]) -> dict[str, frozenset[str]]:
    """For each member, the other members that may run at the same time."""
    after = _after_of(all_workloads)
    before = {workload.name: _all_before(workload.name, after) for workload in listed}
    return {
        name: frozenset(other for other in before if other not in before[name] | {name} and name not in before[other])
        for name in before
    }


def _largest_groups(
    group: frozenset[str], candidates: frozenset[str], done: frozenset[str], beside: Mapping[str, frozenset[str]]
) -> Iterator[frozenset[str]]:
    """The largest groups of jobs that may all run at the same time, by the algorithm of Bron and Kerbosch with a pivot.
    `group`: the jobs that all groups have; `candidates`: those that may join; `done`: those whose groups have been
    given already."""
    if not candidates:
        if group and not done:
            yield group
        return
    pivot = max(sorted(candidates | done), key=lambda name: len(beside[name] & candidates))
    for name in sorted(candidates - beside[pivot]):
        yield from _largest_groups(group | {name}, candidates & beside[name], done & beside[name], beside)
        candidates, done = candidates - {name}, done | {name}


def _after_of(workloads: Iterable[Workload]) -> dict[str, tuple[str, ...]]:
    return {workload.name: workload.after for workload in workloads}


def _all_before(name: str, after: Mapping[str, Iterable[str]]) -> set[str]:
    """The names of all that come before the job, directly or not."""
    before: set[str] = set()
    to_visit = list(after.get(name, ()))
    while to_visit:
        current = to_visit.pop()
        if current not in before:
            before.add(current)
            to_visit.extend(after.get(current, ()))
    return before


def problems(workloads: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What is wrong with `after` in a mesh as it is written; names of no workload are left to `references`."""
    after = {name: _names(workload.get("after")) for name, workload in workloads.items()}
    for name, workload in workloads.items():
        at: tuple[str | int, ...] = ("workloads", name, "after")
        kind = workload.get("kind")
        if after[name] and kind is not None and kind not in JOB_KINDS:
            yield (
                at,
                "only jobs (training, batch) come after others; leave it out, as what is no job starts at once",
            )
            continue
        for index, other in enumerate(after[name]):
            yield from _of_one(name, other, workloads, after, (*at, index))
            if other in after[name][:index]:
                yield (*at, index), f'"{other}" is named twice'


def _of_one(
    name: str,
    other: str,
    workloads: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, list[str]],
    at: tuple[str | int, ...],
) -> Iterator[Problem]:
    kind = workloads[other].get("kind") if other in workloads else None
    if other == name:
        yield at, "a job can't come after itself"
    elif kind is not None and kind not in JOB_KINDS:
        yield at, f'"{other}" is a {kind} workload, which never ends; only jobs (training, batch) can come before'
    elif name in _all_before(other, after):
        circle = " after ".join([name, *_path(other, name, after)])
        yield at, f"these jobs wait for each other, and none would ever start: {circle}"


def _path(start: str, end: str, after: Mapping[str, list[str]]) -> list[str]:
    """The names on the shortest way from `start` to `end`, both included."""
    paths = [[start]]
    seen = {start}
    for path in paths:
        if path[-1] == end:
            return path
        for name in after.get(path[-1], []):
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return [start, end]


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []
