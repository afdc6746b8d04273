"""What must hold of an environment before the engine changes it: same place, a way from here to there. EDGE.

Called by `session`. Each check is in a module of its own; here is which of them a command needs, and in which order.
"""

from __future__ import annotations

from meshctl.deploy.guards import cluster_identity, location, upgrade, volume_sizes
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry


def check_change(deployment: Deployment, state: StackState, environments: Environments, left: frozenset[str]) -> None:
    """Before a preview or an `up`. `left`: see `Ownership.left`. Raises: as `location`, `upgrade` and
    `volume_sizes`."""
    check_object_storage(deployment, state, environments)
    volume_sizes.check(deployment, state, left)


def check_object_storage(deployment: Deployment, state: StackState, environments: Environments) -> None:
    """Before an `up` of the buckets alone, which touches nothing in a cluster. Raises: as `location` and `upgrade`."""
    declared = environments.environments.get(deployment.environment)
    cluster = registry.platform(deployment.provider).cluster.made
    if cluster is not None and declared is not None and declared.provider == deployment.provider:
        wanted = upgrade.with_running_version(deployment, state).cluster.version
        upgrade.refuse_version_jump(deployment.environment, state, wanted, cluster.product)
        location.check_up(deployment, state, cluster.account(declared))


def check_destroy(environment: str, state: StackState) -> None:
    """The state is of the account and of the cluster that are at hand. Raises: as `location` and `cluster_identity`."""
    location.check_destroy(environment, state)
    cluster_identity.check_destroy(environment, state)
