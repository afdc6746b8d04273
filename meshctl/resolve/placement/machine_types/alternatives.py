"""The alternatives that a pool's `accelerator` lists: which one is taken, and why not those before it. PURE.

Called by `meshctl.resolve.placement.pools`, and by `meshctl.resolve.placement.given.existing` for the nodes of a given
cluster. A pool without alternatives, and one without accelerators, is a list of one here, and all that is said of it is
as if there were no list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from meshctl.catalog import Catalog, vendors
from meshctl.model import mesh as mesh_model
from meshctl.model.deployment import Gap, Market, Rejected
from meshctl.resolve.placement.machine_types import machines
from meshctl.resolve.placement.machine_types.machines import Choice, Rates, Requirement

Alternatives = tuple[Requirement, ...]  # in order of preference, at least one


def of_pool(pool: mesh_model.Pool, fabric: mesh_model.Fabric | None, market: Market) -> Alternatives:
    accelerators = pool.accelerators or (None,)
    return tuple(machines.requirement_of(pool, each, fabric, market) for each in accelerators)


def askable(alternatives: Alternatives) -> Alternatives:
    """The alternatives that name at least one accelerator model that pods can ask for."""
    return tuple(
        each for each in alternatives if not each.models or any(_is_askable(model, each.share) for model in each.models)
    )


def _is_askable(model: str, share: str) -> bool:
    vendor = vendors.of_model(model)
    return bool(vendor.slices if share else vendor.resource)


@lru_cache(maxsize=8192)
def choose(
    catalog: Catalog, provider: str, region: str, alternatives: Alternatives, rates: Rates = ()
) -> tuple[Requirement, Choice]:
    """The first alternative that a machine of the catalog fits. If none fits, the nearest machine for each."""
    tried: list[tuple[Requirement, Choice]] = []
    for requirement in alternatives:
        choice = machines.choose(catalog, provider, region, requirement, rates)
        tried.append((requirement, choice))
        if choice.fitting:
            break
    requirement, choice = tried[-1]
    if len(tried) == 1:
        return requirement, choice
    reasons = [(each, {row.machine: row.reason for row in made.rejected}) for each, made in tried]
    best = labelled((each, made.best) for each, made in tried if not choice.fitting)
    hint = "; or ".join(dict.fromkeys(made.hint for _, made in tried if not choice.fitting))
    return requirement, replace(choice, rejected=rejected(reasons), best=best, hint=hint)


def rejected(tried: Sequence[tuple[Requirement, Mapping[str, str]]]) -> tuple[Rejected, ...]:
    """What the last one tried has a reason against, with the reasons of those before it. `tried`: name of the machine
    or node -> reason."""
    if len(tried) == 1:
        return tuple(Rejected(machine=name, reason=reason) for name, reason in tried[0][1].items())
    return tuple(
        Rejected(
            machine=name,
            reason=labelled((each, reasons.get(name, "fits, and too few others do")) for each, reasons in tried),
        )
        for name in tried[-1][1]
    )


def labelled(rows: Iterable[tuple[Requirement, str]]) -> str:
    """`for 8 x L4: no GPU, wanted L4; for 4 x A100: no GPU, wanted A100`."""
    return "; ".join(f"for {label(requirement)}: {text}" for requirement, text in rows)


def wanted(alternatives: Alternatives) -> str:
    """`8 x L4, or 4 x A100; with 32 cores, amd64, on-demand`."""
    if len(alternatives) == 1:
        return str(alternatives[0])
    labels = ", or ".join(map(label, alternatives))
    return f"{labels}; with {', '.join(alternatives[0].other_parts)}"


def label(requirement: Requirement) -> str:
    """`2 x A100 (74.5 GiB per GPU)`."""
    count, *memory = requirement.accelerator_parts
    return count + "".join(f" ({part})" for part in memory)


def joined(alternatives: Alternatives, gaps: Sequence[Gap], wanted_words: str) -> Gap:
    """Joins the gaps of all alternatives into one."""
    if len(gaps) == 1:
        return gaps[0]
    best = labelled((each, gap.best) for each, gap in zip(alternatives, gaps, strict=True))
    hint = "; or ".join(dict.fromkeys(gap.hint for gap in gaps))
    return Gap(subject=gaps[0].subject, wanted=wanted_words, best=best, hint=hint)


def note(pool: str, alternatives: Alternatives, *, is_up: bool = False) -> list[str]:
    """A note for a pool that does not get its preferred alternative. `alternatives`: all up to the one that is taken.
    `is_up`: whether the pool already has nodes of that one."""
    if len(alternatives) == 1:  # without accelerators, too, which have no label
        return []
    *preferred, taken = map(label, alternatives)
    names = " or ".join(preferred)
    if is_up:
        return [f"pool {pool}: it stays on its nodes with {taken}, whether or not there are nodes with {names} by now"]
    return [f"pool {pool}: {taken} is taken, as this environment does not have {names}"]
