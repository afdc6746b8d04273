"""Capacity reservations and capacity blocks: what AWS is asked about them, and what its answers mean. PURE.

Called by `preflight`. A reservation says where its pool goes. A scheduled one is no mistake: its pool has no nodes
before its start. Of pools that are up, blocks alone are asked about in each run: they end, and may be extended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import AwareDatetime, TypeAdapter

from meshctl.model.deployment import Gap, Pool, ReservedCapacity, utc_text
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings
from meshctl.platforms.aws.preflight.change import Change

_UNKNOWN: Final = "InvalidCapacityReservationId"
_CORRECT: Final = (
    "correct `capacity` in environments.yaml: `aws ec2 describe-capacity-reservations` lists what there is"
)
# EC2 begins to end the instances of a block 30 minutes before its end (EC2 user guide, "Capacity Blocks for ML"), and
# a cluster with its first nodes takes about as long to come up.
_TOO_LATE_S: Final = 3600
# EC2 takes the machines of a block back so long before its end. Of UltraServers, an hour ("Capacity Blocks for ML" of
# the EC2 user guide; dev.classmethod.jp, "Instance CB vs UltraServer CB", 2026-02-08).
_NOTICE_MINUTES: Final = 30
_ULTRASERVER_NOTICE_MINUTES: Final = 60
_ULTRASERVERS: Final = ("p6e-", "trn2u.")
_MARGIN_S: Final = 300  # until the pod that asks for it runs
_LINUX: Final = "Linux/UNIX"
_OVER: Final = ("expired", "cancelled")
_MOMENT: Final = TypeAdapter(AwareDatetime)  # of RFC 3339


@dataclass(frozen=True)
class _Use:
    """How pools use one reservation: `nodes` of one machine type are to run in it, of which `more` are not up yet."""

    reservation: str
    pools: tuple[Pool, ...]
    nodes: int
    more: int
    adds: bool  # whether the run makes one of the pools, or gives it more nodes

    @property
    def names(self) -> str:
        return ", ".join(pool.name for pool in self.pools)

    @property
    def words(self) -> str:
        number = f"{self.nodes}" if self.more == self.nodes else f"{self.more} more"
        return f"{number} x {self.pools[0].machine} for {'pools' if len(self.pools) > 1 else 'pool'} {self.names}"


@dataclass(frozen=True)
class _Reservation:
    """As EC2 describes it. `state`: active, scheduled, expired, cancelled and others. `kind`: its ReservationType, ""
    where the answer names none. `placement_group`: the name of the one that it is for, "" for none."""

    state: str
    machine: str
    zone: str
    kind: str
    operating_system: str
    total: int
    free: int
    starts: AwareDatetime | None
    ends: AwareDatetime | None
    placement_group: str

    @property
    def begins(self) -> AwareDatetime | None:
        """When, where that is yet to come."""
        return self.starts if self.state == "scheduled" else None


def _reservation(answer: ApiAnswer) -> _Reservation | None:
    """None where there is none."""
    described = next(iter(answer.content.get("CapacityReservations", ())), None)
    if described is None:
        return None
    total = described.get("TotalInstanceCount", 0)
    return _Reservation(
        state=described["State"],
        machine=described["InstanceType"],
        zone=described.get("AvailabilityZone", ""),
        kind=described.get("ReservationType", ""),
        operating_system=described.get("InstancePlatform", _LINUX),
        total=total,
        free=described.get("AvailableInstanceCount", total),
        starts=described.get("StartDate"),
        ends=described.get("EndDate"),
        placement_group=str(described.get("PlacementGroupArn", "")).rpartition("/")[2],
    )


def questions(change: Change) -> Iterator[ApiQuestion]:
    for use in _uses(change):
        yield ApiQuestion(
            use.reservation,
            "ec2",
            "describe_capacity_reservations",
            f"the capacity reservation {use.reservation}",
            {"CapacityReservationIds": [use.reservation]},
            telling_codes=(_UNKNOWN,),
        )


def is_answered(pool: Pool, answers: Mapping[str, ApiAnswer]) -> bool:
    """Whether AWS has said where the pool's reservation is, or that there is none."""
    answer = answers.get(pool.reservation) if pool.reservation else None
    return answer is not None and (not answer.is_refused or answer.code.startswith(_UNKNOWN))


def findings(change: Change, answers: Mapping[str, ApiAnswer]) -> Findings:
    made = Findings()
    for use in _uses(change):
        if is_answered(use.pools[0], answers):
            made |= _of_reservation(change, use, answers[use.reservation])
    return made


def _uses(change: Change) -> Iterator[_Use]:
    added = {pool.reservation for pool in (*change.new_pools, *change.growing_pools) if pool.reservation}
    blocks = {pool.reservation for pool in change.wanted.pools if pool.market == "capacity-block"}
    for reservation in sorted(added | blocks):
        pools = tuple(pool for pool in change.wanted.pools if pool.reservation == reservation)
        more = sum(max(change.more_nodes(pool), 0) for pool in pools)
        yield _Use(reservation, pools, sum(pool.nodes for pool in pools), more, adds=reservation in added)


def _of_reservation(change: Change, use: _Use, answer: ApiAnswer) -> Findings:
    subject = f"capacity/{use.reservation}"
    reservation = _reservation(answer)
    best = "it does not exist" if reservation is None else _unfit(use, reservation, answer)
    if not use.adds and _is_over(change, use, reservation, answer):
        return _after_the_end(change, use, reservation, best)
    reserved: dict[str, ReservedCapacity] = {}
    if reservation is not None:
        reserved = {pool.name: _reserved(change, pool, reservation, answer) for pool in use.pools}
    if best and not use.adds:
        return Findings(notes=(f"{use.reservation} of pool {use.names}, which is up: {best}",), reserved=reserved)
    if reservation is None or best:
        return Findings(gaps=(Gap(subject=subject, wanted=use.words, best=best, hint=_CORRECT),))
    if reservation.zone not in change.zones and use.adds:
        hint = f"add {reservation.zone} to the environment's `zones`"
        wanted = f"nodes of pool {use.pools[0].name} in {reservation.zone}"
        return Findings(gaps=(Gap(subject=subject, wanted=wanted, best="no subnet there", hint=hint),))
    new = [pool for pool in use.pools if pool in change.new_pools]
    return Findings(
        zones={pool.name: (reservation.zone,) for pool in new},
        notes=tuple(_notes(change, use, reservation, answer)),
        reserved=reserved,
    )


def _is_over(change: Change, use: _Use, reservation: _Reservation | None, answer: ApiAnswer) -> bool:
    """Whether EC2 takes the machines of a block back, or has. One that ended long ago is described no more; one whose
    end nobody knows keeps its nodes, since they may run."""
    if use.pools[0].market != "capacity-block":
        return False
    if reservation is None:
        before = change.in_place.pool(use.pools[0].name)
        ends = before.ends if before is not None else ""
        return bool(ends) and answer.seconds_until(_MOMENT.validate_python(ends)) <= 0
    if reservation.state in _OVER:
        return True
    end = reservation.ends
    return end is not None and answer.seconds_until(end) <= 60 * _notice_minutes(reservation.machine)


def _after_the_end(change: Change, use: _Use, reservation: _Reservation | None, best: str) -> Findings:
    """Nothing can run in the block, so its pools have no nodes from now on, and the run goes on with all else."""
    end = reservation.ends if reservation is not None else None
    reserved = {}
    for pool in use.pools:
        before = change.in_place.pool(pool.name)
        ends = _rfc_3339(end) if end is not None else before.ends if before is not None else ""
        reserved[pool.name] = ReservedCapacity(ends=ends, has_ended=True)
    note = (
        f"{use.reservation} of pool {use.names}, which is up: {best or 'it ends'}, so the pool has no nodes from now"
        " on, and what ran on them waits: name another block, or take the pool out of the mesh"
    )
    return Findings(notes=(note,), reserved=reserved)


def _reserved(change: Change, pool: Pool, reservation: _Reservation, answer: ApiAnswer) -> ReservedCapacity:
    end = reservation.ends
    return ReservedCapacity(
        starts=_rfc_3339(reservation.begins),
        ends=_rfc_3339(end),
        saves_at=_saves_at(change, pool, end, answer) if end is not None else "",
        placement_group=reservation.placement_group,
    )


def _unfit(use: _Use, reservation: _Reservation, answer: ApiAnswer) -> str:
    """Why the pools can't use the reservation; "" if they can."""
    end, total = reservation.ends, reservation.total
    if reservation.machine != use.pools[0].machine:
        return f"it is for {reservation.machine}"
    if other_kind := _other_kind(use, reservation):
        return other_kind
    if reservation.operating_system != _LINUX:  # such as "Linux with SQL Server Web"
        return f"it is for {reservation.operating_system}"
    if reservation.state not in ("active", "scheduled"):
        return f"it is {reservation.state}"
    if end is not None and answer.seconds_until(end) < _TOO_LATE_S:
        return f"it ends at {_time(end)}"
    free = reservation.free if reservation.state == "active" else total
    if total < use.nodes:
        return f"it has {total}"
    return f"{free} of its {total} {'is' if free == 1 else 'are'} free" if free < use.more else ""


def _other_kind(use: _Use, reservation: _Reservation) -> str:
    """EC2 launches into a block by another market type than into other reservations: with the wrong one nothing starts
    (InvalidParameterCombination). "" where the kinds agree, or the answer names none."""
    is_block = reservation.kind == "capacity-block"
    wants_block = use.pools[0].market == "capacity-block"
    if not reservation.kind or is_block == wants_block:
        return ""
    kind, key = ("a capacity block", "blocks") if is_block else ("no capacity block", "reservations")
    return f"it is {kind}, and belongs under `capacity.{key}`"


def _saves_at(change: Change, pool: Pool, end: AwareDatetime, answer: ApiAnswer) -> str:
    """When training in a block has to begin to save; "" where none is there that does, and where it is too late."""
    works = [each for each in change.wanted.workloads if each.pool == pool.name]
    graces_s = [each.checkpoint.grace_s for each in works if each.is_job and each.checkpoint is not None]
    if pool.market != "capacity-block" or not graces_s:
        return ""
    before_s = 60 * _notice_minutes(pool.machine) + max(graces_s) + _MARGIN_S
    if answer.seconds_until(end) < before_s:
        return ""
    return _rfc_3339(end.fromtimestamp(end.timestamp() - before_s, end.tzinfo))


def _notice_minutes(machine: str) -> int:
    return _ULTRASERVER_NOTICE_MINUTES if machine.startswith(_ULTRASERVERS) else _NOTICE_MINUTES


def _notes(change: Change, use: _Use, reservation: _Reservation, answer: ApiAnswer) -> Iterator[str]:
    start, end = reservation.begins, reservation.ends
    what = f"{reservation.total} x {reservation.machine} in {reservation.zone}"
    if start is not None:
        period = f" from {_time(start)} to {_time(end)}" if end else f" from {_time(start)}"
        yield (
            f"{use.reservation} is scheduled ({what}{period}): pool {use.names} starts {_time(start)}, with 0 nodes"
            f" until then; `meshctl up {change.wanted.environment}` after that brings its nodes up, and with"
            " --wait-for-capacity it waits for the start"
        )
    elif end is not None and use.pools[0].market == "capacity-block":
        yield (
            f"{use.reservation} is active ({what}) until {_time(end)}: EC2 begins to end the nodes of pool {use.names}"
            f" {_notice_minutes(reservation.machine)} minutes before"
        )
        saves_at = {pool.name: _saves_at(change, pool, end, answer) for pool in use.pools}
        yield from (
            f"pool {name}: its training saves from {utc_text(moment)} on, as its Jobs are suspended then; the next `up`"
            " starts them again"
            for name, moment in saves_at.items()
            if moment
        )
    elif end is not None:
        yield f"{use.reservation} is active ({what}) until {_time(end)}: from then on its machines may not be replaced"


def _time(moment: AwareDatetime) -> str:
    """The moment in words. EC2 gives times in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _rfc_3339(moment: AwareDatetime | None) -> str:
    """Of a date as EC2 gives it, which is in UTC; "" of none."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment is not None else ""
