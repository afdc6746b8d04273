"""The steps that count replicas where load moves them. EDGE: through `Gateway` alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from meshctl.errors import CredentialsError, MeshError, UnreachableError
from meshctl.migrate.steps.context import STOPPING, StepContext, alive
from meshctl.model.deployment import Deployment
from meshctl.model.dns_splits import WHOLE
from meshctl.model.observed import PodState
from meshctl.render.pod import probes


def count(context: StepContext) -> dict[str, Any]:
    """How many replicas the source has of workloads that follow load: the target starts with as many. Of an expanded
    one the target has some already: it gets those of both, for which the source need not have room."""
    plan, names = context.plan, sorted(context.step.workloads)
    at_source = {name: _running(context, plan.source, name) for name in names}
    at_target = {name: _running(context, plan.target, name) for name in names if name in plan.serving}
    both = {name: count + at_target.get(name, 0) for name, count in at_source.items()}
    return {"replicas": both, **({"at_source": at_source} if at_target else {})}


def count_share(context: StepContext) -> dict[str, Any]:
    """How many replicas of workloads that follow load a side of an expansion needs: its share of those of both."""
    share = context.history.share
    weight = share.weight if share is not None and context.history.direction == "forward" else 0
    if context.step.side == "source":
        weight = WHOLE - weight
    counts = {}
    for name in sorted(context.step.workloads):
        replicas = _running_at_source(context, name, weight) + _running_at_target(context, name)
        counts[name] = math.ceil(replicas * weight / WHOLE)
    return {"replicas": counts}


def _running_at_source(context: StepContext, name: str, weight: int) -> int:
    """0 also where the source does not answer and all users are led away from it."""
    try:
        return _running(context, context.plan.source, name)
    except (UnreachableError, CredentialsError) as error:
        if context.step.side == "source" or weight != WHOLE:
            raise
        context.say(f"the replicas of {context.plan.source.environment} are not counted: {error.what}")
        return 0


def _running_at_target(context: StepContext, name: str) -> int:
    """0 also where the target does not answer: users are led away from it all the same."""
    if not context.history.began("start/target") and name not in context.plan.serving:
        return 0
    try:
        return _running(context, context.plan.target, name)
    except (UnreachableError, CredentialsError) as error:
        context.say(f"the replicas of {context.plan.target.environment} are not counted: {error.what}")
        return 0


def keep(context: StepContext) -> dict[str, Any]:
    """Brings the source of an expansion, as it is deployed now, to at least the counted replicas; without a count, load
    decides again. Only where it has too few: it belongs to who runs `up` there. And where they don't come, for want of
    nodes or of anything else, the step ends all the same: whoever ends an expansion must not be held up in it. So it is
    with the target of a source that is sick: users are led there by then."""
    deployed, least = context.gateway.deployed(context.deployment.environment), context.replicas_to_keep
    if deployed is None:
        return {}
    wanted = deployed.with_least(least)
    if wanted == deployed or (least and not _missing(context, wanted, least)):
        return {}
    try:
        context.gateway.up(wanted, context.say)
        limit_s = max((probes.ready_s(wanted.workload(name)) for name in least), default=0)
        what = f"the replicas of {wanted.environment}"
        context.wait_until(what, lambda: _missing(context, wanted, least), limit_s)
    except MeshError as error:
        if isinstance(error, STOPPING):
            raise
        environment = wanted.environment
        later = "load adds replicas as users come" if least else f"`meshctl up {environment}` lets load decide again"
        context.say(f"the replicas of {environment} stay as they are: {error.what}; {later}")
    return {"replicas": least}


def _missing(context: StepContext, wanted: Deployment, least: Mapping[str, int]) -> str:
    """The first of the workloads with too few ready pods, in words; "" if there is none."""
    for name in (each.name for each in wanted.workloads if each.name in least and each.has_range):
        own_pods = (pod for pod in context.gateway.pods(wanted, name) if not pod.is_lent)
        ready, pods = sum(pod.ready for pod in own_pods), wanted.workload(name).pods
        if ready < pods:
            return f"{name} has {ready} of {pods} pods ready"
    return ""


def _only_waits(pod: PodState) -> bool:
    """Whether it is asked for in vain as long as nobody lends a node."""
    return pod.is_lent and not pod.node


def _running(context: StepContext, side: Deployment, name: str) -> int:
    """One of what is asleep: the other side has to answer before names lead there."""
    pods = [pod for pod in alive(list(context.gateway.pods(side, name))) if not pod.stopping and not _only_waits(pod)]
    workload = side.workload(name)
    count = len(pods) // workload.nodes_per_replica
    return max(count, 1) if workload.sleeps else count
