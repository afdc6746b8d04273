"""Whether a side of an expansion answers its users. EDGE: asks load balancers through `Gateway`.

Called by `watch`, every few seconds, and by `migration`, before all users are led away from a side.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshctl.clients.endpoints.endpoint_questions import questions
from meshctl.clients.endpoints.health_checks import Answer
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.journal.history import History
from meshctl.migrate.planning.plan import MigrationPlan
from meshctl.model.deployment import Deployment
from meshctl.model.dns_splits import CHECK_FAILURES, CHECK_INTERVAL_S, WHOLE, Split


def answer(gateway: Gateway, deployment: Deployment, splits: Mapping[str, Split]) -> Answer:
    """The first bad answer of the shared endpoints, or a good one. They are asked where their records lead: a cluster
    whose API does not answer may serve all the same."""
    given = Answer(ok=True, text="no endpoint is shared")
    for endpoint in deployment.endpoints:
        sides = splits[endpoint.name].sides if endpoint.name in splits else ()
        for address in (side.address for side in sides if side.environment == deployment.environment):
            given = gateway.probe(deployment, endpoint, address, next(questions(deployment, endpoint)))
            if not given.ok:
                return given
    return given


def of_round(
    gateway: Gateway, history: History, weight: int, *, is_source_sick: bool | None = None
) -> dict[str, object]:
    """What the journal records of a round with this weight. Before all users are led away from the source, it is asked:
    those of one that is sick are not to wait until the target has replicas for all of them. `is_source_sick`: what a
    watcher knows of it; None = it is to be asked."""
    if weight != WHOLE:
        return {"weight": weight}
    if is_source_sick is None:
        is_source_sick = _is_source_sick(gateway, history.plan)
    return {"weight": weight, "source_sick": is_source_sick}


def _is_source_sick(gateway: Gateway, plan: MigrationPlan) -> bool:
    """As a watcher would know it: by several bad answers in a row, since one connection may be lost. Where the target
    does not answer either, it is this machine that reaches neither of them, and nothing is known."""
    splits = gateway.splits()
    for number in range(CHECK_FAILURES):
        if number:
            gateway.sleep(CHECK_INTERVAL_S)
        if answer(gateway, plan.source, splits).ok:
            return False
    return answer(gateway, plan.target, splits).ok
