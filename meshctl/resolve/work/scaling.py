"""Replicas by load: what an environment can't do of it, and what it needs beside meshctl. PURE.

Called by `meshctl.resolve`. What is wrong with the mesh itself is a diagnostic (`meshctl.model.keys.scaling`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from meshctl.model.deployment import Deployment, Gap, Pool, Scale, Workload
from meshctl.model.files.units import seconds_text
from meshctl.model.keys import scaling
from meshctl.model.observed import Facts
from meshctl.model.served_apis import LEADER_WORKER_SET, POD_METRICS
from meshctl.resolve.placement import packing
from meshctl.resolve.placement.allocatable import Usable
from meshctl.resolve.work.workloads import Home, most_pods_of, pods_of
from meshctl.words import pluralize

Claims = Mapping[str, tuple[int, int]]
_INSTALL_METRICS = "install metrics-server (github.com/kubernetes-sigs/metrics-server)"


def gaps(
    workloads: Iterable[Workload], facts: Facts | None, served: Collection[str], *, nodes_are_made: bool
) -> Iterator[Gap]:
    """`served`: as for `meshctl.resolve.resolve`. `nodes_are_made`: whether meshctl makes them in this environment."""
    for workload in workloads:
        if workload.has_range and workload.is_grouped:
            is_unseen = facts is None and not nodes_are_made  # offline, where the controller is taken to be there
            has_controller = facts is not None and facts.serves(LEADER_WORKER_SET) is True
            is_kept = is_unseen or has_controller or LEADER_WORKER_SET in served
            yield from _fixed_groups(workload, is_kept=is_kept)
        if _uses_cpu(workload) and facts is not None and facts.serves(POD_METRICS) is False:
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted="replicas by the CPU that its pods use",
                best="the cluster does not measure it: it serves no metrics.k8s.io",
                hint=f"{_INSTALL_METRICS}, or scale by a metric of the pods: `metric: {scaling.QUEUE_DEPTH}`",
            )


def shortages(workloads: Iterable[Workload], pools: Iterable[Pool], usable: Mapping[str, Usable]) -> Iterator[Gap]:
    """The most that load may ask for must have room on the most nodes that the pool may get. Of workloads whose least
    has room: the others have a gap of their own."""
    homes = {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    for workload in workloads:
        home = homes.get(workload.pool)
        if workload.lenders:  # what has no room now is on lent nodes until it has
            continue
        if home is None or not workload.has_range or home.places(pods_of(workload, home.pool)) < workload.pods:
            continue
        pool, pods = home.pool, most_pods_of(workload, home.pool)
        places = home.places(pods) + pods.fit_on(home.node) * max(pool.nodes_max - pool.nodes, 0)
        fitting = places // workload.nodes_per_replica
        if workload.own_most_pods > places:
            yield Gap(
                subject=f"workload/{workload.name}",
                wanted=f"up to {workload.own_at_most} replicas on pool {pool.name}",
                best=f"{fitting} have room on the {pluralize(max(pool.nodes_max, pool.nodes), 'node')} ({pool.machine})"
                f" that it may have{home.pods_of_others}",
                hint=f"raise pools.{pool.name}.nodes.max, or write"
                f" `replicas: {{min: {workload.replicas}, max: {fitting}}}`",
            )


def notes(
    workloads: Iterable[Workload],
    pools: Iterable[Pool],
    usable: Mapping[str, Usable],
    served: Collection[str],
    *,
    nodes_are_made: bool,
    cluster_is_made: bool,
) -> Iterator[str]:
    """`nodes_are_made`, `cluster_is_made`: whether meshctl makes them in this environment."""
    homes = {pool.name: Home(pool, usable[pool.name]) for pool in pools}
    for workload in (each for each in workloads if each.has_range):
        at = f"workload/{workload.name}"
        if workload.scale is None:
            yield (
                f"{at}: without `scale` meshctl does not change its replicas between {workload.replicas} and"
                f" {workload.at_most}; `up` keeps the number that another program or `kubectl scale` has set"
            )
        if _uses_cpu(workload) and nodes_are_made and not cluster_is_made and POD_METRICS not in served:
            yield f"{at}: its replicas follow CPU only where the cluster serves metrics.k8s.io: {_INSTALL_METRICS}"
        if workload.sleeps and workload.scale is not None:
            yield _of_sleep(workload, workload.scale)
        home = homes.get(workload.pool)
        places = home.places(most_pods_of(workload, home.pool)) if home else workload.own_most_pods
        if home is not None and workload.own_most_pods > places:
            yield _more_nodes(workload, home, places // workload.nodes_per_replica)


def most_usd(deployment: Deployment, usable: Mapping[str, Usable], claims: Claims) -> float | None:
    """What an hour costs where load has brought all replicas, on as many nodes as these need; None where that is not
    known. `claims`: by storage, how many pods mount it at least and at most."""
    usd = deployment.hourly_usd
    for pool in deployment.pools if usd is not None else ():
        members = [each for each in deployment.workloads if each.pool == pool.name]
        of_node = pool.node_usd_per_hour
        if of_node is None or not any(each.has_range for each in members):
            continue
        more = _nodes_at_most(members, Home(pool, usable[pool.name])) - pool.nodes
        usd = (usd or 0) + of_node * more
    for block in deployment.blocks if usd is not None else ():
        least, most = claims.get(block.name, (0, 0))
        if block.price.usd_per_hour and least:
            usd = (usd or 0) + block.price.usd_per_hour / least * (most - least)
    return None if usd is None else round(usd, 4)


def _nodes_at_most(members: Iterable[Workload], home: Home) -> int:
    """How many nodes the most pods of all members need, as far as the pool may have them."""
    pods = tuple(most_pods_of(each, home.pool) for each in members)
    wanted = sum(kind.count for kind in pods)
    fewest, most = home.pool.nodes, max(home.pool.nodes_max, home.pool.nodes)
    while fewest < most:
        nodes = (fewest + most) // 2
        if packing.placeable(pods, (*home.nodes, (home.node, nodes - home.pool.nodes))) < wanted:
            fewest = nodes + 1
        else:
            most = nodes
    return fewest


def _more_nodes(workload: Workload, home: Home, fitting: int) -> str:
    pool = home.pool
    return (
        f"workload/{workload.name}: {pluralize(fitting, 'replica')} of up to {workload.own_at_most} fit on the"
        f" {pluralize(pool.nodes, 'node')} that pool {pool.name} starts with; others wait until the autoscaler of"
        f" nodes, or you, has added some (at most {pool.nodes_max})"
    )


def _of_sleep(workload: Workload, scale: Scale) -> str:
    idle, longest = seconds_text(scale.cooldown_s), seconds_text(scaling.LONGEST_WAKE_S)
    return (
        f"workload/{workload.name}: scales to zero after {idle} without requests; its gateway then holds requests until"
        f" a pod is ready, for at most {longest}. Requests that bypass the gateway, such as those of other workloads to"
        " its Service, fail until then. Its node stays, and costs money, unless a node autoscaler removes it"
    )


def _uses_cpu(workload: Workload) -> bool:
    return workload.scale is not None and workload.scale.metric == scaling.CPU


def _fixed_groups(workload: Workload, *, is_kept: bool) -> Iterator[Gap]:
    """`is_kept`: whether the cluster has a controller for groups of pods."""
    has_volumes = any(mount.kind == "block" and not mount.ephemeral for mount in workload.mounts)
    if is_kept and not has_volumes:
        return
    number = f"write `replicas: {workload.replicas}`"
    yield Gap(
        subject=f"workload/{workload.name}",
        wanted=f"{scaling.words(workload.replicas, workload.at_most)} groups of pods, by load",
        best="a fixed number: each group has sets of its own, as its pods keep volumes"
        if has_volumes
        else "a fixed number: the cluster has no controller that adds and ends groups (LeaderWorkerSet)",
        hint=number if has_volumes else f"{number}, or install LeaderWorkerSet (github.com/kubernetes-sigs/lws)",
    )
