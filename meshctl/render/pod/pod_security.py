"""Security contexts of pods, and what the namespace enforces. PURE.

Called by `pods` and `platform`; who the pods run as is decided in `meshctl.model.pods.pod_users`.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import pod_users
from meshctl.model.pods.pod_users import PodUser

# Most images have no user 1000 in /etc/passwd: it has no home, and without USER Python's getpass.getuser() fails, which
# PyTorch calls when it is imported (github.com/pytorch/pytorch/issues/140765).
_HOMELESS: Final = {"HOME": "/tmp", "USER": "mesh"}  # noqa: S108


def variables(user: PodUser) -> dict[str, str]:
    """HOME and USER, which the container runtime can't set for a user that the image does not know."""
    return {} if user.has_home else _HOMELESS


def of_pod(user: PodUser, *, has_adopted_claim: bool = False) -> dict[str, Any]:
    """The pod's `securityContext`. For an `fsGroup` the kubelet changes group and mode of all files of the volumes,
    also of an adopted claim's, whose owner's programs may refuse them then: such a pod only joins the group."""
    fs_group = {"fsGroup": user.file_system_gid, "fsGroupChangePolicy": "OnRootMismatch"}
    ids = {} if user.uid is None else {"runAsUser": user.uid, "runAsGroup": user.gid}
    return {
        **({"runAsNonRoot": True} if user.uid else {}),
        **ids,
        **({"supplementalGroups": [user.file_system_gid]} if has_adopted_claim else fs_group),
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def of_container(user: PodUser) -> dict[str, Any]:
    """The container's `securityContext`. If the container runtime's own capabilities are kept, programs with the setuid
    bit (sudo) work as well."""
    added = {"add": list(user.capabilities)} if user.capabilities else {}
    if user.has_runtime_capabilities:
        return {"capabilities": added} if added else {}
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"], **added}}


def of_staging(user: PodUser) -> dict[str, Any]:
    """The `securityContext` of init containers, whose image has a user of its own, which is not the workload's."""
    user_fields = {"runAsUser": pod_users.DEFAULT_ID, "runAsGroup": pod_users.DEFAULT_ID} if user.uid is None else {}
    return {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, **user_fields}


def reason(deployment: Deployment) -> str:
    """Why the namespace can't enforce `restricted`; empty where it does."""
    locking = [w.name for w in deployment.workloads if pod_users.locks_memory(w, deployment.pool(w.pool))]
    with_named_user = [_named(w) for w in deployment.workloads if pod_users.has_runtime_capabilities(w)]
    overridden = pod_users.words_of_overridden_fields(deployment)
    parts = []
    if locking:
        parts.append(f"RDMA pins memory, for which these run as root with IPC_LOCK: {', '.join(locking)}")
    if with_named_user:
        parts.append(f"the mesh says whom these run as: {', '.join(with_named_user)}")
    if deployment.neural_mesh is not None:
        parts.append("containers of WEKA use drives, network interfaces and kernel modules of their nodes")
    if overridden:
        parts.append(f"environments.yaml sets fields of these pods that the levels restrict: {', '.join(overridden)}")
    return "; ".join(parts)


def _named(workload: Workload) -> str:
    return f"{workload.name} ({'root' if workload.user == 'root' else 'the user of its image'})"
