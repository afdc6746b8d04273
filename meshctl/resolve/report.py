"""Resolutions for people and programs: placement, gaps and cost, environment beside environment. PURE.

Called by `meshctl.cli.check`. The JSON form is a stable interface (DESIGN, section 5). Both forms come in pieces, one
for each environment, so that a hundred environments need not be held at once.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from meshctl.model.deployment import Gap, Pool, Price, Rejected, Resolution, utc_text
from meshctl.printable import one_line
from meshctl.resolve.placement.machine_types import prices
from meshctl.words import pluralize

_CELL: Final = 34  # widest column; longer cells wrap
_LINE: Final = 100
_SIDE_BY_SIDE: Final = 4  # more environments than this are shown one below the other


@dataclass
class JsonReport:
    """Writes the JSON of many resolutions. Lists of rejected machines repeat a lot, so each is encoded once."""

    mesh: str
    _encoded: dict[int, tuple[tuple[Rejected, ...], str]] = field(default_factory=dict)

    def pieces(self, resolutions: Iterable[Resolution]) -> Iterator[str]:
        yield f'{{"meshctl": 1, "mesh": {json.dumps(self.mesh)}, "environments": {{'
        separator = "\n"
        for resolution in resolutions:
            yield f"{separator}{json.dumps(resolution.environment)}: {{"
            yield from self._environment(resolution)
            separator = ",\n"
        yield "\n}}\n"

    def _environment(self, resolution: Resolution) -> Iterator[str]:
        deployment = resolution.deployment
        made = {pool.name: pool for pool in resolution.pools}
        parts = {
            "feasible": deployment is not None,
            "gaps": [gap.model_dump() for gap in resolution.gaps],
            "migrate": {
                "possible": deployment is not None and not resolution.stays_behind,
                "stays_behind": list(resolution.stays_behind),
            },
            "storage": {name: {"as": words} for name, words in resolution.storage_as.items()},
            "hourly_usd": deployment.hourly_usd if deployment else None,
            "hourly_usd_max": resolution.most_hourly_usd if deployment else None,
            "not_in_cost": list(prices.not_in_cost(deployment)) if deployment else [],
            "price_sources": list(prices.sources(deployment.prices if deployment else ())),
            "notes": list(resolution.notes),
        }
        for key, value in parts.items():
            yield f'"{key}": {json.dumps(value)},\n '
        yield '"pools": {'
        separator = "\n  "
        for name in dict.fromkeys([*resolution.rejected, *made]):
            yield f"{separator}{json.dumps(name)}: "
            yield from self._pool(name, made.get(name), resolution)
            separator = ",\n  "
        yield "}}"

    def _pool(self, name: str, pool: Pool | None, resolution: Resolution) -> Iterator[str]:
        machine, nodes = (pool.machine, pool.nodes) if pool else (None, None)
        fabric = pool.fabric.kind if pool and pool.fabric else None
        usd = pool.price.usd_per_hour if pool else None
        head = json.dumps({"machine": machine, "nodes": nodes, "fabric": fabric, "hourly_usd": usd})
        yield f'{head[:-1]}, "rejected": '
        yield self._rejected(resolution.rejected.get(name, ()))
        yield "}"

    def _rejected(self, rows: tuple[Rejected, ...]) -> str:
        encoded = self._encoded.get(id(rows))
        if encoded is None or encoded[0] is not rows:
            text = json.dumps([{"machine": row.machine, "reason": row.reason} for row in rows])
            encoded = self._encoded[id(rows)] = (rows, text)
        return encoded[1]


def human(mesh: str, resolutions: Iterable[Resolution], *, count: int, verbose: bool) -> Iterator[str]:
    """Text in pieces. `count`: how many resolutions there are: a few are shown side by side."""
    if count <= _SIDE_BY_SIDE:
        everything = list(resolutions)
        yield _table(mesh, everything)
        for resolution in everything:
            yield _details(resolution, verbose=verbose)
        return
    for resolution in resolutions:
        yield _table(mesh, [resolution])
        yield _details(resolution, verbose=verbose)


def _table(mesh: str, resolutions: list[Resolution]) -> str:
    rows = [[mesh, *(resolution.environment for resolution in resolutions)]]
    verdicts = ("yes" if r.deployment else f"no: {pluralize(len(r.gaps), 'gap')}" for r in resolutions)
    rows.append(["can carry it", *verdicts])
    rows.append(["migrate", *(_migrate(resolution) for resolution in resolutions)])
    columns = [_column(resolution) for resolution in resolutions]
    subjects = dict.fromkeys(subject for column in columns for subject in column)
    rows.extend([subject, *(column.get(subject, "-") for column in columns)] for subject in subjects)
    rows.append(["cost", *(_cost(resolution) for resolution in resolutions)])
    return _aligned(rows)


def _column(resolution: Resolution) -> dict[str, str]:
    """Subject -> what it became in this environment."""
    cells = {f"pool/{pool.name}": _placement(pool) for pool in resolution.pools}
    return cells | {f"storage/{name}": words for name, words in resolution.storage_as.items()}


def _placement(pool: Pool) -> str:
    nodes = str(pool.nodes) if pool.nodes == pool.nodes_max else f"{pool.nodes} (up to {pool.nodes_max})"
    market = f", {pool.market}" if pool.market != "on-demand" else ""
    fabric = f", {pool.fabric.kind}" if pool.fabric else ""
    start = f"; starts {utc_text(pool.starts)}, 0 nodes until then" if pool.starts else ""
    end = f"; {'its block ended' if pool.has_ended else 'reserved until'} {utc_text(pool.ends)}" if pool.ends else ""
    return f"{nodes} x {pool.machine}{market}{fabric}{start}{end}"


def _migrate(resolution: Resolution) -> str:
    """Whether `migrate` can move the mesh to and from here: it moves object storage only."""
    names = [f"{name} ({kind})" for name, kind in resolution.stays_behind.items()]
    if names:
        return f"no: {', '.join(names)} {'stays' if len(names) == 1 else 'stay'} behind"
    return "yes" if resolution.deployment else "-"


def _cost(resolution: Resolution) -> str:
    if resolution.deployment is None:
        return "-"
    usd, most = resolution.deployment.hourly_usd, resolution.most_hourly_usd
    if usd is None:
        return "unknown"
    return f"{usd:.2f} USD/h" if most is None or most <= usd else f"{usd:.2f} to {most:.2f} USD/h"


def _aligned(rows: list[list[str]]) -> str:
    cells = [[_wrapped(text) for text in row] for row in rows]
    widths = [max(len(line) for row in cells for line in row[index]) for index in range(len(rows[0]))]
    lines: list[str] = []
    for row in cells:
        for level in range(max(len(cell) for cell in row)):
            parts = [cell[level] if level < len(cell) else "" for cell in row]
            lines.append("  ".join(part.ljust(width) for part, width in zip(parts, widths, strict=True)).rstrip())
    return "\n".join(map(one_line, lines)) + "\n"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _CELL, break_on_hyphens=False, break_long_words=False) or [""]


def _details(resolution: Resolution, *, verbose: bool) -> str:
    lines = [line for gap in resolution.gaps for line in _gap(gap)] + _not_in_cost(resolution)
    if verbose:
        lines += [f"  note: {note}" for note in resolution.notes]
        lines += _vcpu_lines(resolution)
        lines += _price_lines(resolution)
        lines += [line for pool, rows in resolution.rejected.items() for line in _rejections(pool, rows)]
    return "\n".join(["", resolution.environment, *map(one_line, lines), ""]) if lines else ""


def _not_in_cost(resolution: Resolution) -> list[str]:
    deployment = resolution.deployment
    if deployment is None or deployment.hourly_usd is None:
        return []
    left_out = prices.not_in_cost(deployment)
    text = f"not in the cost: {', '.join(left_out)}"
    return (
        textwrap.wrap(text, _LINE, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
        if left_out
        else []
    )


def _gap(gap: Gap) -> list[str]:
    return [f"  {gap.subject}: wanted {gap.wanted}", f"    best: {gap.best}", f"    hint: {gap.hint}"]


def _vcpu_lines(resolution: Resolution) -> list[str]:
    """What quotas of running instances count; nodes that are there already need none."""
    return [
        f"  pool/{pool.name}: {pool.nodes * pool.cpu_cores} vCPUs"
        + (f", up to {pool.nodes_max * pool.cpu_cores}" if pool.nodes_max != pool.nodes else "")
        for pool in resolution.pools
        if pool.cpu_cores and not pool.node_names
    ]


def _price_lines(resolution: Resolution) -> list[str]:
    lines = []
    for price in resolution.deployment.prices if resolution.deployment else ():
        lines += [f"  {price.subject}: {_usd(price)}", f"    {prices.source(price)}"]
    return lines


def _usd(price: Price) -> str:
    return "price unknown" if price.usd_per_hour is None else f"{price.usd_per_hour:.2f} USD/h"


def _rejections(pool: str, rows: tuple[Rejected, ...]) -> list[str]:
    """One line for each reason, with all the machines it holds for."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reasons.setdefault(row.reason, []).append(row.machine)
    return [f"  pool/{pool}: not {', '.join(names)}: {reason}" for reason, names in reasons.items()]
