"""Machines that are sold in racks whose nodes share NVLink (NVL72): what a gang on them lacks here. PURE.

Called by `meshctl.resolve`. Pods of several nodes reach each other over NVLink only with an IMEX channel, which a
ComputeDomain of NVIDIA's DRA driver gives. meshctl makes none; a claim for one can be named in environments.yaml.
Sources, read 2026-11-29: docs.nvidia.com, "NVIDIA DRA Driver for GPUs", ComputeDomains; docs.coreweave.com,
products/cks/clusters/scheduling, "IMEX overview" and "IMEX with Dynamic Resource Allocation".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshctl.catalog import Catalog
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.observed import Facts, ObservedNode
from meshctl.resolve.machines import same_model

NVLINK_DOMAIN: Final = "nvidia.com/gpu.clique"  # of nodes: which of them share NVLink


def notes(deployment: Deployment, catalog: Catalog, facts: Facts | None) -> Iterator[str]:
    """`facts`: the nodes of an existing cluster, where it was asked."""
    for workload in deployment.workloads:
        is_gang = (workload.kind == "training" and workload.replicas > 1) or workload.is_grouped
        if not (is_gang and workload.accelerators):
            continue
        if not _is_of_a_rack(deployment.pool(workload.pool), deployment.provider, catalog):
            continue
        domains = _domains(deployment.pool(workload.pool), facts)
        if len(domains) > 1:
            yield (
                f"pool/{workload.pool}: its nodes are of {len(domains)} NVLink domains ({NVLINK_DOMAIN}:"
                f" {', '.join(domains)}), and between these pods have the network alone"
            )
        if "resourceClaims" not in workload.pod:
            yield _without_channel(deployment.namespace, workload.name)


def _without_channel(namespace: str, workload: str) -> str:
    claim = "resourceClaims: [{name: nvlink, resourceClaimTemplateName: NAME}]"
    container = "containers: [{name: main, resources: {claims: [{name: nvlink}]}}]"
    return (
        f"workload/{workload}: the nodes of a rack share NVLink, and pods of several nodes use it only with an IMEX"
        " channel; meshctl asks for none, and without one NCCL uses the network between nodes. To give them one, make"
        f" a ComputeDomain (resource.nvidia.com/v1beta1, of NVIDIA's DRA driver) in the namespace {namespace}, and name"
        f" its claim template in environments.yaml: `workloads: {{{workload}: {{pod: {{{claim}, {container}}}}}}}`"
    )


def _is_of_a_rack(pool: Pool, provider: str, catalog: Catalog) -> bool:
    """By its machine type; for nodes that are given, by their accelerators."""
    machine = catalog.machine(provider, pool.machine)
    if machine is not None:
        return machine.rack_nodes > 0
    sold_in_racks = (machine for rows in catalog.machines.values() for machine in rows if machine.rack_nodes)
    return pool.gpus_per_node > 0 and any(same_model(each.gpu_model, pool.gpu_model, 0) for each in sold_in_racks)


def _domains(pool: Pool, facts: Facts | None) -> list[str]:
    names = set(pool.node_names)
    nodes: tuple[ObservedNode, ...] = facts.nodes if facts else ()
    return sorted({node.labels[NVLINK_DOMAIN] for node in nodes if node.name in names and NVLINK_DOMAIN in node.labels})
