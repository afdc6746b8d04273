"""Steps that move the endpoints' names and wait for DNS. EDGE: through `World` alone."""

from __future__ import annotations

from typing import Any

from meshctl.errors import MigrationError, NotReadyError
from meshctl.migrate.steps.environment import endpoints
from meshctl.migrate.steps.work import DONE, NOT_DONE, Observation, State, Work

_DNS_S = 600


def observe_names(work: Work) -> Observation:
    """A name that leads to neither environment was moved by someone else, and may be meant so."""
    targets = work.world.endpoint_targets()
    ours = {work.plan.source.environment, work.plan.target.environment}
    strangers = [
        f"{n} -> {t.environment}" for n, t in targets.items() if n in work.step.endpoints and t.environment not in ours
    ]
    if strangers:
        return Observation(
            State.AMBIGUOUS,
            reason=f"names lead to a third environment: {', '.join(strangers)}",
            ask="whether they may be moved",
        )
    addresses = work.world.addresses(work.deployment)
    here = work.deployment.environment
    moved = all(
        name in targets and (targets[name].environment, targets[name].address) == (here, addresses.get(name))
        for name in work.step.endpoints
    )
    return DONE if moved else NOT_DONE


def before_names(work: Work) -> dict[str, Any]:
    """`ttl_s`: how long resolvers may keep what the records said until now. Once they are written it can't be told."""
    return {"ttl_s": max((target.ttl_s for target in work.world.endpoint_targets().values()), default=0)}


def act_names(work: Work) -> dict[str, Any]:
    known = work.world.addresses(work.deployment)
    missing = [name for name in work.step.endpoints if not known.get(name)]
    if missing:
        raise NotReadyError(
            f"{', '.join(missing)}: no address in {work.deployment.environment}",
            why="its load balancer has none yet",
            hint=f"`meshctl status {work.deployment.environment}`",
        )
    addresses = {name: known[name] for name in work.step.endpoints}
    work.world.point_endpoints(work.deployment, addresses)
    return {"addresses": addresses}


def verify_names(work: Work) -> dict[str, Any]:
    if observe_names(work) != DONE:
        raise MigrationError("the names do not lead where they were written to lead", hint="look at the DNS zone")
    return {}


def observe_dns(work: Work) -> Observation:
    return NOT_DONE if _unanswered(work) else DONE


def verify_dns(work: Work) -> dict[str, Any]:
    hint = "is the zone of `dns:` the one that the domain is delegated to?"
    work.until("DNS answers with the new addresses", lambda: _unanswered(work), _DNS_S, hint)
    return {}


def _unanswered(work: Work) -> str:
    addresses = work.world.addresses(work.deployment)
    for endpoint in endpoints(work):
        wanted = addresses.get(endpoint.name, "")
        found = [answer.rstrip(".") for answer in work.world.resolve_dns(endpoint.host)]
        if wanted.rstrip(".") not in found:
            return f"{endpoint.host} is {', '.join(found) or 'unknown'}, not yet {wanted or 'known'}"
    return ""


def observe_ttl(work: Work) -> Observation:
    return NOT_DONE if _left_s(work) > 0 else DONE


def act_ttl(work: Work) -> dict[str, Any]:
    work.pause(_left_s(work))
    return {}


def _left_s(work: Work) -> float:
    """Seconds until no resolver can hold an answer from before the change."""
    phase = work.step.phase
    intents = [r for r in work.history.records if r.kind == "intent" and r.step.startswith(f"{phase}/")]
    old_ttl_s = max((int(record.data.get("ttl_s", 0)) for record in intents), default=0)
    answered = work.history.done[f"{phase}/dns"].at
    return answered + max(old_ttl_s, work.world.endpoint_ttl_s()) - work.world.now()


def check_names(work: Work) -> dict[str, Any]:
    targets = work.world.endpoint_targets()
    here = work.deployment.environment
    # a name that is gone, as its endpoint left the mesh meanwhile, leads nobody to the source
    others = [n for n in work.step.endpoints if n in targets and targets[n].environment != here]
    if others:
        raise MigrationError(
            f"{', '.join(others)}: the name does not lead to {here}",
            why="the source may still serve users",
            hint="move it, or roll the migration back",
        )
    return {}
