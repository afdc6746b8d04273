"""Checks that an environment is still in the cluster that its state recorded. EDGE (asks API servers for their UID).

Called by `runs` before the engine starts, and by commands that only read, such as `status`. Against another cluster
every object of the state would read as "not found", and a run would take that for "deleted". This concerns clusters
that the user names in a kubeconfig; for AWS regions and accounts, where the stack makes its own cluster, see
`location`.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.engine import pending
from meshctl.errors import CredentialsError, UnreachableError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import Resource, StackState
from meshwire.kubeconfig import is_content, standard_place

_PROVIDER = "pulumi:providers:kubernetes"


def recorded_access(environment: str, state: StackState) -> ClusterAccess | None:
    """The existing cluster in which the state's objects were made, and the kubeconfig and context used to reach it.

    None when the state has no objects in an existing cluster. `uid` is empty in states of versions that did not record
    it.
    """
    for provider in state.used_providers(_PROVIDER):
        inputs = provider.inputs
        kubeconfig = str(inputs.get("kubeconfig") or "")
        # An inlined kubeconfig comes from a stack that makes its own cluster; a path names an existing one.
        if not is_content(kubeconfig):
            uid = str(inputs.get("clusterIdentifier") or "")
            return ClusterAccess(environment, kubeconfig, str(inputs.get("context") or ""), uid)
    return None


def declared_cluster_uid(deployment: Deployment) -> str:
    """The UID of the cluster that a deployment's kubeconfig points to; empty where meshctl makes the cluster.

    Raises: CredentialsError, UnreachableError.
    """
    return "" if clusters.is_made(deployment) else clusters.uid(clusters.access(deployment))


def declared_cluster_uid_of_preview(deployment: Deployment, *, must_answer: bool) -> str | None:
    """As `declared_cluster_uid`; unless the cluster `must_answer`, None when it can't be reached."""
    try:
        return declared_cluster_uid(deployment)
    except (CredentialsError, UnreachableError):
        if must_answer:
            raise
        return None


def recorded_cluster_uid(environment: str, state: StackState) -> str:
    """The UID of the cluster in which the state's objects were made; empty when none is recorded."""
    recorded = recorded_access(environment, state)
    return recorded.uid if recorded is not None else ""


def is_reached_as_before(access: ClusterAccess, state: StackState) -> bool:
    """Whether the state's objects were made through the same kubeconfig and context as `access`.

    The engine reads objects with the kubeconfig that the state recorded. If that differs from `access`, it may point to
    another cluster by now, where every object would read as deleted.
    """
    recorded = recorded_access(access.name, state)
    return recorded is None or (recorded.kubeconfig, recorded.context) == (access.kubeconfig, access.context)


def check_change(access: ClusterAccess, state: StackState, current_uid: str) -> None:
    """Check, before a preview or an `up`, that `access` leads to the cluster that the state recorded.

    `current_uid` is the UID of the cluster that `access` has just led to. Raises: UsageError when the state belongs to
    another cluster.
    """
    recorded = recorded_access(access.name, state)
    if recorded is None:
        return
    is_new_access = not is_reached_as_before(access, state)
    if is_new_access and pending.is_interrupted(state):
        # operations that a killed run left pending are looked up through the kubeconfig that it used
        check_destroy(access.name, state)
    elif is_new_access and not recorded.uid:
        # An older version recorded no UID. If the recorded kubeconfig no longer works, the current cluster is accepted.
        with suppress(CredentialsError, UnreachableError):
            recorded = replace(recorded, uid=clusters.uid(recorded))
    _refuse_other_cluster(recorded, current_uid, access)


def check_destroy(environment: str, state: StackState) -> None:
    """Check, before everything in a state is deleted, that the recorded kubeconfig and context still lead to its
    cluster.

    Raises: UsageError when they lead to another cluster; CredentialsError, UnreachableError when they lead to none.
    """
    recorded = recorded_access(environment, state)
    if recorded is None:
        return
    try:
        current_uid = clusters.uid(recorded)
    except (CredentialsError, UnreachableError) as error:
        error.hint += (
            f"; the last `up` reached the cluster through {_recorded_place(recorded)}: if the kubeconfig has changed,"
            f" run `meshctl up {environment}` again; if the cluster is gone for good, run"
            f" `meshctl destroy {environment} --forget-cluster`"
        )
        raise
    _refuse_other_cluster(recorded, current_uid, recorded)


def _recorded_place(recorded: ClusterAccess) -> str:
    """What chose the cluster, in words. A state has no path where none was named: the standard place is one of the
    shell, and this one may have another."""
    if recorded.kubeconfig:
        return recorded.place
    context = f'the context "{recorded.context}"' if recorded.context else "the current context"
    return (
        f"{context} of its shell's kubeconfig (this run reads {standard_place()}: set $KUBECONFIG as it was then, or"
        " name the file under `kubernetes:` of the environment and run `up`)"
    )


def check_cluster_unchanged(access: ClusterAccess) -> None:
    """Check, before reporting on a cluster, that it is the one recorded in the state.

    Raises: UsageError when it is another one, CredentialsError, UnreachableError.
    """
    if access.uid:
        _refuse_other_cluster(access, clusters.uid(access), access)


def _refuse_other_cluster(recorded: ClusterAccess, current_uid: str, access: ClusterAccess) -> None:
    if not recorded.uid or recorded.uid == current_uid:
        return
    name = access.name
    reached_through = f" ({recorded.place})" if recorded.place != access.place else ""
    raise UsageError(
        f"{name} is in another cluster than the one that {access.place} leads to",
        why=f"the environment is in the cluster {recorded.uid}{reached_through}, but this is the cluster {current_uid},"
        " where all its objects would look deleted; nothing was changed",
        hint="correct `kubernetes:` of the environment, or set $KUBECONFIG as it was when `up` ran; to move to the"
        f" other cluster, add an environment for it and run `meshctl migrate {name} NEW`; if the old cluster is gone"
        f" for good, run `meshctl up {name} --forget-cluster`",
    )


def refuse_forgetting(recorded: ClusterAccess | None, environment: str, declared: ClusterAccess | None) -> None:
    """Refuse to drop a cluster's objects from the state while the cluster still exists.

    `recorded` is the cluster in the state, `declared` the one in environments.yaml. Raises: UsageError when the state
    has no objects in a cluster, or when either access still leads to it.
    """
    if recorded is None:
        raise UsageError(f"{environment} has nothing in an existing cluster, so there is no cluster to forget")
    for access in (recorded, declared or recorded):
        with suppress(CredentialsError, UnreachableError):
            if recorded.uid and clusters.uid(access) == recorded.uid:
                raise UsageError(
                    f"the cluster of {environment} still exists: {access.place} leads to it",
                    why="forgotten objects are not deleted: they would keep running and costing money; nothing was"
                    " changed",
                    hint=f"`meshctl destroy {environment}` deletes them",
                )


def without_cluster(state: StackState) -> StackState:
    """The state without anything that is in a cluster; buckets and their providers stay."""
    remaining = [resource for resource in state.resources if not _in_cluster(resource)]
    operations = [operation for operation in state.pending_operations if not _in_cluster(operation.resource)]
    return state.with_resources(remaining).with_operations(operations)


def _in_cluster(resource: Resource) -> bool:
    return resource.type == _PROVIDER or resource.is_kubernetes
