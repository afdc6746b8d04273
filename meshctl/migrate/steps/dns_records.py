"""Steps that move the endpoints' names and wait for DNS. EDGE: through `Gateway` alone."""

from __future__ import annotations

from typing import Any

from meshctl.errors import MigrationError, NotReadyError
from meshctl.migrate.steps.context import DONE, NOT_DONE, Observation, State, StepContext
from meshctl.migrate.steps.environment import endpoints

_DNS_S = 600


def observe_dns_records(context: StepContext) -> Observation:
    """A name that leads to neither environment was moved by someone else, and may be meant so."""
    targets = context.gateway.endpoint_targets()
    ours = {context.plan.source.environment, context.plan.target.environment}
    strangers = [
        f"{n} -> {t.environment}"
        for n, t in targets.items()
        if n in context.step.endpoints and t.environment not in ours
    ]
    if strangers:
        return Observation(
            State.AMBIGUOUS,
            reason=f"names lead to a third environment: {', '.join(strangers)}",
            ask="whether they may be moved",
        )
    addresses = context.gateway.addresses(context.deployment)
    here = context.deployment.environment
    moved = all(
        name in targets and (targets[name].environment, targets[name].address) == (here, addresses.get(name))
        for name in context.step.endpoints
    )
    return DONE if moved else NOT_DONE


def before_dns_records(context: StepContext) -> dict[str, Any]:
    """`ttl_s`: how long resolvers may keep what the records said until now. Once they are written it can't be told."""
    return {"ttl_s": max((target.ttl_s for target in context.gateway.endpoint_targets().values()), default=0)}


def act_dns_records(context: StepContext) -> dict[str, Any]:
    known = context.gateway.addresses(context.deployment)
    missing = [name for name in context.step.endpoints if not known.get(name)]
    if missing:
        raise NotReadyError(
            f"{', '.join(missing)}: no address in {context.deployment.environment}",
            why="its load balancer has none yet",
            hint=f"`meshctl status {context.deployment.environment}`",
        )
    addresses = {name: known[name] for name in context.step.endpoints}
    context.gateway.point_endpoints(context.deployment, addresses)
    return {"addresses": addresses}


def verify_dns_records(context: StepContext) -> dict[str, Any]:
    if observe_dns_records(context) != DONE:
        raise MigrationError("the names do not lead where they were written to lead", hint="look at the DNS zone")
    return {}


def observe_dns(context: StepContext) -> Observation:
    return NOT_DONE if _outdated_answer(context) else DONE


def verify_dns(context: StepContext) -> dict[str, Any]:
    hint = "is the zone of `dns:` the one that the domain is delegated to?"
    context.wait_until("DNS answers with the new addresses", lambda: _outdated_answer(context), _DNS_S, hint)
    return {}


def _outdated_answer(context: StepContext) -> str:
    addresses = context.gateway.addresses(context.deployment)
    for endpoint in endpoints(context):
        wanted = addresses.get(endpoint.name, "")
        found = [answer.rstrip(".") for answer in context.gateway.resolve_dns(endpoint.host)]
        if wanted.rstrip(".") not in found:
            return f"{endpoint.host} is {', '.join(found) or 'unknown'}, not yet {wanted or 'known'}"
    return ""


def observe_ttl(context: StepContext) -> Observation:
    return NOT_DONE if _remaining_ttl_s(context) > 0 else DONE


def act_ttl(context: StepContext) -> dict[str, Any]:
    context.pause(_remaining_ttl_s(context))
    return {}


def _remaining_ttl_s(context: StepContext) -> float:
    """Seconds until no resolver can hold an answer from before the change."""
    phase = context.step.phase
    intents = [r for r in context.history.records if r.kind == "intent" and r.step.startswith(f"{phase}/")]
    old_ttl_s = max((int(record.data.get("ttl_s", 0)) for record in intents), default=0)
    answered = context.history.done[f"{phase}/dns"].at
    return answered + max(old_ttl_s, context.gateway.endpoint_ttl_s()) - context.gateway.now()


def check_dns_records(context: StepContext) -> dict[str, Any]:
    targets = context.gateway.endpoint_targets()
    here = context.deployment.environment
    # a name that is gone, as its endpoint left the mesh meanwhile, leads nobody to the source
    others = [n for n in context.step.endpoints if n in targets and targets[n].environment != here]
    if others:
        raise MigrationError(
            f"{', '.join(others)}: the name does not lead to {here}",
            why="the source may still serve users",
            hint="move it, or roll the migration back",
        )
    return {}
