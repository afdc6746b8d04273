"""Machines that are sold in racks whose nodes share NVLink (NVL72): who gets it, what is missing for it. PURE.

Called by `meshctl.resolve`, and by `meshctl.resolve.placement.given.existing` for the nodes of a given cluster. See
`meshctl.model.keys.nvlink` for what it takes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from meshctl.catalog import Catalog
from meshctl.model.deployment import Gap, Pool, Workload
from meshctl.model.keys import nvlink
from meshctl.model.observed import Facts, ObservedNode
from meshctl.model.served_apis import COMPUTE_DOMAIN
from meshctl.platforms import registry
from meshctl.resolve.placement.machine_types.machines import same_model

_OWN_CLAIM = (
    "a ComputeDomain of yours can be named in environments.yaml, `pod: {resourceClaims: [{name: nvlink,"
    " resourceClaimTemplateName: NAME}], containers: [{name: main, resources: {claims: [{name: nvlink}]}}]}`"
)
_LEAVE_OUT = "leave `nvlink` out of the fabric: NCCL then uses the network between nodes"


def gaps(
    workloads: Iterable[Workload], pools: Iterable[Pool], provider: str, catalog: Catalog, facts: Facts | None
) -> Iterator[Gap]:
    """What keeps pools from sharing NVLink between nodes whose fabric asks for it."""
    asking = {pool.name: pool for pool in pools if nvlink.is_asked_for(pool)}
    for pool in asking.values():
        best, hint = _missing(pool, provider, catalog, facts)
        if best:
            wanted = "NVLink between its nodes"
            yield Gap(subject=f"pool/{pool.name}", wanted=wanted, best=best, hint=f"{hint}; or {_LEAVE_OUT}")
    for workload in workloads:
        if workload.pool in asking and nvlink.is_gang(workload):
            yield from _too_large(workload, asking[workload.pool], provider, catalog, facts)
        elif workload.pool in asking and workload.is_grouped and workload.accelerators:
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted="NVLink between the nodes of a replica",
                best="it is for training in this version",
                hint=f"{_LEAVE_OUT}; {_OWN_CLAIM}",
            )


def notes(
    workloads: Iterable[Workload], pools: Iterable[Pool], provider: str, catalog: Catalog, facts: Facts | None
) -> Iterator[str]:
    by_name = {pool.name: pool for pool in pools}
    for workload in workloads:
        pool = by_name.get(workload.pool)
        is_gang = nvlink.is_gang(workload)
        if pool is None or not (is_gang or (workload.is_grouped and workload.accelerators)):
            continue
        if not _is_of_a_rack(pool, provider, catalog) or "resourceClaims" in workload.pod:
            continue
        if not nvlink.is_asked_for(pool):
            way_out = "`nvlink: rack` in the pool's fabric gives them one" if is_gang else _OWN_CLAIM
            yield (
                f"workload/{workload.name}: the nodes of a rack share NVLink, which its pods don't use without an IMEX"
                f" channel: NCCL takes the network between nodes. Where the cluster has NVIDIA's DRA driver, {way_out}"
            )
        elif facts is None or facts.serves(COMPUTE_DOMAIN) is None:
            yield (
                f"workload/{workload.name}: NVLink between its nodes takes NVIDIA's DRA driver in the cluster,"
                " whose ComputeDomain is looked for at `plan`"
            )


def by_nvlink_domain(nodes: list[ObservedNode]) -> list[list[ObservedNode]]:
    """The nodes by NVLink domain. Nodes whose domain is unknown are left out."""
    domains = sorted({node.labels[nvlink.DOMAIN_LABEL] for node in nodes if nvlink.DOMAIN_LABEL in node.labels})
    return [[node for node in nodes if node.labels.get(nvlink.DOMAIN_LABEL) == domain] for domain in domains]


def are_of_one(nodes: Sequence[ObservedNode]) -> bool:
    """Whether all of the nodes are known to be in one NVLink domain."""
    return len({node.labels.get(nvlink.DOMAIN_LABEL) or node.name for node in nodes}) == 1


def _missing(pool: Pool, provider: str, catalog: Catalog, facts: Facts | None) -> tuple[str, str]:
    """The best that is available, and what to do; "" if nothing is missing."""
    if not _is_of_a_rack(pool, provider, catalog):
        models = sorted({each.gpu_model for rows in catalog.machines.values() for each in rows if each.rack_nodes})
        return (
            f"{pool.machine}, whose nodes share none",
            f"name an accelerator that is sold in racks: {', '.join(models)}",
        )
    if not registry.platform(provider).nodes.has_device_plugins:
        best = "nodes without NVIDIA's DRA driver, which meshctl does not install"
        return best, "run this pool on an existing cluster that has the driver"
    if facts is None:
        return "", ""
    if facts.serves(COMPUTE_DOMAIN) is False:
        best = "a cluster that knows no ComputeDomain (resource.nvidia.com/v1beta1)"
        return best, "install NVIDIA's DRA driver for GPUs there"
    if pool.node_names and not _sizes_of_domains(pool, facts):
        return f"nodes without the label {nvlink.DOMAIN_LABEL}", "let NVIDIA's DRA driver or GPU operator label them"
    return "", ""


def _too_large(workload: Workload, pool: Pool, provider: str, catalog: Catalog, facts: Facts | None) -> Iterator[Gap]:
    machine = catalog.machine(provider, pool.machine)
    sizes = [machine.rack_nodes] if machine is not None else _sizes_of_domains(pool, facts)
    largest = max(sizes, default=0)
    if 0 < largest < workload.replicas:
        yield Gap(
            subject=f"workload/{workload.name}",
            wanted=f"NVLink between {workload.replicas} nodes",
            best=f"{largest} nodes of pool {pool.name} share it",
            hint=f"set its `nodes` to {largest} or less; or {_LEAVE_OUT}",
        )


def _sizes_of_domains(pool: Pool, facts: Facts | None) -> list[int]:
    """How many of the pool's nodes each NVLink domain has."""
    own = set(pool.node_names)
    labels = [node.labels for node in (facts.nodes if facts else ()) if node.name in own]
    return list(Counter(each[nvlink.DOMAIN_LABEL] for each in labels if nvlink.DOMAIN_LABEL in each).values())


def _is_of_a_rack(pool: Pool, provider: str, catalog: Catalog) -> bool:
    """By its machine type; for nodes that are given, by their accelerators."""
    machine = catalog.machine(provider, pool.machine)
    if machine is not None:
        return machine.rack_nodes > 0
    sold_in_racks = (machine for rows in catalog.machines.values() for machine in rows if machine.rack_nodes)
    return pool.gpus_per_node > 0 and any(same_model(each.gpu_model, pool.gpu_model, 0) for each in sold_in_racks)
