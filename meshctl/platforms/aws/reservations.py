"""Capacity reservations and capacity blocks: what AWS is asked about them, and what its answers mean. PURE.

Called by `preflight`. A reservation says where its pool goes. A scheduled one is no mistake: its instances are there
from its start on, which a note tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.model.deployment import Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings
from meshctl.platforms.aws.change import Change

_UNKNOWN: Final = "InvalidCapacityReservationId"
_CORRECT: Final = (
    "correct `capacity` in environments.yaml: `aws ec2 describe-capacity-reservations` lists what there is"
)
# EC2 begins to end the instances of a block 30 minutes before its end (EC2 user guide, "Capacity Blocks for ML"), and
# a cluster with its first nodes takes about as long to come up.
_TOO_LATE_S: Final = 3600
_LINUX: Final = "Linux/UNIX"


@dataclass(frozen=True)
class _Use:
    """How pools use one reservation: `nodes` of one machine type are to run in it, of which `more` are not up yet."""

    reservation: str
    pools: tuple[Pool, ...]
    nodes: int
    more: int

    @property
    def words(self) -> str:
        number = f"{self.nodes}" if self.more == self.nodes else f"{self.more} more"
        names = ", ".join(pool.name for pool in self.pools)
        return f"{number} x {self.pools[0].machine} for {'pools' if len(self.pools) > 1 else 'pool'} {names}"


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
    reservations = {pool.reservation for pool in (*change.new_pools, *change.growing_pools) if pool.reservation}
    for reservation in sorted(reservations):
        pools = tuple(pool for pool in change.wanted.pools if pool.reservation == reservation)
        more = sum(max(change.more_nodes(pool), 0) for pool in pools)
        yield _Use(reservation, pools, sum(pool.nodes for pool in pools), more)


def _of_reservation(change: Change, use: _Use, answer: ApiAnswer) -> Findings:
    subject = f"capacity/{use.reservation}"
    described = next(iter(answer.content.get("CapacityReservations", ())), None)
    best = "it does not exist" if described is None else _unfit(use, described, answer)
    if described is None or best:
        return Findings(gaps=(Gap(subject=subject, wanted=use.words, best=best, hint=_CORRECT),))
    zone = described["AvailabilityZone"]
    if zone not in change.zones:
        hint = f"add {zone} to the environment's `zones`"
        wanted = f"nodes of pool {use.pools[0].name} in {zone}"
        return Findings(gaps=(Gap(subject=subject, wanted=wanted, best="no subnet there", hint=hint),))
    new = [pool for pool in use.pools if pool in change.new_pools]
    return Findings(zones={pool.name: (zone,) for pool in new}, notes=tuple(_notes(use, described)))


def _unfit(use: _Use, described: Mapping[str, Any], answer: ApiAnswer) -> str:
    """Why the pools can't use the reservation; "" if they can."""
    state, end = described["State"], described.get("EndDate")
    if described["InstanceType"] != use.pools[0].machine:
        return f"it is for {described['InstanceType']}"
    if not described.get("InstancePlatform", _LINUX).startswith("Linux"):
        return f"it is for {described['InstancePlatform']}"
    if state not in ("active", "scheduled"):
        return f"it is {state}"
    if end is not None and answer.seconds_until(end) < _TOO_LATE_S:
        return f"it ends at {_time(end)}"
    total = described["TotalInstanceCount"]
    free = described.get("AvailableInstanceCount", total) if state == "active" else total
    if total < use.nodes:
        return f"it has {total}"
    return f"{free} of its {total} {'is' if free == 1 else 'are'} free" if free < use.more else ""


def _notes(use: _Use, described: Mapping[str, Any]) -> Iterator[str]:
    start, end, state = described.get("StartDate"), described.get("EndDate"), described["State"]
    what = f"{described['TotalInstanceCount']} x {described['InstanceType']} in {described['AvailabilityZone']}"
    pools = ", ".join(pool.name for pool in use.pools)
    if state == "scheduled":
        period = f" from {_time(start)} to {_time(end)}" if start and end else ""
        yield f"{use.reservation} is scheduled ({what}{period}): no node of pool {pools} can start before it begins"
    elif end is not None:
        yield (
            f"{use.reservation} is active ({what}) until {_time(end)}: EC2 begins to end the nodes of pool {pools} 30"
            " minutes before"
        )


def _time(moment: Any) -> str:
    """The moment in words. EC2 gives times in UTC."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"
