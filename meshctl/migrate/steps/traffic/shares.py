"""Steps that write weighted DNS records, let names lead to them, and remove them. EDGE: through `Gateway` alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from meshctl.errors import CredentialsError, MigrationError, NotReadyError, UnreachableError
from meshctl.migrate.planning.expansion import check_of
from meshctl.migrate.steps.context import DONE, NOT_DONE, Observation, StepContext
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.dns_splits import SHARED_BY, WHOLE, Side, Split, split_name

_DNS_S = 600


def observe_records(context: StepContext) -> Observation:
    written = context.gateway.splits()
    return DONE if all(written.get(name) == split for name, split in _wanted(context).items()) else NOT_DONE


def act_records(context: StepContext) -> dict[str, Any]:
    wanted = _wanted(context)
    context.gateway.write_splits(_hosts(context), wanted)
    weights = {side.environment: side.weight for split in wanted.values() for side in split.sides}
    return {"weights": weights}


def verify_records(context: StepContext) -> dict[str, Any]:
    if observe_records(context) != DONE:
        raise _changed_by_others()
    return {}


def observe_names(context: StepContext) -> Observation:
    targets = context.gateway.endpoint_targets()
    both = _both(context)
    led = all(name in targets and targets[name].environments == set(both) for name in context.step.endpoints)
    return DONE if led else NOT_DONE


def act_names(context: StepContext) -> dict[str, Any]:
    context.gateway.lead_to_splits(context.step.endpoints)
    return {"shared_by": SHARED_BY.join(_both(context))}


def verify_names(context: StepContext) -> dict[str, Any]:
    if observe_names(context) != DONE:
        raise _changed_by_others()
    return {}


def verify_dns(context: StepContext) -> dict[str, Any]:
    hint = "check that the domain is delegated to the zone of `dns:` in environments.yaml"
    context.wait_until("the weighted records in DNS", lambda: _outdated_answer(context), _DNS_S, hint)
    return {}


def _outdated_answer(context: StepContext) -> str:
    for host in _hosts(context).values():
        answers = [answer.rstrip(".") for answer in context.gateway.resolve_dns(host)]
        if split_name(host) not in answers:
            return f"{host} is {', '.join(answers) or 'unknown'}, not yet {split_name(host)}"
    return ""


def observe_removed(context: StepContext) -> Observation:
    return DONE if not set(context.gateway.splits()) & set(context.step.endpoints) else NOT_DONE


def act_remove(context: StepContext) -> dict[str, Any]:
    context.gateway.write_splits(_hosts(context), {})
    return {}


def _wanted(context: StepContext) -> dict[str, Split]:
    """The weighted records of each endpoint. Raises: NotReadyError while a load balancer has no address."""
    share = context.history.share
    if share is None or context.history.direction != "forward":
        return _all_to_source(context)
    weight = share.dns_weight
    source, target = context.planned_side("source"), context.planned_side("target")
    return {
        endpoint.name: Split(
            f"{source.mesh} {context.history.records[0].at:.3f}",
            (_side(context, source, endpoint, WHOLE - weight), _side(context, target, endpoint, weight)),
        )
        for endpoint in target.endpoints
        if endpoint.name in context.step.endpoints
    }


def _all_to_source(context: StepContext) -> dict[str, Split]:
    """The weighted records as they are, with all weight at the source: the target may be gone and can't be asked."""
    source = context.plan.source.environment
    return {
        name: replace(split, sides=tuple(replace(s, weight=WHOLE * (s.environment == source)) for s in split.sides))
        for name, split in context.gateway.splits().items()
        if name in context.step.endpoints
    }


def _side(context: StepContext, deployment: Deployment, endpoint: Endpoint, weight: int) -> Side:
    address = _address(context, deployment, endpoint, weight)
    if not address:
        raise NotReadyError(
            f"no address in {deployment.environment} for {endpoint.name}",
            why="the load balancer has no address yet",
            hint=f"`meshctl status {deployment.environment}` shows its state",
        )
    own = next(each for each in deployment.endpoints if each.name == endpoint.name)
    return Side(deployment.environment, address, weight, check_of(deployment, own))


def _address(context: StepContext, deployment: Deployment, endpoint: Endpoint, weight: int) -> str:
    """Of the load balancer. An environment that does not answer gets no more users than it has, but may get fewer: then
    its record leads where it did."""
    try:
        return context.gateway.addresses(deployment).get(endpoint.name, "")
    except (UnreachableError, CredentialsError):
        split = context.gateway.splits().get(endpoint.name)
        sides = [each for each in split.sides if each.environment == deployment.environment] if split else []
        if not sides or weight > sides[0].weight:
            raise
        return sides[0].address


def _hosts(context: StepContext) -> dict[str, str]:
    endpoints = context.planned_side("target").endpoints
    return {each.name: each.host for each in endpoints if each.name in context.step.endpoints}


def _both(context: StepContext) -> tuple[str, str]:
    return context.plan.source.environment, context.plan.target.environment


def _changed_by_others() -> MigrationError:
    return MigrationError(
        "the DNS records are not what was written",
        why="something else has changed them at the same time",
        hint="check the DNS zone, then `meshctl migrations resume`",
    )
