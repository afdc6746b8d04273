"""Claims and exports that environments.yaml adopts: used as they are, or a gap that says what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.model.deployment import Deployment, NfsExport, Resolution
from meshctl.model.keys.roll_outs import starts_new_first
from meshctl.model.mesh import Mesh
from meshctl.model.observed import Facts, ObservedClaim
from meshctl.platforms import registry
from meshctl.resolve.data.existing_storage import Use, use_of
from tests.unit.resolve.meshes import AWS, CW, DC, gap, node, resolved

POOLS = {"p": {"nodes": 2, "cpu": {"cores": 4}}}
SHARED = {"shared": {"kind": "filesystem", "size": "100GiB"}}
DISK = {"shared": {"kind": "block", "size": "100GiB"}}
CLAIMING = {**DC, "storage": {"shared": {"claim": "acme-files"}}}
CLAIM = ObservedClaim(name="acme-files", namespace="m", phase="Bound", access_modes=("ReadWriteMany",), size_gib=100)


def web(*, replicas: int = 2, read_only: bool = False, kind: str = "service") -> dict[str, Any]:
    mount = {"path": "/data", **({"readOnly": True} if read_only else {})}
    sized = {"nodes": replicas} if kind == "training" else {"replicas": replicas}
    return {"web": {"kind": kind, "pool": "p", "image": "i", "mounts": {"shared": mount}, **sized}}


def with_claims(*claims: ObservedClaim, **more: Any) -> Resolution:
    workloads = more.pop("workloads", web())
    environment = more.pop("environment", CLAIMING)
    facts = Facts(nodes=(node("a"), node("b")), claims=claims, claims_are_seen=True)
    return resolved(POOLS, environment, facts, **{"storage": SHARED, "workloads": workloads, **more})


def deployed(resolution: Resolution) -> Deployment:
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def claim(**changes: Any) -> ObservedClaim:
    return CLAIM.model_copy(update=changes)


@pytest.mark.parametrize("storage", [SHARED, DISK])
@pytest.mark.parametrize("environment", [CLAIMING, {**CW, "storage": CLAIMING["storage"]}], ids=["dc", "cw"])
def test_a_claim_is_used_as_it_is(storage: dict[str, Any], environment: dict[str, Any]) -> None:
    resolution = with_claims(CLAIM, storage=storage, environment=environment)
    made = deployed(resolution)
    assert made.adopted_claims == ("acme-files",)
    assert made.namespace_is_given
    assert resolution.storage_as["shared"] == "adopted: claim acme-files"
    assert any(
        note.startswith("storage/shared: adopted: the existing claim acme-files is") for note in resolution.notes
    )


FAULTS: list[tuple[tuple[ObservedClaim, ...], dict[str, Any], str, str]] = [
    ((), {}, "there is no such claim", "`kubectl create namespace m`"),
    (
        (claim(namespace="team-a"),),
        {},
        "there is one in the namespace team-a, and none in m",
        "pods can only mount claims of their own namespace",
    ),
    ((claim(size_gib=50),), {}, "it has 50 GiB, and the mesh asks for 100 GiB", "lower the storage's `size`"),
    (
        (claim(phase="Pending"),),
        {},
        "it is Pending: no volume is bound to it",
        "`kubectl describe pvc acme-files -n m`",
    ),
    (
        (claim(phase="Pending", waits_for="its storage class gone, which does not exist"),),
        {},
        "it is Pending: it waits for its storage class gone, which does not exist",
        "it must be Bound before pods can mount it",
    ),
    ((claim(phase="Lost"),), {}, "it is Lost: its volume is gone, or bound to another claim", "kubectl describe pvc"),
    ((claim(is_leaving=True),), {}, "it is being deleted", "wait until it is gone"),
    ((claim(volume_mode="Block"),), {}, "it is a raw device (volumeMode: Block)", "volumeMode: Filesystem"),
    (
        (claim(is_made_by_meshctl=True),),
        {},
        "meshctl made it for an environment, and deletes it with that",
        "remove it from `storage`",
    ),
    (
        (claim(access_modes=("ReadWriteOnce",)),),
        {},
        "it is ReadWriteOnce, which one node has at a time, and 2 pods on up to 2 nodes mount it",
        "name a claim with ReadWriteMany, or run one pod",
    ),
    (
        (claim(access_modes=("ReadWriteOncePod",)),),
        {},
        "it is ReadWriteOncePod, and 2 pods of the mesh mount it",
        "ReadWriteMany",
    ),
    (
        (claim(access_modes=("ReadOnlyMany",)),),
        {},
        "it is ReadOnlyMany, and the mesh mounts it to write",
        "add `readOnly: true`",
    ),
]


@pytest.mark.parametrize("storage", [SHARED, DISK], ids=["filesystem", "block"])
@pytest.mark.parametrize(("claims", "more", "best", "hint"), FAULTS, ids=[best[:30] for _, _, best, _ in FAULTS])
def test_a_claim_that_pods_could_not_use_is_a_gap(
    claims: tuple[ObservedClaim, ...], more: dict[str, Any], best: str, hint: str, storage: dict[str, Any]
) -> None:
    resolution = with_claims(*claims, storage=storage, **more)
    assert resolution.deployment is None
    fault = gap(resolution, "storage/shared")
    assert fault.wanted == "the existing claim acme-files in the namespace m"
    assert fault.best == best
    assert hint in fault.hint
    assert [each.subject for each in resolution.gaps] == ["storage/shared"]


@pytest.mark.parametrize(
    ("observed", "workloads"),
    [
        (claim(phase="Pending", binds_late=True), web()),
        (claim(access_modes=("ReadWriteOnce",)), web(replicas=1)),
        (claim(access_modes=("ReadWriteOncePod",)), web(replicas=1)),
        (claim(access_modes=("ReadOnlyMany",)), web(read_only=True)),
        (claim(access_modes=("ReadWriteOnce", "ReadOnlyMany")), web(read_only=True)),
        (claim(access_modes=("ReadWriteOnce", "ReadWriteMany")), web(kind="training")),
    ],
)
def test_what_pods_can_use_is_no_gap(observed: ObservedClaim, workloads: dict[str, Any]) -> None:
    assert with_claims(observed, workloads=workloads).gaps == ()


def test_offline_a_claim_is_taken_to_be_there() -> None:
    resolution = resolved(POOLS, CLAIMING, storage=SHARED, workloads=web())
    assert resolution.gaps == ()
    assert any(note.startswith("existing claims are looked at at plan and up") for note in resolution.notes)


@pytest.mark.parametrize(
    ("modes", "new_first"), [(("ReadWriteOnce",), False), (("ReadWriteOncePod",), False), (("ReadWriteMany",), True)]
)
@pytest.mark.parametrize("storage", [SHARED, DISK], ids=["filesystem", "block"])
def test_a_volume_of_one_node_is_let_go_before_the_next_pod_wants_it(
    modes: tuple[str, ...], new_first: bool, storage: dict[str, Any]
) -> None:
    resolution = with_claims(claim(access_modes=modes), storage=storage, workloads=web(replicas=1))
    made = deployed(resolution)
    assert starts_new_first(made.workload("web"), made.pool("p")) == new_first
    goes_over = "as the one volume goes from the old pod to the new one"
    assert any(goes_over in note for note in resolution.notes) != new_first


def test_a_gang_may_mount_an_adopted_volume_that_all_nodes_can() -> None:
    """Kubernetes makes no claim for each pod of a Job; one that exists is shared."""
    assert with_claims(CLAIM, storage=DISK, workloads=web(kind="training")).gaps == ()


def test_a_cluster_that_meshctl_makes_has_no_claims_before() -> None:
    resolution = resolved(POOLS, {**AWS, "storage": CLAIMING["storage"]}, storage=SHARED, workloads=web())
    fault = gap(resolution, "storage/shared")
    product = registry.platform("aws").cluster.made
    assert product is not None
    assert fault.best == f"meshctl makes the {product.product} cluster, which has no claims before"
    assert "nfs: HOST:/EXPORT" in fault.hint


@pytest.mark.parametrize("environment", [AWS, CW, DC], ids=["aws", "cw", "dc"])
def test_an_export_is_used_everywhere(environment: dict[str, Any]) -> None:
    existing = {"shared": {"nfs": "nfs.acme.example:/export/a-b", "mountOptions": ["nfsvers=4.1"]}}
    resolution = resolved(POOLS, {**environment, "storage": existing}, storage=SHARED, workloads=web())
    (system,) = deployed(resolution).file_systems
    assert system.nfs == NfsExport(server="nfs.acme.example", path="/export/a-b", mount_options=("nfsvers=4.1",))
    assert system.is_adopted
    assert not deployed(resolution).namespace_is_given
    assert resolution.storage_as["shared"] == "adopted: NFS export nfs.acme.example:/export/a-b"


def test_pods_of_several_pools_are_on_several_nodes() -> None:
    workloads = {**web(replicas=1), "other": {**web(replicas=1)["web"], "pool": "q"}}
    pools = {"p": {"nodes": 1, "cpu": {"cores": 4}}, "q": {"nodes": 1, "cpu": {"cores": 4}}}
    mesh = {"apiVersion": "meshctl/v1", "kind": "Mesh", "name": "m", "pools": pools}
    parsed = Mesh.model_validate({**mesh, "storage": SHARED, "workloads": workloads})
    assert use_of(parsed, "shared", 2) == Use(pods=2, nodes=2, writes=True)


@pytest.mark.parametrize("both", [True, False])
def test_a_pod_with_an_adopted_claim_and_a_volume_of_meshctl_s_is_noted(*, both: bool) -> None:
    workloads = web()
    own = {"own": {"kind": "block", "size": "5GiB"}}
    workloads["other"] = {**workloads["web"], "mounts": {"own": {"path": "/own"}}}
    if both:
        workloads["web"] = {**workloads["web"], "mounts": {**workloads["web"]["mounts"], "own": {"path": "/own"}}}
    resolution = with_claims(CLAIM, workloads=workloads, storage={**SHARED, **own})
    assert resolution.deployment is not None, resolution.gaps
    notes = [note for note in resolution.notes if "fsGroup" in note]
    assert [note.partition(":")[0] for note in notes] == (["workload/web"] if both else [])
    assert all("own" in note for note in notes)


def test_a_claim_that_was_looked_at_says_nothing_of_the_clusters_storage_classes() -> None:
    storage = {**SHARED, "own": {"kind": "filesystem", "size": "5GiB"}, "disk": {"kind": "block", "size": "5GiB"}}
    facts = Facts(claims=(CLAIM,), claims_are_seen=True)
    environment = {**CW, "storage": CLAIMING["storage"]}
    resolution = resolved(POOLS, environment, facts, storage=storage, workloads=web())
    assert resolution.gaps == ()
