"""Pools for which the platform had no machines: what is said of them at the end of an `up`. EDGE (asks the platform).

Called by `session`. The rest of the environment is up, so the error tells what a person can do about these pools: where
else there may be machines, and what the pools cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meshctl.clients.aws import aws_questions
from meshctl.engine import failures
from meshctl.errors import MeshError, NoCapacityError, ResourcesFailedError
from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import ApiAnswer
from meshctl.platforms import registry


def explained(deployment: Deployment, error: ResourcesFailedError) -> ResourcesFailedError:
    """The error itself, unless all that failed is pools without machines."""
    pools = scarce(deployment, error)
    return no_capacity(deployment, pools, error, places(deployment, pools)) if pools else error


def scarce(deployment: Deployment, error: ResourcesFailedError) -> tuple[Pool, ...]:
    """The pools without machines; none where something else failed, too: that has to be mended first."""
    codes = _codes(deployment)
    if any(failure.code not in codes for failure in error.failures):
        return ()
    subjects = {failure.subject for failure in error.failures}
    return tuple(pool for pool in deployment.pools if f"pool/{pool.name}" in subjects)


def _codes(deployment: Deployment) -> frozenset[str]:
    preflight = registry.platform(deployment.provider).preflight
    elsewhere = preflight.elsewhere if preflight else None
    return failures.CAPACITY_CODES | (elsewhere.codes if elsewhere else frozenset())


def places(deployment: Deployment, pools: Sequence[Pool]) -> dict[str, tuple[str, ...]]:
    """By pool, the zones and machines that are worth a try. None where the platform does not answer: the error is about
    the pools, not about that."""
    preflight = registry.platform(deployment.provider).preflight
    if preflight is None or preflight.elsewhere is None:
        return {}
    questions = preflight.elsewhere.questions(tuple(pools))
    answers: Mapping[str, ApiAnswer] = {}
    try:
        answers = aws_questions.ask(questions, profile=deployment.profile, region=deployment.region)
    except MeshError:
        return {}
    return {pool.name: preflight.elsewhere.places(deployment, pool, answers) for pool in pools}


def no_capacity(
    deployment: Deployment, pools: Sequence[Pool], error: ResourcesFailedError, places: Mapping[str, Sequence[str]]
) -> NoCapacityError:
    """`places`: what is worth a try, by pool."""
    names = ", ".join(f"{pool.name} ({pool.nodes} x {pool.machine})" for pool in pools)
    tries = [f"for pool {name}, try {'; or '.join(each)}" for name, each in places.items() if each]
    wait = f"`meshctl up {deployment.environment}` tries again, and with --wait-for-capacity 6h it keeps trying"
    return NoCapacityError(
        f"up {deployment.environment}: there are no machines at the moment for {_pools(pools)} {names}; all else is up",
        failures=error.failures,
        why=f"{error.failures[0].message}; {_cost(pools)}",
        hint="; ".join([*tries, wait]),
    )


def _pools(pools: Sequence[Pool]) -> str:
    return "pool" if len(pools) == 1 else "pools"


def _cost(pools: Sequence[Pool]) -> str:
    """Some of a pool's machines may have started, which cost money although the pool is of no use."""
    rates = [f"{pool.name} {pool.price.usd_per_hour:.2f} USD/h" for pool in pools if pool.price.usd_per_hour]
    rest = "any that have started are paid for until the next try ends them"
    return f"all machines of {', '.join(rates)}: {rest}" if rates else rest
