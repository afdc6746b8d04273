"""Whether the account's quotas of vCPUs have room for the nodes of a run, beside what runs in it already. PURE.

Called by `preflight`. The quota is of the account and the region: other meshes, clusters and instances use it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshctl.model.deployment import Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws.preflight import in_use, quotas
from meshctl.platforms.aws.preflight.change import Change
from meshctl.words import pluralize


def questions(change: Change) -> Iterator[ApiQuestion]:
    for code in change.growing_quotas:
        yield quotas.question("ec2", code, "the quotas of running instances")
    yield from in_use.questions(change)


def gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    for code in change.growing_quotas:
        quota, needed = quotas.quota(answers.get(code)), _needed(change, code, answers)
        others = in_use.by_others(change, code, answers)
        used = sum(use.vcpus for use in others)
        if quota is not None and used + needed > quota.value:
            in_use_already = f", and {used} are in use already: {in_use.words(others)}" if used else ""
            instead = "; or end what nobody needs of that" if used else ""
            yield Gap(
                subject=f"quota/{code}",
                wanted=f"{needed} vCPUs of {quota.name} ({_by_pool(change, code, answers)})",
                best=f"the account may run {quota.value:g}{in_use_already}",
                hint=quotas.more(change.wanted, "ec2", code, used + needed) + instead,
            )


def notes(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    for code in change.growing_quotas:
        quota, needed = quotas.quota(answers.get(code)), _needed(change, code, answers)
        others = in_use.by_others(change, code, answers)
        used = sum(use.vcpus for use in others)
        at_most = change.vcpus(change.wanted.pools, at_most=True)[code]
        if quota is not None and used + needed <= quota.value < used + at_most:
            beside = f" beside the {used} that are in use already: {in_use.words(others)}" if used else ""
            yield (
                f"the quota {quota.name} ({code}) is {quota.value:g} vCPUs: enough for now, and too few for all nodes"
                f" that the mesh allows ({at_most}){beside}"
            )


def unasked(change: Change) -> Iterator[str]:
    """Of spot instances for which no quota is known."""
    for pool in change.growing_pools:
        if pool.market == "spot" and not change.quota(pool):
            yield (
                f"pool {pool.name}: not checked whether the account may run"
                f" {pluralize(pool.nodes_now, 'spot instance')} of {pool.machine}"
                f" ({pool.nodes_now * pool.cpu_cores} vCPUs), as meshctl knows no quota for them: see Service Quotas"
                " (ec2)"
            )


def _needed(change: Change, code: str, answers: Mapping[str, ApiAnswer]) -> int:
    """vCPUs of the mesh after the run."""
    return sum(nodes * pool.cpu_cores for pool, nodes in _nodes(change, code, answers))


def _by_pool(change: Change, code: str, answers: Mapping[str, ApiAnswer]) -> str:
    counted = _nodes(change, code, answers)
    return ", ".join(f"pool {pool.name}: {nodes} x {pool.cpu_cores}" for pool, nodes in counted if nodes)


def _nodes(change: Change, code: str, answers: Mapping[str, ApiAnswer]) -> Iterator[tuple[Pool, int]]:
    """How many nodes each pool has after the run. A pool with more than it asks for keeps them, as far as it may have
    so many: others are removed, or are those with which a rolling update begins."""
    for pool in change.wanted.pools:
        if change.quota(pool) == code:
            stay = min(in_use.own_nodes(change, pool, answers), pool.nodes_max)
            yield pool, max(pool.nodes_now, stay)
