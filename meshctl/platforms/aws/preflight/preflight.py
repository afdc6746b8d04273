"""What AWS is asked before anything is made, and what its answers mean: zones, quotas, reservations. PURE.

Part of the platform (`meshctl.platforms.aws`). Only what a run would add is asked about: a plan without changes asks
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from meshctl.model.deployment import Gap, Pool
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion, Findings
from meshctl.platforms.aws import equal_machines
from meshctl.platforms.aws.iam import access, bucket_rights, caller, rights
from meshctl.platforms.aws.pools import too_spread
from meshctl.platforms.aws.preflight import (
    account,
    cluster_versions,
    counts,
    dry_runs,
    network_plugin,
    reservations,
    vcpu_room,
)
from meshctl.platforms.aws.preflight.change import Change

__all__ = ["Change", "findings", "questions"]


def questions(change: Change) -> tuple[ApiQuestion, ...]:
    about_resources = tuple(_questions(change))
    if about_resources:
        return (caller.question(partial(rights.questions, change)), *about_resources)
    return (caller.question(),) if access.needs_caller(change) else ()


def _questions(change: Change) -> Iterator[ApiQuestion]:
    types = sorted({name for pool in change.new_pools for name in (pool.machine, *_equal(change, pool))})
    if types:
        filters = [{"Name": "instance-type", "Values": types}]
        yield ApiQuestion(
            "offerings",
            "ec2",
            "describe_instance_type_offerings",
            "which zones have which machines",
            {"LocationType": "availability-zone", "Filters": filters},
        )
    yield from reservations.questions(change)
    yield from account.questions(change)
    yield from network_plugin.questions(change)
    yield from cluster_versions.questions(change)
    yield from vcpu_room.questions(change)
    yield from counts.questions(change)
    yield from dry_runs.questions(change)


def _equal(change: Change, pool: Pool) -> tuple[str, ...]:
    return equal_machines.candidates(pool, change.wanted.workloads, change.machines)


def _equal_machines(change: Change, zones: Mapping[str, tuple[str, ...]], answer: ApiAnswer | None) -> Findings:
    """Of new pools, as far as all zones of theirs have them. `zones`: where they go instead of where they were put."""
    if answer is None or answer.is_refused:
        return Findings()
    offerings = answer.content.get("InstanceTypeOfferings", [])
    listed = {
        pool.name: equal_machines.offered(_equal(change, pool), zones.get(pool.name, pool.zones), offerings)
        for pool in change.new_pools
    }
    notes = (
        f"pool {pool.name}: where EC2 has no {pool.machine}, its nodes are {' or '.join(listed[pool.name])},"
        " of the same shape"
        for pool in change.new_pools
        if listed[pool.name]
    )
    return Findings(notes=tuple(notes), equal_machines={name: each for name, each in listed.items() if each})


def findings(change: Change, answers: Mapping[str, ApiAnswer]) -> Findings:
    reserved = reservations.findings(change, answers)
    zones: dict[str, tuple[str, ...]] = dict(reserved.zones)
    gaps: list[Gap] = []
    for pool in change.new_pools:
        is_placed = reservations.is_answered(pool, answers)
        if not is_placed and "offerings" in answers and not answers["offerings"].is_refused:
            gaps += _zone_gaps(change, pool, answers["offerings"], zones)
    notes = [*vcpu_room.notes(change, answers), *vcpu_room.unasked(change)]
    notes += cluster_versions.notes(change, answers)
    gaps += vcpu_room.gaps(change, answers)
    gaps += counts.gaps(change, answers)
    gaps += network_plugin.gaps(change, answers)
    gaps += cluster_versions.gaps(change, answers)
    gaps += bucket_rights.gaps(change.wanted)
    gaps += [
        gap for pool in Findings(zones).placed(change.wanted).pools if pool.name in zones for gap in too_spread(pool)
    ]
    made = (
        reserved
        | account.findings(change, answers)
        | access.findings(change, answers)
        | _of_policies(change, answers)
        | Findings(zones, _with_their_pools(change, zones), tuple(gaps), tuple(notes))
        | _equal_machines(change, zones, answers.get("offerings"))
    )
    return made | Findings(notes=tuple(_unasked(change, answers)))


def _of_policies(change: Change, answers: Mapping[str, ApiAnswer]) -> Findings:
    """What the policies of account and organization let the caller do, as IAM simulates them and EC2 tries them."""
    who = caller.of_answers(answers)
    by_rights = rights.findings(change, who, answers, dry_runs.allowed(answers))
    return by_rights | dry_runs.findings(change, who, answers, by_rights)


def _with_their_pools(change: Change, zones: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """Zones of new file systems that lie in one zone, which was chosen to be that of a pool that now goes elsewhere."""
    if change.in_place.pools:
        return {}
    moved = {
        pool.zones[0]: zones[pool.name][0] for pool in change.new_pools if pool.name in zones and len(pool.zones) == 1
    }
    systems = change.wanted.file_systems
    return {system.name: moved[system.zone] for system in systems if system.zone in moved}


def _zone_gaps(change: Change, pool: Pool, answer: ApiAnswer, zones: dict[str, tuple[str, ...]]) -> Iterator[Gap]:
    """Puts the pool into zones that have its machine."""
    offerings = answer.content.get("InstanceTypeOfferings", [])
    offered = {each["Location"] for each in offerings if each["InstanceType"] == pool.machine}
    in_one_zone = len(pool.zones) == 1
    candidates = tuple(dict.fromkeys((*pool.zones, *change.zones)))
    fitting = tuple(zone for zone in candidates if zone in offered)
    if not fitting:
        yield _not_offered(change, pool, offered)
    elif in_one_zone and fitting[0] != pool.zones[0]:
        zones[pool.name] = fitting[:1]
    elif not in_one_zone and len(fitting) < len(pool.zones):
        zones[pool.name] = fitting


def _not_offered(change: Change, pool: Pool, offered: set[str]) -> Gap:
    region = change.wanted.region
    other_machines = "another accelerator or less of it in the pool, or another region"
    return Gap(
        subject=f"pool/{pool.name}",
        wanted=f"{pool.machine} in {' or '.join(change.zones)}",
        best=f"this account has it in {', '.join(sorted(offered))}" if offered else f"{region} does not have it",
        hint=f"add {sorted(offered)[0]} to the environment's `zones`" if offered else other_machines,
    )


def _unasked(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """What AWS did not say, with its code."""
    refused: dict[str, str] = {}
    for question in questions(change):
        answer = answers.get(question.name)
        if answer is not None and question.is_unanswered(answer):
            refused[question.about] = answer.code
    for about, code in refused.items():
        if code == NO_ANSWER:
            yield f"AWS did not say in time {about}: the run goes on without it"
        else:
            yield f"AWS was not asked about {about}: it refused the question ({code})"
