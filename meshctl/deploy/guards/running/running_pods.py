"""Pods that are up keep what a newer meshctl, or what comes beside them, would decide otherwise. PURE.

Called by `runs` and for migrations. A pod that changes is replaced, and a job runs anew; that
needs a change of what the files say about it.
"""

from __future__ import annotations

from meshctl.deploy.guards import cluster_maker, namespaces
from meshctl.deploy.guards.running.endpoints import endpoint_nodes, gateway_redirects
from meshctl.deploy.guards.running.pods import (
    given_fabrics,
    group_forms,
    running_drains,
    running_evictions,
    running_gangs,
    running_groups,
    running_queues,
)
from meshctl.deploy.guards.running.pools import (
    node_setup,
    pools_in_place,
    queue_names,
    reserved_pools,
    running_machines,
    running_releases,
    running_zones,
)
from meshctl.model.deployment import Deployment
from meshctl.model.pods import pod_users
from meshctl.model.stack_state import StackState


def with_running_pods(deployment: Deployment, state: StackState) -> Deployment:
    """The deployment with the fabrics, users, drains, groups, gangs and queues of the pods that are up, where the files
    ask for no others; with the zones, machines, reservations, gateways, load balancers, releases and set-up nodes of
    what is up, in the namespace as the first `up` found or made it, and with the maker of the cluster that is up."""
    deployment = cluster_maker.as_it_is_up(deployment, state)
    deployment = gateway_redirects.as_it_is_up(deployment, state.deployment)
    deployment = node_setup.with_setup(endpoint_nodes.with_own_nodes(deployment, state), state)
    deployment = namespaces.as_it_is_up(_with_running_zones(deployment, state), state)
    deployment = running_drains.with_drains(deployment, state)
    deployment = running_releases.with_running_releases(deployment, state.deployment)
    deployment = queue_names.as_they_are_up(deployment, state.deployment)
    deployment = group_forms.with_running_form(given_fabrics.with_running_fabrics(deployment, state), state)
    deployment = pod_users.as_it_is_up(deployment, state.deployment)
    deployment = running_queues.as_they_are_up(deployment, state)
    running = running_gangs.as_they_are_up(running_evictions.as_they_are_up(deployment, state), state)
    return running_evictions.where_made_anew(running_groups.as_they_are_up(running, state), deployment, state)


def notes(wanted: Deployment, running: Deployment, state: StackState) -> tuple[str, ...]:
    """Where groups and jobs are otherwise than they would be if they came up now. `wanted`, `running`: before and after
    `with_running_pods`."""
    return (
        *running_groups.notes(wanted, running, state),
        *running_queues.notes(wanted, running),
        *running_queues.notes_on_node_pools(running, state.deployment),
    )


def _with_running_zones(deployment: Deployment, state: StackState) -> Deployment:
    in_place, last = pools_in_place.in_place(state), pools_in_place.last_run(state)
    deployment = reserved_pools.as_last_known(deployment, last, in_place)
    deployment = running_machines.with_running_machines(deployment, in_place)
    return running_zones.with_running_zones(deployment, last, in_place)
