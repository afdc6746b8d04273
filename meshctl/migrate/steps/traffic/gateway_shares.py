"""The step that tells the source's gateway which share of the requests it leads to the target. EDGE: through `Gateway`
alone.

It is an `up` of the source as it is deployed, with another share: only a user's own `up` may change the rest of the
source. The pods of the gateway are replaced one by one, and finish the requests in flight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from meshctl.clients.endpoints.health_checks import Question
from meshctl.errors import CredentialsError, MeshError, MigrationError, NotReadyError, UnreachableError
from meshctl.migrate.planning.gateway_shares import elsewhere
from meshctl.migrate.steps.context import STOPPING, StepContext, alive
from meshctl.migrate.steps.stopping import until_ended
from meshctl.model.deployment import Deployment, Elsewhere, Endpoint
from meshctl.model.keys import gateway_shares
from meshctl.model.observed import PodState
from meshctl.render.controllers.gateway_shares import REACHED_PATH
from meshctl.render.pod.pods import grace_s

_REACHED_S = 120
_ENDED_MARGIN_S = 120  # beyond what the pods of a gateway may take to end


def act(context: StepContext) -> dict[str, Any]:
    """Repeated after an `up` that failed, which leaves the same outputs as one that succeeded. A failure beside the
    gateway does not fail the step: it must not hold up a share, and above all not the end of one. Neither does what has
    the whole `up` refused where a share ends: then the gateway alone is changed."""
    wanted = _wanted(context)
    try:
        context.gateway.up(gateway_shares.with_shares(_deployed(context), wanted), context.say)
    except MeshError as error:
        if isinstance(error, STOPPING):
            raise
        if not _is_set(context, wanted):
            if _leads_elsewhere(context):
                raise
            _change_gateways_alone(context, wanted, error)
        source = context.plan.source.environment
        context.say(
            f"the gateway of {source} has the new share, but another part of the `up` failed: {error.what};"
            f" `meshctl up {source}` tries again"
        )
    return {"weights": {name: each.weight if each is not None else 0 for name, each in wanted.items()}}


def _change_gateways_alone(context: StepContext, wanted: Mapping[str, Elsewhere | None], refusal: MeshError) -> None:
    """Raises: as `Gateway.up_workloads`; `refusal` where the gateways lead elsewhere all the same."""
    names = [each.workload for each in _endpoints(context)]
    deployed = gateway_shares.with_shares(_deployed(context), wanted)
    context.gateway.up_workloads(deployed, names, context.say)
    if not _is_set(context, wanted):
        raise refusal


def _is_set(context: StepContext, wanted: Mapping[str, Elsewhere | None]) -> bool:
    """Whether all pods of the gateways have the wanted shares, also after an `up` that failed in something else. An
    `up` that was refused has changed nothing: the state has the shares of before then."""
    deployed = _deployed(context)
    if gateway_shares.with_shares(deployed, wanted) != deployed:
        return False
    return not any(context.gateway.not_declared(deployed, each.workload) for each in _endpoints(context))


def verify(context: StepContext) -> dict[str, Any]:
    """On the way back no pod is left that leads elsewhere: what is there goes next. On the way there the target is seen
    to be reached, unless it gets less than it had, since it may be what is in trouble.

    Raises: NotReadyError; AmbiguousStepError where an old pod is on a lost node, and may still lead requests."""
    for endpoint in _endpoints(context):
        if not _leads_elsewhere(context):
            words = (f"the old pods of {endpoint.workload} to end", "still ending what is in flight")
            limit_s = grace_s(_deployed(context).workload(endpoint.workload)) + _ENDED_MARGIN_S
            watch = until_ended(context, words, partial(_ending, context, endpoint), limit_s)
            for name, seconds in sorted(watch.exhausted.items()):
                context.say(
                    f"{name} used its whole grace period of {seconds} s, after which a pod is killed: requests that it"
                    " still had in flight may have been cut off"
                )
        elif _gets_more(context):
            _check_reached(context, endpoint)
    return {}


def _check_reached(context: StepContext, endpoint: Endpoint) -> None:
    source, target = context.plan.source.environment, context.plan.target.environment
    hint = (
        f"the log of the pods of {endpoint.workload} in {source} says why: no route between the networks, `cidrs` that"
        " exclude these pods, or a certificate of an authority that the image does not trust; `meshctl contract` gives"
        " up the expansion, and `meshctl expand` without --by gateway shares by DNS instead"
    )
    what = f"the gateway of {source} to reach {endpoint.host} in {target}"
    context.wait_until(what, partial(_not_reached, context, endpoint), _REACHED_S, hint)


def _wanted(context: StepContext) -> dict[str, Elsewhere | None]:
    """By endpoint. Raises: NotReadyError while a load balancer has no address."""
    share = context.history.share
    if share is None or not _leads_elsewhere(context):
        return dict.fromkeys(context.step.endpoints)
    target, shares = context.planned_side("target"), gateway_shares.shares(_deployed(context))
    wanted: dict[str, Elsewhere | None] = {}
    for each in target.endpoints:
        if each.name in context.step.endpoints:
            present = shares.get(each.name)
            addresses = _addresses(context, target, each, share.weight, present)
            wanted[each.name] = elsewhere(target, each, share.weight, addresses, present)
    return wanted


def _addresses(
    context: StepContext, target: Deployment, endpoint: Endpoint, weight: int, present: Elsewhere | None
) -> Sequence[str]:
    """Of the target's load balancer. One that does not answer gets no more requests than it has, but may get fewer."""
    try:
        address = context.gateway.addresses(target).get(endpoint.name, "")
        if address:
            return context.gateway.ip_addresses(address)
    except (UnreachableError, CredentialsError):
        if present is None or weight > present.weight:
            raise
        return present.addresses
    raise NotReadyError(
        f"no address in {target.environment} for {endpoint.name}",
        why="the load balancer has no address yet",
        hint=f"`meshctl status {target.environment}` shows its state",
    )


def _ending(context: StepContext, endpoint: Endpoint) -> list[PodState]:
    return [pod for pod in alive(list(context.gateway.pods(context.plan.source, endpoint.workload))) if pod.stopping]


def _not_reached(context: StepContext, endpoint: Endpoint) -> str:
    source = _deployed(context)
    address = context.gateway.addresses(source).get(endpoint.name, "")
    if not address:
        return f"{endpoint.name} has no address"
    is_https = endpoint.port == "https" or endpoint.certificate is not None
    question = Question("https" if is_https else "http", REACHED_PATH, below=300)
    answer = context.gateway.probe(source, endpoint, address, question)
    return "" if answer.ok else answer.text


def _leads_elsewhere(context: StepContext) -> bool:
    return context.history.direction == "forward"


def _gets_more(context: StepContext) -> bool:
    *before, now = context.history.weights
    return not before or now > before[-1]


def _endpoints(context: StepContext) -> list[Endpoint]:
    return [each for each in context.plan.source.endpoints if each.name in context.step.endpoints]


def _deployed(context: StepContext) -> Deployment:
    """The source as it is now. Raises: MigrationError if nothing is deployed there."""
    source = context.plan.source.environment
    deployed = context.gateway.deployed(source)
    if deployed is None:
        raise MigrationError(
            f"nothing is deployed in {source}",
            why="its gateway leads the requests",
            hint=f"`meshctl up {source}` brings it up again",
        )
    return deployed
