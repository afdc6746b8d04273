"""A deployment with what the shifts of its environment have changed by now. PURE.

Called by `project`, for what mesh.yaml declares, and by `deploy.session`, for what is up: an undo writes no state, so
that what the last `up` has recorded may be of shifts that are over.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.model.deployment import POOL_LABEL, Deployment, Gap, Resolution
from meshctl.model.keys import lending
from meshctl.model.observed import Facts, ShiftsInForce


def with_shifts_of_now(deployment: Deployment, shifts: ShiftsInForce) -> Deployment:
    """Of nodes and jobs that it declares."""
    existing = {name for pool in deployment.pools for name in pool.node_names}
    names = {workload.name for workload in deployment.workloads}
    # also one that mesh.yaml calls elastic no more: its Job runs, and that it is made anew waits for the undo
    gangs = [workload.name for workload in deployment.workloads if workload.kind == "training"]
    sizes = {name: shifts.sizes[name] for name in gangs if name in shifts.sizes}
    return deployment.shifted(existing & shifts.nodes.keys(), shifts.waiting & names, sizes)


def lending_gaps(deployment: Deployment, shifts: ShiftsInForce) -> Iterator[Gap]:
    """For pools that are to lend or to borrow while a shift has nodes of theirs."""
    shifted = {pool for node in shifts.nodes.values() for pool in (node.home, node.pool)}
    for pool in lending.pools(deployment):
        if pool.name in shifted:
            yield Gap(
                subject=f"pool/{pool.name}",
                wanted="to lend nodes, or to borrow them",
                best=f"a shift of its nodes is in force, and {lending.counter(deployment)} would count them for the"
                " wrong pool",
                hint=f"`meshctl shift {deployment.environment} --undo` first; or take `lend` or `burst` back",
            )


def at_home(facts: Facts, shifts: ShiftsInForce) -> Facts:
    """The facts with the nodes of shifts in the pools that they belong to: a shift changes no pool, and so no node is
    to be chosen anew because of it."""
    nodes = tuple(
        node.model_copy(update={"labels": {**node.labels, POOL_LABEL: shifts.nodes[node.name].home}})
        if node.name in shifts.nodes
        else node
        for node in facts.nodes
    )
    return facts.model_copy(update={"nodes": nodes})


def with_shifts(resolution: Resolution, shifts: ShiftsInForce) -> Resolution:
    """The resolution with what shifts have changed of nodes and jobs that it declares, which an `up` leaves alone; with
    gaps where that can't be."""
    deployment = resolution.deployment
    if deployment is None or not (shifts.nodes or shifts.waiting or shifts.sizes):
        return resolution
    gaps = tuple(lending_gaps(deployment, shifts))
    if gaps:
        return resolution.model_copy(update={"deployment": None, "gaps": (*resolution.gaps, *gaps)})
    return resolution.model_copy(update={"deployment": with_shifts_of_now(deployment, shifts)})
