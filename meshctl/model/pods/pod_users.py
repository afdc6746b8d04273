"""Which user the pods of a workload run as, and why. PURE.

Used by `meshctl.resolve` (which decides for the pods that share a file system), `meshctl.render` (security contexts,
the level of the namespace) and `meshctl.deploy` (what is up keeps its user). See ADR 0035.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from meshctl.model.deployment import Deployment, Pool, Workload

DEFAULT_ID: Final = 1000  # the id of user and group if the mesh names no user
_LOCKING_KINDS: Final = ("infiniband", "roce")
_LOCK_MEMORY: Final = "IPC_LOCK"
# capabilities that root has on an ordinary machine, and needs for files of other users on a shared file system
_FILE_CAPABILITIES: Final = ("CHOWN", "DAC_OVERRIDE", "FOWNER")
# of a pod's spec: the Pod Security Standards have rules for these
_RESTRICTED_FIELDS: Final = (
    "containers",
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "initContainers",
    "securityContext",
    "volumes",
)


@dataclass(frozen=True)
class PodUser:
    """`uid` and `gid` are None where the image says them. `capabilities`: those that are added to none, or, with
    `has_runtime_capabilities`, to the ones that the container runtime gives. `has_home`: whether the image knows the
    user, and with it a home folder."""

    uid: int | None
    gid: int | None
    file_system_gid: int
    capabilities: tuple[str, ...] = ()
    has_runtime_capabilities: bool = False
    has_home: bool = False


def of(workload: Workload, pool: Pool) -> PodUser:
    """The user of the workload's pods."""
    locking = (_LOCK_MEMORY,) if locks_memory(workload, pool) else ()
    if isinstance(workload.user, int):
        return PodUser(workload.user, workload.user, workload.user)
    if workload.user == "root":
        return PodUser(0, 0, DEFAULT_ID, locking, has_runtime_capabilities=True, has_home=True)
    if workload.user == "image":
        return PodUser(None, None, DEFAULT_ID, locking, has_runtime_capabilities=True, has_home=True)
    if workload.root_for_files:
        return PodUser(0, DEFAULT_ID, DEFAULT_ID, (*_FILE_CAPABILITIES, *locking))
    return PodUser(0 if locking else DEFAULT_ID, DEFAULT_ID, DEFAULT_ID, locking)


def locks_memory(workload: Workload, pool: Pool) -> bool:
    """Whether the pods get IPC_LOCK: RDMA over InfiniBand and RoCE pins memory beyond a container's limit.

    Kubernetes gives an added capability to root only, so that a user with a number has no use for it. EFA does without:
    `stacks.aws.pools` opens the limit on its nodes, and so for users that are not root.
    """
    return pins_memory(workload, pool) and not isinstance(workload.user, int)


def has_runtime_capabilities(workload: Workload) -> bool:
    """Whether the container runtime gives the pods what it gives by default. NET_BIND_SERVICE, for ports below 1024,
    is part of that, and useful to root."""
    return workload.user in ("root", "image")


def pins_memory(workload: Workload, pool: Pool) -> bool:
    """Whether the pods have devices whose drivers pin memory beyond a container's limit."""
    fabric = pool.fabric
    return fabric is not None and fabric.kind in _LOCKING_KINDS and pool.fabric_devices(workload.accelerators) > 0


def words(workload: Workload, pool: Pool) -> str:
    """The user for a person: `root`, `user 1000` or `the image's user`."""
    uid = of(workload, pool).uid
    if uid is None:
        return "the image's user"
    return f"user {uid}" if uid else "root"


def with_one_user(deployment: Deployment) -> Deployment:
    """The deployment in which all pods that share a file system run as one user, as far as the mesh names none.

    RDMA may force some of them to be root; the others are root then, too. Such a pod can use the files of others also
    where it has the file system for itself: one that comes later is then no reason to start a training anew.
    """
    return _with_root(deployment, {name for group in sharing(deployment) for name in _joining(deployment, group)})


def _joining(deployment: Deployment, group: tuple[Workload, ...]) -> set[str]:
    unsaid = _unsaid(group)
    if not any(locks_memory(workload, deployment.pool(workload.pool)) for workload in unsaid):
        return set()
    return {workload.name for workload in unsaid}


def as_it_is_up(deployment: Deployment, deployed: Deployment | None) -> Deployment:
    """The deployment in which pods that are up keep their user. `deployed`: what the last `up` declared.

    - What was brought up by a version that did not give all pods of a file system one user: an upgrade rolls nothing.
    - A job of which the mesh has changed nothing: what comes or goes beside it starts no work anew.
    - Root of a file system whose RDMA pods are gone: the files on it are root's. What comes to it is root as well.
    """
    if deployed is None:
        return deployment
    up_with_root = {workload.name: workload for workload in deployed.workloads if workload.root_for_files}
    with_root = {workload.name for workload in deployment.workloads if workload.root_for_files}
    for group in sharing(deployment):
        if any(
            each.name in up_with_root and _file_systems(each) & _file_systems(up_with_root[each.name]) for each in group
        ):
            with_root |= {workload.name for workload in _unsaid(group)}
    unchanged = _unchanged_jobs(deployment, deployed)
    return _with_root(deployment, (with_root - _left_apart(deployed) - unchanged) | (unchanged & up_with_root.keys()))


def _left_apart(deployed: Deployment) -> set[str]:
    """The workloads that are up with the user of an older version: those to which today's rule, applied to what was
    declared then, would give another user."""
    pairs = zip(deployed.workloads, with_one_user(deployed).workloads, strict=True)
    return {before.name for before, now in pairs if now.root_for_files and not before.root_for_files}


def _unchanged_jobs(deployment: Deployment, deployed: Deployment) -> set[str]:
    before = {workload.name: _as_in_the_mesh(workload) for workload in deployed.workloads}
    return {w.name for w in deployment.workloads if w.is_job and before.get(w.name) == _as_in_the_mesh(w)}


def _as_in_the_mesh(workload: Workload) -> Workload:
    return workload.model_copy(update={"root_for_files": False, "paused": False, "finished_in": ""})


def _file_systems(workload: Workload) -> set[str]:
    return {mount.storage for mount in workload.mounts if mount.kind == "filesystem"}


def _with_root(deployment: Deployment, names: set[str]) -> Deployment:
    if names == {workload.name for workload in deployment.workloads if workload.root_for_files}:
        return deployment
    workloads = tuple(w.model_copy(update={"root_for_files": w.name in names}) for w in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def _unsaid(workloads: tuple[Workload, ...]) -> list[Workload]:
    """The workloads for which the mesh names no user."""
    return [workload for workload in workloads if workload.user is None]


def sharing(deployment: Deployment) -> tuple[tuple[Workload, ...], ...]:
    """The groups of workloads that share file systems, also by way of third ones; each group in the mesh's order."""
    groups: list[tuple[set[str], list[Workload]]] = []
    for workload in deployment.workloads:
        systems = _file_systems(workload)
        if not systems:
            continue
        joined = [group for group in groups if group[0] & systems]
        members = [member for _, earlier in joined for member in earlier]
        groups = [group for group in groups if group not in joined]
        groups.append((systems.union(*(names for names, _ in joined)), [*members, workload]))
    order = {workload.name: place for place, workload in enumerate(deployment.workloads)}
    return tuple(tuple(sorted(members, key=lambda each: order[each.name])) for _, members in groups)


def level(deployment: Deployment) -> str:
    """The level of the Pod Security Standards that the namespace can enforce. Between `privileged` and `baseline` there
    is none that allows IPC_LOCK, and what environments.yaml sets of pods may break any of them."""
    if deployment.neural_mesh is not None:  # whose containers have their nodes' devices and folders
        return "privileged"
    users = [of(workload, deployment.pool(workload.pool)) for workload in deployment.workloads]
    if any(_LOCK_MEMORY in user.capabilities for user in users) or any(map(overridden_fields, deployment.workloads)):
        return "privileged"
    return "baseline" if any(user.has_runtime_capabilities for user in users) else "restricted"


def overridden_fields(workload: Workload) -> list[str]:
    """What environments.yaml sets of the workload's pods that the Pod Security Standards restrict. Whether it breaks
    one of their rules isn't checked: a level that refuses the pods would show only after the plan."""
    return sorted(field for field in _RESTRICTED_FIELDS if workload.pod.get(field, False) is not False)


def words_of_overridden_fields(deployment: Deployment) -> list[str]:
    """The workloads that have any, each with its fields: `web (hostNetwork)`."""
    fields = {workload.name: overridden_fields(workload) for workload in deployment.workloads}
    return [f"{name} ({', '.join(names)})" for name, names in fields.items() if names]


def notes(deployment: Deployment) -> tuple[str, ...]:
    """What a person should know of the users of the pods; nothing where the mesh names none and they share nothing."""
    return (*_level_notes(deployment), *_group_notes(deployment), *_workload_notes(deployment))


def _level_notes(deployment: Deployment) -> Iterator[str]:
    with_capabilities = [workload.name for workload in deployment.workloads if has_runtime_capabilities(workload)]
    overridden = words_of_overridden_fields(deployment)
    causes = [f"`user` of {', '.join(with_capabilities)}"] if with_capabilities else []
    causes += [f"`pod` of {', '.join(overridden)} in environments.yaml"] if overridden else []
    if causes:
        yield (
            f"the namespace {deployment.namespace} enforces the Pod Security level {level(deployment)} instead of"
            f" restricted: {' and '.join(causes)} need{'s' * (len(causes) == 1)} that"
        )


def _group_notes(deployment: Deployment) -> Iterator[str]:
    for group in sharing(deployment):
        users = {workload.name: words(workload, deployment.pool(workload.pool)) for workload in group}
        if len(set(users.values())) > 1:
            listed = ", ".join(f"{name} ({user})" for name, user in users.items())
            yield (
                f"{listed} share a file system and run as different users, so that one may not be able to change the"
                " files of another; write the same `user` for all of them, for example `user: root`"
            )
        elif any(workload.root_for_files for workload in group):
            yield from _root_notes(deployment, group)


def _root_notes(deployment: Deployment, group: tuple[Workload, ...]) -> Iterator[str]:
    pinning = [w.name for w in group if locks_memory(w, deployment.pool(w.pool))]
    others = [w.name for w in group if w.name not in pinning]
    if others and pinning:
        yield (
            f"pods of {', '.join(others)} run as root, because they share a file system with"
            f" {', '.join(pinning)}, whose RDMA needs root; `user` of a workload names another user"
        )
    elif others:
        yield (
            f"pods of {', '.join(others)} run as root, as the pods with RDMA did that shared their file system: its"
            " files may be root's; `user` of a workload names another user"
        )


def _workload_notes(deployment: Deployment) -> Iterator[str]:
    for workload in deployment.workloads:
        pool = deployment.pool(workload.pool)
        if pins_memory(workload, pool) and isinstance(workload.user, int):
            yield (
                f"{workload.name} runs as user {workload.user}, without IPC_LOCK: RDMA needs nodes whose container"
                " runtime doesn't limit locked memory (`ulimit -l` in a pod says unlimited)"
            )
        elif pins_memory(workload, pool) and workload.user == "image":
            yield (
                f"{workload.name} runs as its image's user; if that is not root, RDMA needs nodes whose container"
                " runtime doesn't limit locked memory (`ulimit -l` in a pod says unlimited)"
            )
