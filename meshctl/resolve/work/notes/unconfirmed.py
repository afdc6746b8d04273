"""Machines that nobody has confirmed: the catalog's row is from one source, and there is no price. PURE.

Called by `resolve` for notes. A row of which too little is known carries nothing that needs it (a fabric without
network cards is a gap); what it does carry may still be a little different on the real machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshctl.catalog import Catalog
from meshctl.model.deployment import Pool


def notes(pools: Iterable[Pool], provider: str, catalog: Catalog) -> Iterator[str]:
    for pool in pools:
        machine = catalog.machine(provider, pool.machine)
        if machine is not None and not (machine.verified or machine.prices):
            yield (
                f"pool {pool.name}: what meshctl knows of {machine.name} (cores, memory, network) is from one source,"
                f" of {machine.date}, and has no price: bring up one node and look at it (`kubectl describe node`)"
                " before many"
            )
