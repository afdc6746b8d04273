"""Which jobs are counted together where far too many sets of them may run at the same time."""

from __future__ import annotations

from typing import Any

from meshctl.model.deployment import Workload
from meshctl.resolve.work import gang_groups
from tests.unit.resolve.meshes import AWS, gap, resolved


def job(nodes: int, *after: str, **resources: Any) -> dict[str, Any]:
    workload = {"kind": "training", "pool": "p", "image": "i", "nodes": nodes, "resources": resources}
    return {**workload, "after": list(after)} if after else workload


def pairs(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Thirty jobs: two each that follow each other, of which 2^15 sets may run at the same time."""
    workloads = {}
    for number in range(15):
        workloads[f"pre{number:02}"] = first
        workloads[f"tune{number:02}"] = {**second, "after": [f"pre{number:02}"]}
    return workloads


def pool(nodes: int) -> dict[str, Any]:
    return {"p": {"nodes": nodes, "accelerator": {"model": "H100", "count": 8}}}


def test_thirty_jobs_that_fit_in_every_set_are_taken_without_a_word() -> None:
    answer = resolved(pool(15), AWS, workloads=pairs(job(1, accelerators=2), job(1, accelerators=8)))
    assert answer.deployment is not None
    assert not [note for note in answer.notes if "at the same time" in note]


def test_thirty_jobs_of_which_the_largest_set_does_not_fit_are_refused_for_that_set() -> None:
    answer = resolved(pool(14), AWS, workloads=pairs(job(1, accelerators=2), job(1, accelerators=8)))
    names = " and ".join(f"tune{number:02}" for number in range(15))
    assert gap(answer, "pool/p").wanted == f"120 accelerators for {names} together"


def test_what_is_in_doubt_is_taken_with_a_note() -> None:
    """One job of each pair at a time has room, and none of both sizes at once: two nodes, all GPUs of each."""
    answer = resolved(pool(16), AWS, workloads=pairs(job(1, accelerators=8), job(2, accelerators=1)))
    assert answer.deployment is not None
    (note,) = [note for note in answer.notes if "at the same time" in note]
    assert note == (
        "pool/p: more than 256 sets of its training jobs may run at the same time; those that were looked at fit, and "
        "whether all of them do is not certain: counted as the larger of what follows each other, they need more than "
        "the pool has. A job without room waits until others have ended"
    )


def gang(name: str, *after: str) -> Workload:
    return Workload(name=name, kind="training", pool="p", replicas=1, image="i", accelerators=8, after=after)


def test_few_sets_are_all_looked_at() -> None:
    jobs = [gang("first"), gang("second", "first"), gang("third")]
    assert gang_groups.stand_ins(jobs, jobs) == []
    listed = [[each.name for each in group] for group in gang_groups.at_once(jobs, jobs)]
    assert listed == [["first", "third"], ["second", "third"]]
