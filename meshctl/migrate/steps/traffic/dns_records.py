"""Steps that move the DNS records of the endpoints and wait until resolvers use them. EDGE: through `Gateway` alone."""

from __future__ import annotations

from typing import Any

from meshctl.errors import MigrationError, NotReadyError
from meshctl.migrate.steps.context import DONE, NOT_DONE, Observation, State, StepContext

_DNS_S = 600


def observe_dns_records(context: StepContext) -> Observation:
    """AMBIGUOUS if a record leads to a third environment: someone else has changed it, perhaps on purpose."""
    targets = context.gateway.endpoint_targets()
    both = {context.plan.source.environment, context.plan.target.environment}
    elsewhere = [
        f"{n} -> {t.environment}"
        for n, t in targets.items()
        if n in context.step.endpoints and not t.environments <= both
    ]
    if elsewhere:
        return Observation(
            State.AMBIGUOUS,
            reason=f"DNS records lead to a third environment: {', '.join(elsewhere)}",
            ask="whether these records may be changed",
        )
    addresses = context.gateway.addresses(context.deployment)
    environment = context.deployment.environment
    moved = all(
        name in targets and (targets[name].environment, targets[name].address) == (environment, addresses.get(name))
        for name in context.step.endpoints
    )
    return DONE if moved else NOT_DONE


def before_dns_records(context: StepContext) -> dict[str, Any]:
    """`ttl_s`: how long resolvers may cache the old records. It can't be read any more once they are overwritten."""
    return {"ttl_s": max((target.ttl_s for target in context.gateway.endpoint_targets().values()), default=0)}


def act_dns_records(context: StepContext) -> dict[str, Any]:
    addresses = context.gateway.addresses(context.deployment)
    missing = [name for name in context.step.endpoints if not addresses.get(name)]
    if missing:
        raise NotReadyError(
            f"no address in {context.deployment.environment} for {', '.join(missing)}",
            why="the load balancer has no address yet",
            hint=f"`meshctl status {context.deployment.environment}` shows its state",
        )
    step_addresses = {name: addresses[name] for name in context.step.endpoints}
    context.gateway.point_endpoints(context.deployment, step_addresses)
    return {"addresses": step_addresses}


def verify_dns_records(context: StepContext) -> dict[str, Any]:
    if observe_dns_records(context) != DONE:
        raise MigrationError(
            "the DNS records are not what was written",
            why="something else has changed them at the same time",
            hint="check the DNS zone, then `meshctl migrations resume`",
        )
    return {}


def observe_dns(context: StepContext) -> Observation:
    return NOT_DONE if _outdated_answer(context) else DONE


def verify_dns(context: StepContext) -> dict[str, Any]:
    hint = "check that the domain is delegated to the zone of `dns:` in environments.yaml"
    context.wait_until("the new addresses in DNS", lambda: _outdated_answer(context), _DNS_S, hint)
    return {}


def _outdated_answer(context: StepContext) -> str:
    addresses = context.gateway.addresses(context.deployment)
    for endpoint in context.endpoints:
        address = addresses.get(endpoint.name, "")
        answers = [answer.rstrip(".") for answer in context.gateway.resolve_dns(endpoint.host)]
        if address.rstrip(".") not in answers:
            return f"{endpoint.host} is {', '.join(answers) or 'unknown'}, not yet {address or 'known'}"
    return ""


def observe_ttl(context: StepContext) -> Observation:
    return NOT_DONE if _remaining_ttl_s(context) > 0 else DONE


def act_ttl(context: StepContext) -> dict[str, Any]:
    context.pause(_remaining_ttl_s(context))
    return {}


def _remaining_ttl_s(context: StepContext) -> float:
    """Seconds until no resolver can have a cached answer from before the change."""
    phase = context.step.phase
    intents = [r for r in context.history.records if r.kind == "intent" and r.step.startswith(f"{phase}/")]
    old_ttl_s = max((int(record.data.get("ttl_s", 0)) for record in intents), default=0)
    done = context.history.done
    # another share changes only records that names lead to already: its name server is not asked
    written = done[f"{phase}/dns" if f"{phase}/dns" in done else f"{phase}/records"].at
    return written + max(old_ttl_s, context.gateway.endpoint_ttl_s()) - context.gateway.now()


def check_dns_records(context: StepContext) -> dict[str, Any]:
    targets = context.gateway.endpoint_targets()
    environment = context.deployment.environment
    # a record that does not exist, because its endpoint was removed from the mesh, leads nobody to the source
    elsewhere = [n for n in context.step.endpoints if n in targets and targets[n].environment != environment]
    if elsewhere:
        raise MigrationError(
            f"the DNS record of {', '.join(elsewhere)} does not lead to {environment}",
            why="the source may still serve users",
            hint="change the record, or roll the migration back",
        )
    return {}
