"""How fast a workload's storage gives and takes bytes, as far as anybody knows. PURE.

Called by `inference` (weights) and `training` (checkpoints). What `bench` has measured of one client comes first, for
as many clients as there are nodes, then what a service sells or its nodes are known to give; where neither is known
there is no expectation. A throughput that the mesh asks of a storage class is a wish: nobody sells it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from meshctl.advise import edits
from meshctl.advise.figures import Change
from meshctl.advise.human import amount
from meshctl.advise.situation import Situation, best_of_newest, origin
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, FileSystem
from meshctl.render import benchmarks
from meshctl.words import pluralize

Direction = Literal["read", "write"]

_MB: Final = 1e6
_GB: Final = 1e9
_NEURAL_MESH: Final = "neuralmesh"
TOLERATED: Final = 0.9  # a rate below this part of what is expected is too little


@dataclass(frozen=True, slots=True)
class Rate:
    """Of all clients together."""

    bytes_per_s: float
    basis: str


def rate(situation: Situation, name: str, direction: Direction) -> Rate | None:
    """None where nothing is known."""
    most = sold(situation.deployment, name, direction)
    measured = best_of_newest(situation.measured(f"{direction} throughput", f"storage/{name}"))
    return most if measured is None else _of_clients(measured, direction, situation.nodes, most)


def _of_clients(measured: Result, direction: str, nodes: int, most: Rate | None) -> Rate:
    """fio measures one client: each node is one, and together they get no more than what was bought."""
    together = measured.value * _MB * nodes
    basis = (
        f"{direction} measured by one client ({amount(measured.value)} MB/s: {origin(measured)}),"
        f" {pluralize(nodes, 'node')} as fast as that"
    )
    if most is not None and most.bytes_per_s < together:
        return Rate(most.bytes_per_s, f"{basis}, but no more than was bought: {most.basis}")
    return Rate(together, basis)


def sold(deployment: Deployment, name: str, direction: Direction) -> Rate | None:
    """What a file system is made to give: what its service sells, a burst above it not counted on, or what its nodes
    are known to give together. None where nobody promises anything."""
    system = _system(deployment, name)
    if system is not None and system.per_unit_throughput:
        rate_mbps = system.per_unit_throughput * system.size_gib / 1024
        return Rate(
            rate_mbps * _MB, f"{system.service}: {system.per_unit_throughput} MB/s per TiB of {system.size_gib} GiB"
        )
    weka = deployment.neural_mesh
    if system is None or weka is None or system.service != _NEURAL_MESH or weka.joined is not None:
        return None
    rate_mbps = weka.read_mbps if direction == "read" else weka.write_mbps
    basis = f"{_NEURAL_MESH}: in proportion to published measurements, {pluralize(weka.nodes, 'node')} of {weka.pool}"
    return Rate(rate_mbps * _MB, basis) if rate_mbps else None


def expected(deployment: Deployment, name: str, direction: Direction) -> Rate | None:
    """By which a measurement is judged: what is sold, else what the mesh asks for."""
    promised, system = sold(deployment, name, direction), _system(deployment, name)
    if promised is not None or system is None or not system.throughput_mbps:
        return promised
    return Rate(system.throughput_mbps * _MB, f"throughput of storage {name} in the mesh, which its service only tries")


def _system(deployment: Deployment, name: str) -> FileSystem | None:
    return next((each for each in deployment.file_systems if each.name == name), None)


def clients(deployment: Deployment, name: str) -> int:
    """The nodes whose pods mount it."""
    pools = {each.pool for each in deployment.workloads if any(mount.storage == name for mount in each.mounts)}
    return sum(pool.nodes for pool in deployment.pools if pool.name in pools)


def unknown(situation: Situation, name: str) -> str:
    """With the command that would make it known: `bench` can measure what some workload writes to."""
    deployment = situation.deployment
    system, environment, subject = _system(deployment, name), deployment.environment, f"storage/{name}"
    is_measurable = system is not None or any(each.name == name for each in deployment.object_stores)
    command = (
        f"`meshctl bench {environment} --what storage --of {subject}` measures it"
        if is_measurable and benchmarks.writers(deployment, name)
        else f"`meshctl bench {environment} --from FILE --of {subject}` reads what fio has measured on its mount"
    )
    wished_mbps = system.throughput_mbps if system is not None else 0
    wish = f" (its service only tries to give the {amount(wished_mbps)} MB/s of the mesh)" if wished_mbps else ""
    return f"no expectation known for storage {name}{wish}; {command}"


def repaired(situation: Situation, name: str, direction: Direction, took_s: float) -> Change | None:
    """What is expected, where its clients were measured to get less of it together: there is nothing to buy. `took_s`:
    what a transfer takes as it was measured."""
    deployment, system = situation.deployment, _system(situation.deployment, name)
    most, is_sold = expected(deployment, name, direction), sold(deployment, name, direction) is not None
    if system is not None and system.service == _NEURAL_MESH and not is_sold:
        return None  # what is too little for the mesh may be all that its nodes can give
    measured = best_of_newest(situation.measured(f"{direction} throughput", f"storage/{name}"))
    if most is None or measured is None:
        return None
    share = measured.value * _MB * situation.nodes / most.bytes_per_s
    if share >= TOLERATED:
        return None
    whole = "what was bought of" if is_sold else "what the mesh asks of"
    way = "nothing to buy: the options" if is_sold else "another storage class, or the options"
    return Change(
        what=f"{whole} storage {name}, of which {pluralize(situation.nodes, 'node')} get {share:.0%}",
        effect=f"the same in {took_s * share:,.0f} instead of {took_s:,.0f} s",
        gain=1 / share - 1,
        usd_per_hour=0 if is_sold else None,
        how=f"{way} of its mount, the network of the nodes, and who else uses it; {most.basis}",
    )


def faster(situation: Situation, name: str, write_s: float, share_of_time: float) -> Change | None:
    """The smallest step of a file system's write throughput that can be bought; None where nobody sells one. `write_s`:
    how long a checkpoint takes now, which is `share_of_time` of all time."""
    system = _system(situation.deployment, name)
    if system is None or system.is_adopted or situation.declared is None:
        return None
    if system.service == _NEURAL_MESH:
        return _one_more_storage_node(situation, name, write_s, share_of_time)
    return _next_tier(situation, name, write_s, share_of_time) if system.per_unit_throughput else None


def _next_tier(situation: Situation, name: str, write_s: float, share_of_time: float) -> Change | None:
    now, declared = sold(situation.deployment, name, "write"), situation.declared
    if now is None or declared is None:
        return None
    written = (edits.throughput(name, 2 * now.bytes_per_s / _MB),)
    changed = situation.with_edits(written)
    then = sold(changed, name, "write") if changed is not None else None
    if changed is None or then is None:
        return None
    return Change(
        what=f"more throughput of storage {name}",
        effect=_effect(now.bytes_per_s, then.bytes_per_s, write_s),
        gain=share_of_time * (1 - now.bytes_per_s / then.bytes_per_s),
        usd_per_hour=situation.more_usd_per_hour(changed),
        how=edits.lines(written),
        plan="in place",
    )


def _one_more_storage_node(situation: Situation, name: str, write_s: float, share_of_time: float) -> Change | None:
    """Its throughput grows with its nodes (docs.weka.io), and so does that of a measured one, as far as is known."""
    weka, declared = situation.deployment.neural_mesh, situation.declared
    current = rate(situation, name, "write")
    if weka is None or weka.joined is not None or declared is None or current is None:
        return None
    written = (edits.pool_nodes(declared.mesh, weka.pool, weka.nodes + 1),)
    changed = situation.with_edits(written)
    if situation.makes_nodes and changed is None:
        return None
    factor = (weka.nodes + 1) / weka.nodes
    return Change(
        what="+1 storage node",
        effect=_effect(current.bytes_per_s, current.bytes_per_s * factor, write_s),
        gain=share_of_time * (1 - 1 / factor),
        usd_per_hour=situation.more_usd_per_hour(changed) if changed is not None else None,
        how=edits.lines(written),
        plan="in place",
        caution="WEKA's licence is not in the price",
    )


def _effect(now: float, then: float, write_s: float) -> str:
    """`now`, `then`: bytes per second."""
    then_s = write_s * now / then
    return f"{now / _GB:.3g} -> {then / _GB:.3g} GB/s, a checkpoint in {then_s:,.0f} instead of {write_s:,.0f} s"
