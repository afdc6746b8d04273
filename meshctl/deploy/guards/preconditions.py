"""Which checks a command needs before the engine changes an environment, and in which order. EDGE.

Called by `runs`. Each check is in a module of its own.
"""

from __future__ import annotations

from meshctl.deploy.guards import (
    adopted_buckets,
    adopted_file_systems,
    cluster_identity,
    location,
    upgrade,
    volume_sizes,
)
from meshctl.deploy.guards.running.pods import small_gangs
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def check_change(deployment: Deployment, state: StackState, environments: Environments, left: frozenset[str]) -> None:
    """Before a preview or an `up`. `left`: see `Ownership.resources_with_left_fields`. Raises: as `location`,
    `upgrade`, `small_gangs`, `adopted_file_systems` and `volume_sizes`."""
    check_object_storage(deployment, state, environments)
    small_gangs.check(deployment, state)
    adopted_file_systems.check_reachable(deployment, state)
    volume_sizes.check(deployment, state, left)


def check_object_storage(deployment: Deployment, state: StackState, environments: Environments) -> None:
    """Before an `up` of the buckets alone, which touches nothing in a cluster.

    Raises: as `location`, `upgrade` and `adopted_buckets`.
    """
    adopted_buckets.check_not_own(deployment, state)
    declared = environments.environments.get(deployment.environment)
    cluster = registry.platform(deployment.provider).cluster.made
    if cluster is not None and declared is not None and declared.provider == deployment.provider:
        version = upgrade.with_running_version(deployment, state).cluster.version
        upgrade.refuse_version_jump(deployment.environment, state, version, cluster.product)
        location.check_up(deployment, state, cluster.account(declared))
    adopted_buckets.check_reachable(deployment)


def check_destroy(environment: str, state: StackState) -> None:
    """Before a `destroy`: the state belongs to the account of the credentials and to the cluster of the kubeconfig.

    Raises: as `location`, `cluster_identity` and `adopted_file_systems`.
    """
    location.check_destroy(environment, state)
    cluster_identity.check_destroy(environment, state)
    adopted_file_systems.check_destroy(state)
