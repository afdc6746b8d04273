"""Chooses a machine type from the catalog: what fits, best first, and why the rest does not. PURE.

Called by `meshctl.resolve.placement.pools` for the platforms that make nodes of machine types. The answer is remembered
by requirement, as large meshes ask the same question many times.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from meshctl.catalog import Catalog, ListPrice, Machine, vendors
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Market, Rejected
from meshctl.model.files import key_values
from meshctl.model.files.file_problems import suggestion
from meshctl.model.files.units import format_in_gib
from meshctl.platforms import registry
from meshctl.platforms.interface import Machines

# Catalog rows round GB labels to a tenth of a GiB; `80GB` must still fit an "80 GB" GPU.
_ROUNDING_GIB: Final = 0.06

_REGIONS_TOLD: Final = 4  # of those that have a machine which the environment's region lacks

# Contract rates: pairs of a machine type and USD per node and hour.
Rates = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a pool needs of one node. 0 and () mean "no requirement"; `gpus` without `models` means any model."""

    models: tuple[str, ...]
    gpus: int
    gpu_memory_gib: float
    cpu_cores: int
    memory_gib: float
    scratch_gb: float
    arch: str
    rdma: bool
    bandwidth_gbps: float
    placement: str
    market: Market
    rack_nodes: int  # how many nodes are asked for, which only machines sold in racks care about
    nvlink: bool = False  # between nodes
    share: str = ""  # the slice that counts as one accelerator; "" for whole ones

    @property
    def names(self) -> tuple[str, ...]:
        """The wanted models; where any will do, the empty name, which every accelerator answers to."""
        return self.models or (("",) if self.gpus else ())

    @property
    def accelerator(self) -> str:
        """`H100 or H200`, `any accelerator`."""
        return " or ".join(self.models) or "any accelerator"

    @property
    def accelerator_parts(self) -> list[str]:
        what = f"{self.gpus} x {self.accelerator}" if self.models else f"{self.gpus} accelerators of any model"
        if self.share:
            what = f"{self.gpus} x {self.share}" + (f" of {self.accelerator}" if self.models else "")
        parts = [what] if self.gpus else []
        return parts + ([f"{format_in_gib(self.gpu_memory_gib)} per GPU"] if self.gpu_memory_gib else [])

    @property
    def other_parts(self) -> list[str]:
        parts = [f"{self.cpu_cores} cores"] if self.cpu_cores else []
        parts += [f"{format_in_gib(self.memory_gib)} memory"] if self.memory_gib else []
        parts += [f"{self.scratch_gb:g} GB scratch"] if self.scratch_gb else []
        parts += ["RDMA"] if self.rdma else []
        parts += [f"{self.bandwidth_gbps:g} Gbit/s"] if self.bandwidth_gbps else []
        return [*parts, self.arch, self.market]

    def __str__(self) -> str:
        return ", ".join([*self.accelerator_parts, *self.other_parts])


@dataclass(frozen=True, slots=True)
class Choice:
    """`fitting` is best first. `best`, `hint`: the nearest machine and what to change, when nothing fits."""

    fitting: tuple[Machine, ...]
    rejected: tuple[Rejected, ...]
    best: str
    hint: str


def requirement_of(
    pool: mesh_model.Pool, accelerator: mesh_model.Accelerator | None, fabric: mesh_model.Fabric | None, market: Market
) -> Requirement:
    return Requirement(
        models=(accelerator.model or ()) if accelerator else (),
        gpus=accelerator.count if accelerator else 0,
        gpu_memory_gib=(accelerator.memory_gib or 0) if accelerator else 0,
        cpu_cores=pool.cpu.cores or 0,
        memory_gib=pool.cpu.memory_gib or 0,
        scratch_gb=pool.scratch_gb or 0,
        arch=pool.arch,
        rdma=fabric is not None and fabric.kind == "rdma",
        bandwidth_gbps=(fabric.bandwidth_gbps or 0) if fabric else 0,
        placement=fabric.placement if fabric else "any",
        market=market,
        rack_nodes=pool.nodes.min,
        nvlink=fabric is not None and fabric.nvlink is not None,
        share=(accelerator.share or "") if accelerator else "",
    )


def same_model(wanted: str, model: str, memory_gib: float) -> bool:
    """Whether an accelerator answers to a name.

    `H100`, `h100`, `NVIDIA H100` and `H100-80GB` name a catalog's `H100` of 80 GB and a node's `NVIDIA-H100-80GB-HBM3`
    (label nvidia.com/gpu.product): every word of the name must be a word of the model or its memory.
    """
    words = _words(model)
    if not words:
        return False
    sizes = {f"{round(memory_gib)}GB", f"{round(memory_gib * 2**30 / 1e9)}GB"} if memory_gib else set()
    return _words(wanted) <= words | sizes


@lru_cache(maxsize=4096)
def _words(model: str) -> frozenset[str]:
    return vendors.model_words(model) - key_values.MAKERS


@lru_cache(maxsize=8192)
def choose(catalog: Catalog, provider: str, region: str, requirement: Requirement, rates: Rates = ()) -> Choice:
    """Sort the provider's machines into those that fit, best first, and those that don't, with the reason.

    `rates`: contract rates by machine type. They decide the order, and nothing else: what doesn't fit is one shared
    value for all environments.
    """
    listed = _choose(catalog, provider, region, requirement)
    contract = dict(rates)
    if not any(machine.name in contract for machine in listed.fitting):
        return listed
    fitting = sorted(listed.fitting, key=lambda item: _rank(item, region, requirement, contract.get(item.name)))
    return replace(listed, fitting=tuple(fitting))


@lru_cache(maxsize=8192)
def _choose(catalog: Catalog, provider: str, region: str, requirement: Requirement) -> Choice:
    fitting: list[Machine] = []
    rejected: list[tuple[tuple[int, ...], Rejected]] = []
    for machine in catalog.machines[provider]:
        failures = _failures(machine, region, requirement)
        if failures:
            reason = "; ".join(failures.values())
            rejected.append((tuple(failures), Rejected(machine=machine.name, reason=reason)))
        else:
            fitting.append(machine)
    fitting.sort(key=lambda machine: _rank(machine, region, requirement))
    best, hint = ("", "") if fitting else _nearest(catalog.machines[provider], region, rejected, requirement)
    return Choice(tuple(fitting), tuple(row for _, row in rejected), best, hint)


def list_price(machine: Machine, market: Market, region: str) -> ListPrice | None:
    return machine.price(_billed(market), region)


def _billed(market: Market) -> Market:
    """Reserved capacity is billed at the on-demand rate unless there is a contract."""
    return "on-demand" if market == "reserved" else market


def _rank(
    machine: Machine, region: str, requirement: Requirement, rate: float | None = None
) -> tuple[int, bool, float, str]:
    """Sort key: the preferred model first, then the lowest known price. A price of another region is used for the
    order only and never shown. Tables of other regions have not all types, so that a type which is in one would go
    before cheaper ones which are not: they are not used for the order, and what is up stays what it is."""
    preference = next((i for i, wanted in enumerate(requirement.names) if _answers(machine, wanted)), 0)
    if rate is not None:
        return preference, False, rate, machine.name
    listed = machine.own_price(_billed(requirement.market), region)
    if listed is None and requirement.market == "capacity-block":  # sold in few regions, at much the same price
        listed = next((each for each in machine.prices if each.market == "capacity-block"), None)
    price = listed or next(iter(machine.prices), None)
    return preference, listed is None, price.usd_per_hour if price else float("inf"), machine.name


def _answers(machine: Machine, wanted: str) -> bool:
    return same_model(wanted, machine.gpu_model, machine.gpu_memory_gib)


def _offer(machine: Machine) -> Machines:
    offer = registry.platform(machine.provider).nodes.made_of
    if offer is None:
        raise ValueError(f"the platform {machine.provider} has no machine types")
    return offer


def _accelerator(machine: Machine, _region: str, want: Requirement) -> str:
    if not want.gpus:
        return f"has {machine.gpu_count} x {machine.gpu_model}, no accelerator wanted" if machine.gpu_model else ""
    if not any(_answers(machine, model) for model in want.names):
        return f"{machine.gpu_model or 'no GPU'}, wanted {want.accelerator}"
    if not vendors.of_model(machine.gpu_model).resource:
        return f"{machine.gpu_model}, which meshctl can't ask Kubernetes for"
    return f"only {machine.gpu_fraction:g} of a {machine.gpu_model}" if machine.gpu_fraction < 1 else ""


def _share(_machine: Machine, _region: str, want: Requirement) -> str:
    return f"nodes of it have whole accelerators, wanted {want.share}" if want.share else ""


def _share_hint(_machines: tuple[Machine, ...], want: Requirement) -> str:
    return (
        f"the nodes that meshctl makes are not divided: NVIDIA's GPU operator does that, with its MIG manager. Run this"
        f" pool on an existing cluster whose nodes have {want.share}, or name whole accelerators as an alternative:"
        f" accelerator: [{{share: {want.share}, count: {want.gpus}}}, {{model: {want.names[0] or 'A100'}, count: 1}}]"
    )


def _accelerator_count(machine: Machine, _region: str, want: Requirement) -> str:
    short = machine.gpu_count < want.gpus and not want.share
    return f"{machine.gpu_count} x {machine.gpu_model}, wanted {want.gpus}" if short else ""


def _accelerator_memory(machine: Machine, _region: str, want: Requirement) -> str:
    has, wanted = machine.gpu_memory_gib, want.gpu_memory_gib
    return f"{format_in_gib(has)} per GPU, wanted {format_in_gib(wanted)}" if has + _ROUNDING_GIB < wanted else ""


def _arch(machine: Machine, _region: str, want: Requirement) -> str:
    return f"{machine.arch}, wanted {want.arch}" if machine.arch != want.arch else ""


def _cpu(machine: Machine, _region: str, want: Requirement) -> str:
    return f"{machine.cpu_cores} cores, wanted {want.cpu_cores}" if machine.cpu_cores < want.cpu_cores else ""


def _memory(machine: Machine, _region: str, want: Requirement) -> str:
    short = machine.memory_gib + _ROUNDING_GIB < want.memory_gib
    return f"{format_in_gib(machine.memory_gib)} memory, wanted {format_in_gib(want.memory_gib)}" if short else ""


def _scratch(machine: Machine, _region: str, want: Requirement) -> str:
    short = machine.scratch_gb < want.scratch_gb
    return f"{machine.scratch_gb:g} GB local NVMe, wanted {want.scratch_gb:g} GB" if short else ""


def _refused_rdma(machine: Machine) -> str:
    """Why meshctl can't use the RDMA of the machine; "" where it can."""
    rdma = machine.rdma
    if rdma is None:
        return ""
    if rdma.kind == "efa" and rdma.efa_cards is None:
        return "which of its network cards carry EFA is not known"
    return _offer(machine).refused_rdma.get(rdma.kind, "")


def _fabric(machine: Machine, _region: str, want: Requirement) -> str:
    if want.rdma and machine.rdma is None:
        return "no RDMA"
    refused = _refused_rdma(machine) if want.rdma else ""
    if refused:
        return refused
    if not want.bandwidth_gbps:
        return ""
    if machine.network_gbps is None:
        return f"network bandwidth not known, wanted {want.bandwidth_gbps:g} Gbit/s"
    if machine.network_gbps < want.bandwidth_gbps:
        return f"{machine.network_gbps:g} Gbit/s, wanted {want.bandwidth_gbps:g}"
    return f"{machine.network_gbps:g} Gbit/s only in bursts" if machine.network_burst else ""


def _placement(machine: Machine, _region: str, want: Requirement) -> str:
    grouped = want.placement != "any" and _offer(machine).placement_groups
    bad = grouped and want.placement not in machine.placements
    return f"no placement group with strategy {want.placement}" if bad else ""


def _zone(machine: Machine, region: str, _want: Requirement) -> str:
    offers = machine.offers
    if offers is not None and offers.is_region_known(region) and not offers.zone_ids(region):
        *few, last = offers.regions_beside(region)[:_REGIONS_TOLD] or ("no region",)
        others = len(offers.numbers) - _REGIONS_TOLD
        more = f", {last} and {others} more" if others > 0 else f", {last}"
        regions = (", ".join(few) + more).removeprefix(", ")
        return f"not offered in {region} as of {offers.date} (offered in {regions})"
    if machine.zones is None or region in machine.zones:
        return ""
    return f"not listed in {region}" + (f" (listed in {', '.join(machine.zones)})" if machine.zones else "")


def _capacity(machine: Machine, _region: str, want: Requirement) -> str:
    if want.market == "reserved":  # where there are reservations, they are of on-demand capacity
        is_sold = _offer(machine).reservations is None or "on-demand" in machine.markets
        return "" if is_sold else "not sold on-demand"
    if want.market in machine.markets:
        return ""
    return f"not sold as {want.market}" + (f" (only {', '.join(machine.markets)})" if machine.markets else "")


def _rack(machine: Machine, _region: str, want: Requirement) -> str:
    bad = machine.rack_nodes and (not want.rack_nodes or want.rack_nodes % machine.rack_nodes)
    return f"sold in racks of {machine.rack_nodes} nodes, wanted {want.rack_nodes}" if bad else ""


# How much a machine has of what a check asks for: the most is the nearest.
_Measure = Callable[[Machine, Requirement], float]


def _nothing(_machine: Machine, _want: Requirement) -> float:
    return 0


def _gbps(machine: Machine, want: Requirement) -> float:
    """The network speed for the order. Where RDMA is wanted, a machine without it comes after all machines that have
    it."""
    return -1 if want.rdma and machine.rdma is None else machine.network_gbps or 0


_Check = Callable[[Machine, str, Requirement], str]
_Hint = Callable[[tuple[Machine, ...], Requirement], str]


def _say(text: str) -> _Hint:
    return lambda _machines, _want: text


def _rack_hint(machines: tuple[Machine, ...], want: Requirement) -> str:
    sizes = {each.rack_nodes for each in machines if each.rack_nodes and any(_answers(each, n) for n in want.names)}
    listed = " or ".join(str(size) for size in sorted(sizes))
    return f"set nodes to a multiple of the rack ({listed}), whose nodes share NVLink"


def _zone_hint(machines: tuple[Machine, ...], want: Requirement) -> str:
    hint = "choose another region, or name an accelerator model that this one has"
    others = [check for check, _, _ in _CHECKS if check is not _zone]
    listed = [each for each in machines if each.offers is not None]
    fitting = [each for each in listed if not any(check(each, "", want) for check in others)]
    if not fitting:
        return hint
    return f"{hint}. If the region has the machine by now, say so in the environment: `offered: [{fitting[0].name}]`"


def _arch_hint(machines: tuple[Machine, ...], want: Requirement) -> str:
    other = "amd64" if want.arch == "arm64" else "arm64"
    of_arch = [machine for machine in machines if machine.arch == want.arch]
    models = ", ".join(sorted({machine.gpu_model for machine in of_arch if machine.gpu_model}))
    way = f", or name an accelerator that comes with {want.arch}: {models}" if models else ""
    if want.gpus:
        return f"set arch to {other}, which {want.accelerator} comes with here{way}"
    if all(machine.gpu_model for machine in of_arch):
        return f"the catalog here has no {want.arch} machine without accelerators: set arch to {other}{way}"
    return f"set arch to {other}, or ask for less memory"


# In the order in which reasons are given, the accelerator's first; then what makes a machine the nearest of those whose
# first reason is of this check, and the hint for it.
_CHECKS: Final[tuple[tuple[_Check, _Measure, _Hint], ...]] = (
    (_accelerator, _nothing, _say("name another accelerator model too: model: [A, B] is in order of preference")),
    (_share, _nothing, _share_hint),
    (_accelerator_count, lambda m, _: m.gpu_count, _say("ask for fewer accelerators per node and more nodes")),
    (_accelerator_memory, lambda m, _: m.gpu_memory_gib, _say("ask for less accelerator memory, or another model")),
    (_memory, lambda m, _: m.memory_gib, _say("lower cpu.memory")),
    (_arch, _nothing, _arch_hint),
    (_cpu, lambda m, _: m.cpu_cores, _say("lower cpu.cores")),
    (_scratch, lambda m, _: m.scratch_gb, _say("lower scratch, or put the data on a file system")),
    (_fabric, _gbps, _say("lower the fabric's bandwidth, or name an accelerator whose machines have it")),
    (_placement, _nothing, _say("set the fabric's placement to any")),
    (_zone, _nothing, _zone_hint),
    (_capacity, _nothing, _say("change the pool's capacity (on-demand, spot, reserved)")),
    (_rack, _nothing, _rack_hint),
)


def _failures(machine: Machine, region: str, want: Requirement) -> dict[int, str]:
    """Every reason against a machine, by the number of its check. A machine with another accelerator has only that
    reason."""
    other = _accelerator(machine, region, want)
    if other:
        return {0: other}
    reasons = {index: check(machine, region, want) for index, (check, _, _) in enumerate(_CHECKS)}
    return {index: reason for index, reason in reasons.items() if reason}


def _nearest(
    machines: tuple[Machine, ...], region: str, rejected: list[tuple[tuple[int, ...], Rejected]], want: Requirement
) -> tuple[str, str]:
    """The machine that passed the most checks, and what would make it fit.

    Of several, it is the one that has the most of what the failed check wanted, then the cheapest.
    """
    index = max(places[0] for places, _ in rejected)
    _, measure, _ = _CHECKS[index]
    if index == 0 and want.gpus:
        models = sorted({machine.gpu_model for machine in machines if machine.gpu_model})
        wanted = want.names[0]
        of_its_vendor = [model for model in models if vendors.of_model(model) == vendors.of_model(wanted)]
        return "nothing", f"the catalog here has {', '.join(models)}{suggestion(wanted, of_its_vendor)}"
    by_name = {machine.name: machine for machine in machines}
    candidates = [(by_name[row.machine], row.reason, places) for places, row in rejected if places[0] == index]
    nearest, reason, places = min(candidates, key=lambda item: (-measure(item[0], want), _rank(item[0], region, want)))
    hints = (_CHECKS[place][2](machines, want) for place in places)
    return f"{nearest.name}: {reason}", "; and ".join(hints)
