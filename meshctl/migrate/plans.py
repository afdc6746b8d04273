"""Makes the plans of migrations and expansions from what is deployed, and what the files ask for. EDGE: reads only.

Called by `migration`; `planning` decides what a plan is.
"""

from __future__ import annotations

from functools import partial

from meshctl.deploy.guards.protection import refused_by_migrate
from meshctl.errors import UsageError
from meshctl.migrate.data import Data
from meshctl.migrate.gateway import Gateway
from meshctl.migrate.planning.expansion import plan_expansion
from meshctl.migrate.planning.inputs import Expanded, Options, Share, StoreFacts
from meshctl.migrate.planning.plan import MigrationPlan, plan_migration
from meshctl.model.deployment import Deployment


def plan_of_migration(
    gateway: Gateway, data: Data, source: str, target: str, options: Options, expanded: Expanded | None = None
) -> MigrationPlan:
    """Make the plan. `expanded`: the expansion that is in force from source to target. Changes nothing.

    Raises: InfeasibleError, UsageError, ProtectedDataError."""
    if source == target:
        raise UsageError(f"source and target are both {source}", hint="name two different environments")
    source_deployment = gateway.deployed(source)
    if source_deployment is None:
        raise UsageError(
            f"nothing is deployed in {source}",
            why="a migration moves what is deployed in its source",
            hint=f"to start the mesh in {target}: `meshctl up {target}`",
        )
    target_deployment = gateway.deployment(target, source_deployment)
    gateway.check_take_over(options.take_over, source_deployment, target_deployment)
    gateway.take_over(options.take_over)
    for deployment in (source_deployment, target_deployment):
        gateway.check_cluster(deployment)
        gateway.check_fields(deployment, f"meshctl migrate {source} {target}")
    facts = _store_facts(gateway, data, source_deployment, target_deployment)
    jobs = gateway.jobs(source_deployment)
    plan = plan_migration(source_deployment, target_deployment, facts, options, jobs, expanded)
    lost = gateway.losses_by_up(target_deployment)
    if lost:  # refused now, because the steps of an open migration can't ask the user
        raise refused_by_migrate(target, lost)
    return plan


def plan_of_expansion(
    gateway: Gateway, data: Data, source: str, target: str, share: Share, options: Options
) -> MigrationPlan:
    """The plan for a share of one workload in a second environment. Changes nothing.

    Raises: InfeasibleError, UsageError, ProtectedDataError."""
    if source == target:
        raise UsageError(f"source and target are both {source}", hint="name two different environments")
    source_deployment = gateway.deployed(source)
    if source_deployment is None:
        raise UsageError(f"nothing is deployed in {source}", hint=f"`meshctl up {source}`")
    target_deployment = gateway.deployment(target, source_deployment, share.workload)
    command = f"meshctl expand {source} {target} --workload {share.workload}"
    for deployment in (source_deployment, target_deployment):
        gateway.check_cluster(deployment)
        gateway.check_fields(deployment, command)
    _refuse_records_elsewhere(gateway, source, target_deployment)
    facts = _store_facts(gateway, data, source_deployment, target_deployment)
    ttl_s = gateway.endpoint_ttl_s()
    rights = gateway.name_rights()
    plan = plan_expansion(source_deployment, target_deployment, share, facts, options, ttl_s, rights)
    lost = gateway.losses_by_up(target_deployment)
    if lost:
        raise refused_by_migrate(target, lost)
    return plan


def _refuse_records_elsewhere(gateway: Gateway, source: str, target: Deployment) -> None:
    """Raises: UsageError unless the record of each endpoint leads to the source: only then it can be shared."""
    targets = gateway.endpoint_targets()
    for endpoint in target.endpoints:
        record = targets.get(endpoint.name)
        if record is None or record.environment != source:
            leads = f"leads to {record.environment}" if record else "does not exist"
            raise UsageError(
                f"the DNS record of {endpoint.host} {leads}, not to {source}",
                why="an expansion shares the name that users ask for",
                hint=f"`meshctl up {source}` writes it, where environments.yaml has `dns`"
                if record is None
                else f"expand from {record.environment}",
            )


def _store_facts(gateway: Gateway, data: Data, source: Deployment, target: Deployment) -> tuple[StoreFacts, ...]:
    """The sizes of each store that both deployments have, and that is not ephemeral."""
    target_stores = {store.name: store for store in target.object_stores}
    facts: list[StoreFacts] = []
    for store in source.object_stores:
        if store.ephemeral or store.name not in target_stores:
            continue
        source_access = partial(gateway.object_access, store)
        target_store = target_stores[store.name]
        target_access = partial(gateway.object_access, target_store)
        facts.append(data.facts(store.name, source_access, target_access, is_target_adopted=target_store.is_adopted))
    return tuple(facts)
