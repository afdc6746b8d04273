"""Which cluster an environment on an existing cluster is in: as its state has it, and as the kubeconfig leads to. EDGE.

Called by `session` before the engine starts, and by what only looks. In another cluster the objects of a state read as
"not found", which a run would take for "deleted". The neighbour for regions and accounts of AWS is `location`; there
the cluster is the stack's own, and not asked for.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from meshctl.clients import clusters
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.engine import pending
from meshctl.errors import CredentialsError, UnreachableError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import Resource, StackState
from meshwire.kubeconfig import is_content

_PROVIDER = "pulumi:providers:kubernetes"


def saved(environment: str, state: StackState) -> ClusterAccess | None:
    """The cluster that a state's objects were made in, and how it was reached; None where none are in an existing one.

    Its `uid` is empty in a state of a version that did not record it.
    """
    for provider in state.used_providers(_PROVIDER):
        inputs = provider.inputs
        kubeconfig = str(inputs.get("kubeconfig") or "")
        if not is_content(kubeconfig):  # content is what the stack of a cluster that it made itself hands on
            uid = str(inputs.get("clusterIdentifier") or "")
            return ClusterAccess(environment, kubeconfig, str(inputs.get("context") or ""), uid)
    return None


def asked(deployment: Deployment) -> str:
    """The UID of the cluster that a deployment's kubeconfig leads to; empty where meshctl makes the cluster.

    Raises: CredentialsError, UnreachableError.
    """
    return "" if clusters.is_made(deployment) else clusters.uid(clusters.access(deployment))


def asked_if_it_answers(deployment: Deployment) -> str | None:
    """The same; None where the cluster can't be asked."""
    try:
        return asked(deployment)
    except (CredentialsError, UnreachableError):
        return None


def recorded(environment: str, state: StackState) -> str:
    """The UID of the cluster that the state's objects were made in; empty where there is none."""
    there = saved(environment, state)
    return there.uid if there is not None else ""


def is_reached_as_before(access: ClusterAccess, state: StackState) -> bool:
    """Whether the engine, which reads the objects of a state the way that they were made, goes through `access`. By
    another way it may meet another cluster by now, in which all of them read as gone."""
    there = saved(access.name, state)
    return there is None or (there.kubeconfig, there.context) == (access.kubeconfig, access.context)


def check_change(access: ClusterAccess, state: StackState, found: str) -> None:
    """Before a preview or an `up` through `access`, which has just led to the cluster `found`.

    Raises: UsageError when the state is of another cluster.
    """
    there = saved(access.name, state)
    if there is None:
        return
    other_way = not is_reached_as_before(access, state)
    if other_way and pending.is_unsettled(state):  # what a killed run had begun is looked for the way that it went
        check_destroy(access.name, state)
    elif other_way and not there.uid:
        with suppress(CredentialsError, UnreachableError):  # not told: then this one is recorded
            there = replace(there, uid=clusters.uid(there))
    _refuse_other(there, found, access)


def check_destroy(environment: str, state: StackState) -> None:
    """Before everything of a state is deleted, through the kubeconfig and context that it was made with.

    Raises: UsageError when that leads to another cluster now; CredentialsError, UnreachableError when it leads to none.
    """
    there = saved(environment, state)
    if there is None:
        return
    try:
        found = clusters.uid(there)
    except (CredentialsError, UnreachableError) as error:
        error.hint += (
            f"; {there.place} is the way of the last `up`, which another `up` renews; if the cluster is gone"
            f" for good: `meshctl destroy {environment} --forget-cluster`"
        )
        raise
    _refuse_other(there, found, there)


def check_seen(access: ClusterAccess) -> None:
    """Before anything is said of a cluster. Raises: UsageError when it isn't the one that it must be; as `asked`."""
    if access.uid:
        _refuse_other(access, clusters.uid(access), access)


def _refuse_other(there: ClusterAccess, found: str, access: ClusterAccess) -> None:
    if not there.uid or there.uid == found:
        return
    name = access.name
    before = f" ({there.place})" if there.place != access.place else ""
    raise UsageError(
        f"{name} is in another cluster than the one that {access.place} leads to",
        why=f"it is in the cluster {there.uid}{before}, and this one is {found}: what it has would look deleted here;"
        " nothing was changed",
        hint=f"mend `kubernetes:` of the environment or $KUBECONFIG; to move, add an environment and `meshctl migrate"
        f" {name} NEW`; if the old cluster is gone for good: `meshctl up {name} --forget-cluster`",
    )


def refuse_forgetting(there: ClusterAccess | None, environment: str, declared: ClusterAccess | None) -> None:
    """Before what is in a cluster is forgotten. Raises: UsageError when nothing is, or the cluster is still there."""
    if there is None:
        raise UsageError(f"nothing of {environment} is in a cluster that could be forgotten")
    for access in (there, declared or there):
        with suppress(CredentialsError, UnreachableError):
            if there.uid and clusters.uid(access) == there.uid:
                raise UsageError(
                    f"the cluster of {environment} is still there: {access.place} leads to it",
                    why="what is forgotten is not deleted, and would go on costing money; nothing was changed",
                    hint=f"`meshctl destroy {environment}` deletes it",
                )


def without_cluster(state: StackState) -> StackState:
    """A state that has forgotten all that is in a cluster; buckets and their providers stay."""
    kept = [resource for resource in state.resources if not _in_cluster(resource)]
    begun = [operation for operation in state.pending_operations if not _in_cluster(operation.resource)]
    return state.with_resources(kept).with_operations(begun)


def _in_cluster(resource: Resource) -> bool:
    return resource.type == _PROVIDER or resource.is_kubernetes
