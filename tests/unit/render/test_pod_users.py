"""Which user pods run as: one for all pods of a file system, or what `user` of the workload says."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.catalog import load_catalog
from meshctl.deploy.guards.running import running_pods
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.files import references
from meshctl.model.mesh import Mesh
from meshctl.model.pods import pod_users
from meshctl.model.stack_state import StackState
from meshctl.resolve import resolve
from tests.unit.states import NOTHING, state

CATALOG = load_catalog()
ENVIRONMENTS = Environments.model_validate(
    {
        "apiVersion": "meshctl/v1",
        "kind": "Environments",
        "environments": {
            "aws": {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]},
            "cw": {"provider": "coreweave", "region": "US-EAST-04A", "objectStorage": {"profile": "cw"}},
            "dc": {
                "provider": "onprem",
                "kubernetes": {"context": "dc"},
                "objectStorage": {"endpoint": "https://s3.dc.example"},
                "storageClasses": {"filesystem": "nfs", "block": "local-path"},
                "fabric": {
                    "kind": "roce",
                    "resource": "rdma/roce",
                    "networks": ["roce"],
                    "env": {"NCCL_IB_GID_INDEX": "3"},
                },
            },
        },
    }
)
SHARED = {"shared": {"path": "/mnt/shared"}}
MESH: dict[str, Any] = {
    "apiVersion": "meshctl/v1",
    "kind": "Mesh",
    "name": "m",
    "fabrics": {"backend": {"kind": "rdma"}},
    "pools": {
        "train": {"role": "training", "nodes": 1, "accelerator": {"model": "H100", "count": 8}, "fabric": "backend"},
        "web": {"nodes": 3, "cpu": {"cores": 8}},
    },
    "storage": {
        "shared": {"kind": "filesystem", "size": "10TiB"},
        "other": {"kind": "filesystem", "size": "1TiB"},
        "weights": {"kind": "object", "size": "10GiB"},
    },
    "workloads": {
        "prefetch": {"kind": "batch", "pool": "web", "image": "a/fetch:1", "mounts": SHARED},
        "sft": {
            "kind": "training",
            "pool": "train",
            "image": "a/train:1",
            "resources": {"accelerators": 8},
            "mounts": SHARED,
        },
        "serve": {"kind": "service", "pool": "web", "image": "a/serve:1", "mounts": SHARED},
        "alone": {"kind": "service", "pool": "web", "image": "a/alone:1"},
    },
}
EVERYWHERE = pytest.mark.parametrize("environment", ["aws", "cw", "dc"])
WITH_RDMA_ROOT = pytest.mark.parametrize("environment", ["cw", "dc"])


def mesh(**workloads: dict[str, Any]) -> Mesh:
    """The mesh with more keys for some of its workloads."""
    changed = {name: {**workload, **workloads.get(name, {})} for name, workload in MESH["workloads"].items()}
    return Mesh.model_validate({**MESH, "workloads": changed})


def deployment(environment: str, **workloads: dict[str, Any]) -> Deployment:
    found = resolve(mesh(**workloads), ENVIRONMENTS, environment, CATALOG)
    assert found.deployment, found.gaps
    return found.deployment


def notes(environment: str, **workloads: dict[str, Any]) -> str:
    return "\n".join(resolve(mesh(**workloads), ENVIRONMENTS, environment, CATALOG).notes)


def pod(made: Deployment, name: str) -> dict[str, Any]:
    found = [item for item in render.platform_objects(made) if item.subject == f"workload/{name}"]
    (runs,) = [item for item in found if item.kind in ("Job", "Deployment", "StatefulSet")]
    specification: dict[str, Any] = runs.manifest["spec"]["template"]["spec"]
    return specification


def ids(made: Deployment, name: str) -> tuple[object, object]:
    context = pod(made, name)["securityContext"]
    return context.get("runAsUser"), context.get("runAsGroup")


def container(made: Deployment, name: str) -> dict[str, Any]:
    (main,) = pod(made, name)["containers"]
    found: dict[str, Any] = main
    return found


def added(made: Deployment, name: str) -> list[str]:
    capabilities: dict[str, Any] = container(made, name).get("securityContext", {}).get("capabilities", {})
    return list(capabilities.get("add", ()))


def namespace(made: Deployment) -> dict[str, Any]:
    (found,) = [item.manifest for item in render.platform_objects(made) if item.kind == "Namespace"]
    metadata: dict[str, Any] = found["metadata"]
    return metadata


def level(made: Deployment) -> str:
    return str(namespace(made)["labels"]["pod-security.kubernetes.io/enforce"])


def templates(made: Deployment) -> dict[str, Any]:
    return {w.name: pod(made, w.name) for w in made.workloads}


def brought_up(made: Deployment) -> StackState:
    """The state in which an `up` has declared this deployment."""
    outputs = {"deployment": made.model_dump(mode="json")}
    stack = {"urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e", "type": "pulumi:pulumi:Stack", "outputs": outputs}
    return state(stack)


def of_an_older_version(made: Deployment) -> Deployment:
    """As versions before wrote it: they knew of no pods that are root for the sake of others."""
    older = tuple(w.model_copy(update={"root_for_files": False}) for w in made.workloads)
    return made.model_copy(update={"workloads": older})


# one user for all pods of a file system


@EVERYWHERE
def test_all_pods_of_a_file_system_are_one_user(environment: str) -> None:
    made = deployment(environment)
    assert len({ids(made, name)[0] for name in ("prefetch", "sft", "serve")}) == 1
    assert ids(made, "alone") == (1000, 1000)


@WITH_RDMA_ROOT
def test_root_of_a_shared_file_system_can_use_the_files_of_others(environment: str) -> None:
    made = deployment(environment)
    assert added(made, "prefetch") == added(made, "serve") == ["CHOWN", "DAC_OVERRIDE", "FOWNER"]
    assert added(made, "sft") == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "IPC_LOCK"]
    assert added(made, "alone") == []
    assert "pods of prefetch, serve run as root, because they share a file system with sft" in notes(environment)


def test_sharing_goes_by_way_of_other_pods() -> None:
    both = {"mounts": {**SHARED, "other": {"path": "/other"}}}
    made = deployment("cw", sft={"mounts": {"other": {"path": "/o"}}}, prefetch=both)
    assert [ids(made, name)[0] for name in ("prefetch", "sft", "serve")] == [0, 0, 0]


@WITH_RDMA_ROOT
def test_pods_without_a_shared_file_system_are_what_they_were(environment: str) -> None:
    made = deployment(environment, sft={"mounts": {}})
    assert (ids(made, "sft"), added(made, "sft")) == ((0, 1000), ["IPC_LOCK"])
    assert ids(made, "serve") == ids(made, "prefetch") == (1000, 1000)
    assert not any(workload.root_for_files for workload in made.workloads)


@EVERYWHERE
def test_what_comes_beside_a_training_changes_no_pod_of_it(environment: str) -> None:
    alone = deployment(environment, prefetch={"mounts": {}}, serve={"mounts": {}})
    assert pod(alone, "sft") == pod(deployment(environment), "sft")
    assert ids(alone, "serve") == (1000, 1000)


# what is up stays up


@WITH_RDMA_ROOT
def test_pods_that_an_older_version_brought_up_are_not_rolled(environment: str) -> None:
    now = deployment(environment)
    older = of_an_older_version(now)
    assert templates(running_pods.with_running_pods(now, brought_up(older))) == templates(older) != templates(now)


@WITH_RDMA_ROOT
def test_an_upgrade_is_forgotten_by_no_later_up(environment: str) -> None:
    now = deployment(environment)
    once = running_pods.with_running_pods(now, brought_up(of_an_older_version(now)))
    assert templates(running_pods.with_running_pods(now, brought_up(once))) == templates(once)


@WITH_RDMA_ROOT
def test_what_is_new_beside_pods_of_an_older_version_has_the_user_of_all(environment: str) -> None:
    now = deployment(environment)
    older = of_an_older_version(now)
    older = older.model_copy(update={"workloads": tuple(w for w in older.workloads if w.name != "prefetch")})
    kept = running_pods.with_running_pods(now, brought_up(older))
    assert [ids(kept, name)[0] for name in ("prefetch", "sft", "serve")] == [0, 0, 1000]


def test_what_this_version_brought_up_stays_so() -> None:
    now = deployment("cw")
    assert running_pods.with_running_pods(now, brought_up(now)) == running_pods.with_running_pods(now, NOTHING) == now


def test_a_training_that_comes_takes_servers_along_and_starts_no_job_anew() -> None:
    """That is a change of the mesh and not of meshctl's version: the plan shows it."""
    now = deployment("cw")
    before = deployment("cw", sft={"resources": {"accelerators": 0}})
    kept = running_pods.with_running_pods(now, brought_up(before))
    assert [ids(kept, name)[0] for name in ("prefetch", "sft", "serve")] == [1000, 0, 0]
    assert added(kept, "sft") == ["CHOWN", "DAC_OVERRIDE", "FOWNER", "IPC_LOCK"]
    changed = deployment("cw", prefetch={"image": "a/fetch:2"})
    assert ids(running_pods.with_running_pods(changed, brought_up(before)), "prefetch") == (0, 1000)


def test_a_training_that_goes_leaves_the_others_as_they_are() -> None:
    """What is on the file system is root's."""
    before = deployment("cw")
    gone = deployment("cw", sft={"mounts": {}})
    kept = running_pods.with_running_pods(gone, brought_up(before))
    assert [ids(kept, name)[0] for name in ("prefetch", "serve", "alone")] == [0, 0, 1000]
    assert templates(kept)["serve"] == templates(before)["serve"]
    assert "as the pods with RDMA did that shared" in "".join(pod_users.notes(kept))
    named = deployment("cw", sft={"mounts": {}}, serve={"user": 1000}, prefetch={"user": 1000})
    assert ids(running_pods.with_running_pods(named, brought_up(before)), "serve") == (1000, 1000)


def test_a_user_in_the_mesh_ends_what_was_kept() -> None:
    older = of_an_older_version(deployment("cw"))
    root = {"user": "root"}
    now = deployment("cw", prefetch=root, sft=root, serve=root)
    kept = running_pods.with_running_pods(now, brought_up(older))
    assert [ids(kept, name) for name in ("prefetch", "sft", "serve")] == [(0, 0)] * 3


# `user` of a workload


@EVERYWHERE
def test_a_number_is_user_and_group(environment: str) -> None:
    made = deployment(environment, alone={"user": 999})
    context = pod(made, "alone")["securityContext"]
    assert (ids(made, "alone"), context["fsGroup"], context["runAsNonRoot"]) == ((999, 999), 999, True)
    assert container(made, "alone")["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert level(deployment(environment, alone={"user": 999}, sft={"user": 999})) == "restricted"


@EVERYWHERE
def test_root_has_what_the_runtime_gives(environment: str) -> None:
    made = deployment(environment, alone={"user": "root"}, sft={"user": 1000})
    assert ids(made, "alone") == (0, 0)
    assert "securityContext" not in container(made, "alone")
    assert "runAsNonRoot" not in pod(made, "alone")["securityContext"]
    assert level(made) == "baseline"
    assert namespace(made)["annotations"]["meshctl.dev/pod-security-reason"] == (
        "the mesh says whom these run as: alone (root)"
    )
    assert "the namespace m enforces the Pod Security level baseline instead of restricted" in notes(
        environment, alone={"user": "root"}, sft={"user": 1000}
    )


@EVERYWHERE
def test_the_image_says_the_user(environment: str) -> None:
    made = deployment(environment, alone={"user": "image"}, sft={"user": 1000})
    assert ids(made, "alone") == (None, None)
    assert pod(made, "alone")["securityContext"]["fsGroup"] == 1000  # for volumes and files, whoever the user is
    assert level(made) == "baseline"


@pytest.mark.parametrize("user", ["image", "root"])
def test_who_has_a_home_keeps_it(user: str) -> None:
    variables = {entry["name"] for entry in container(deployment("cw", alone={"user": user}), "alone")["env"]}
    assert not variables & {"HOME", "USER"}
    assert {entry["name"] for entry in container(deployment("cw", alone={"user": 7}), "alone")["env"]} >= {
        "HOME",
        "USER",
    }


def test_copying_weights_needs_no_user_of_the_image() -> None:
    weights = {"mounts": {"weights": {"path": "/models", "readOnly": True}}}
    (stage,) = pod(deployment("cw", alone={"user": "image", **weights}), "alone")["initContainers"]
    assert (stage["securityContext"]["runAsUser"], stage["securityContext"]["capabilities"]) == (
        1000,
        {"drop": ["ALL"]},
    )


@EVERYWHERE
@pytest.mark.parametrize("user", [{}, {"user": 1001}, {"user": "root"}, {"user": "image"}])
@pytest.mark.parametrize("name", ["prefetch", "sft"])
def test_steps_before_may_do_what_the_container_may(environment: str, name: str, user: dict[str, Any]) -> None:
    made = deployment(environment, **{name: {"before": [{"image": "a/prepare:1"}], **user}})
    (step,) = pod(made, name)["initContainers"]
    assert step.get("securityContext") == container(made, name).get("securityContext")


@WITH_RDMA_ROOT
@pytest.mark.parametrize(("user", "capabilities"), [("root", ["IPC_LOCK"]), ("image", ["IPC_LOCK"]), (1000, [])])
def test_rdma_with_a_user(environment: str, user: object, capabilities: list[str]) -> None:
    made = deployment(environment, sft={"user": user})
    assert added(made, "sft") == capabilities
    assert level(made) == ("privileged" if capabilities else "restricted")
    assert ("locked memory" in notes(environment, sft={"user": user})) == (user != "root")
    assert ids(made, "serve") == (1000, 1000)  # the mesh has said what RDMA pods are


@EVERYWHERE
def test_different_users_of_one_file_system_are_noted(environment: str) -> None:
    said = notes(environment, serve={"user": 33}, sft={"user": 1000})
    assert (
        "prefetch (user 1000), sft (user 1000), serve (user 33) share a file system and run as different users" in said
    )


@EVERYWHERE
@pytest.mark.parametrize(("user", "noted"), [({}, True), ({"user": 33}, True), ({"user": "root"}, False)])
def test_low_ports_are_noted(environment: str, user: dict[str, Any], noted: bool) -> None:
    assert ("alone: its port http is 80; without" in notes(environment, alone={"ports": {"http": 80}, **user})) == noted


@EVERYWHERE
def test_root_without_capabilities_can_not_be_sure_of_low_ports(environment: str) -> None:
    assert "workload/sft: its port ssh is 22" in notes(environment, sft={"ports": {"ssh": 22}})


def test_nothing_is_noted_where_the_mesh_says_nothing() -> None:
    assert "user" not in notes("aws")


@pytest.mark.parametrize("user", ["root", "image"])
def test_the_folder_of_root_is_open_to_root(user: str) -> None:
    mounts = {"cache": {"path": "/root/.cache"}}
    workload = {"user": user, "mounts": mounts, "workingDir": "/root"}
    assert references.check_mesh({"storage": {"cache": {}}, "workloads": {"w": workload}}) == []


@pytest.mark.parametrize("user", [None, 999])
def test_the_folder_of_root_is_closed_to_others(user: int | None) -> None:
    mounts = {"cache": {"path": "/root/.cache"}}
    workload = {"mounts": mounts, "workingDir": "/./root", **({"user": user} if user else {})}
    problems = dict(references.check_mesh({"storage": {"cache": {}}, "workloads": {"w": workload}}))
    assert list(problems) == [("workloads", "w", "workingDir"), ("workloads", "w", "mounts", "cache", "path")]
    for message in problems.values():
        assert f"can't be used: pods run as user {user or 1000}, who can't enter it; write `user: root`" in message
    assert "HF_HOME" in problems["workloads", "w", "mounts", "cache", "path"]
