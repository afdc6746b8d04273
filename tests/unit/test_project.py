"""What a project asks of a given cluster before it decides whether the cluster can carry the mesh."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from meshctl import render
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import InfeasibleError, UnreachableError
from meshctl.model.deployment import Deployment, Elsewhere, Resolution
from meshctl.model.environment import Environments
from meshctl.model.keys import gateway_shares
from meshctl.model.mesh import Mesh
from meshctl.model.observed import ShiftsInForce
from meshctl.model.served_apis import (
    CLUSTER_QUEUE,
    KAI,
    LEADER_WORKER_SET,
    OLDER_CLUSTER_QUEUE,
    POD_MONITOR,
    WEKA_CLUSTER,
)
from meshctl.model.stack_state import NO_OUTPUTS, StackOutputs, StackState
from meshctl.project import Project
from tests.unit.fake_cluster import FakeClient, client_of

MESH = {
    "apiVersion": "meshctl/v1",
    "kind": "Mesh",
    "name": "m",
    "pools": {"p": {"nodes": 1, "accelerator": {"model": "H100", "count": 8}}},
}
ENVIRONMENTS = {
    "apiVersion": "meshctl/v1",
    "kind": "Environments",
    "environments": {"dc": {"provider": "onprem", "kubernetes": {"context": "dc"}}},
}
GPUS = {"nvidia.com/gpu": "8", "cpu": "64", "memory": "512Gi"}


def session_of_nothing() -> Any:
    """Of an environment where nothing is up."""
    return SimpleNamespace(
        remarks={},
        check_cluster=lambda _: None,
        shifts_in_force=lambda _: ShiftsInForce(),
        state=lambda _: StackState(),
    )


def project() -> Project:
    session = SimpleNamespace(
        remarks={},
        check_cluster=lambda _: None,
        shifts_in_force=lambda _: ShiftsInForce(),
        state=lambda _: StackState(),
    )
    return Project(Mesh.model_validate(MESH), Environments.model_validate(ENVIRONMENTS), cast("Any", session))


def node(**spec: Any) -> Any:
    labels = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    status = {"capacity": GPUS, "conditions": [{"type": "Ready", "status": "True"}]}
    return {"metadata": {"name": "g1", "labels": labels}, "spec": spec, "status": status}


def pod(gpus: str) -> Any:
    container = {"name": "c", "resources": {"requests": {"nvidia.com/gpu": gpus}}}
    metadata = {"name": "a", "namespace": "team"}
    return {"metadata": metadata, "spec": {"nodeName": "g1", "containers": [container]}}


def serve(monkeypatch: pytest.MonkeyPatch, nodes: list[Any], pods: list[Any] | None) -> None:
    refused = {"pods": 403} if pods is None else {}
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({"nodes": nodes, "pods": pods or []}, refused)))


def test_a_node_with_a_taint_or_pods_of_others_is_refused_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taint = {"key": "team", "value": "vision", "effect": "NoSchedule"}
    for nodes, pods, why in (
        ([node(taints=[taint])], [], "1 node has the taint team=vision:NoSchedule"),
        ([node()], [pod("2")], "on 1 node pods of others have GPUs"),
    ):
        serve(monkeypatch, nodes, pods)
        with pytest.raises(InfeasibleError, match=why):
            project().deployment("dc")
    serve(monkeypatch, [node()], [])
    assert project().deployment("dc").pools[0].node_names == ("g1",)


def test_without_the_right_to_list_pods_the_plan_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, [node()], None)
    made = project()
    assert made.deployment("dc").pools[0].node_names == ("g1",)
    assert "pods of others are not counted" in made.session.remarks["dc"][0]


@pytest.mark.parametrize(("nodes", "kept"), [(2, True), (1, False)])
def test_a_cluster_in_which_nodes_are_made_is_asked_for_a_controller_of_groups(
    monkeypatch: pytest.MonkeyPatch, nodes: int, kept: bool
) -> None:
    served = [LEADER_WORKER_SET] if nodes > 1 else []  # a mesh without groups asks nothing
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, served=served)))
    workload = {"kind": "inference", "pool": "p", "image": "i", "nodes": nodes}
    mesh = {**MESH, "pools": {"p": {"nodes": 2, "cpu": {"cores": 8}}}, "workloads": {"llama": workload}}
    cw = {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": "cw"}}
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"cw": cw}})
    session = SimpleNamespace(
        remarks={},
        check_cluster=lambda _: None,
        shifts_in_force=lambda _: ShiftsInForce(),
        state=lambda _: StackState(),
    )
    resolution = Project(Mesh.model_validate(mesh), environments, cast("Any", session)).resolution("cw")
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.has_group_controller is kept


@pytest.mark.parametrize("served", [[CLUSTER_QUEUE], []])
def test_a_cluster_in_which_nodes_are_made_is_asked_for_kueue(
    monkeypatch: pytest.MonkeyPatch, served: list[str]
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, served=served)))
    pool = {"nodes": 2, "accelerator": {"model": "H100", "count": 8}, "lend": {"upTo": 1}}
    cw = {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": "cw"}}
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"cw": cw}})
    session = session_of_nothing()
    lent = Project(Mesh.model_validate({**MESH, "pools": {"p": pool}}), environments, session).resolution("cw")
    assert lent.deployment is not None, lent.gaps
    assert lent.deployment.pool("p").lends_nodes == len(served)


@pytest.mark.parametrize("served", [[*KAI, CLUSTER_QUEUE], [CLUSTER_QUEUE]])
@pytest.mark.parametrize("provider", ["coreweave", "onprem"])
def test_a_cluster_is_asked_for_kai_scheduler_where_the_environment_names_it(
    monkeypatch: pytest.MonkeyPatch, provider: str, served: list[str]
) -> None:
    client = FakeClient({"nodes": [node()], "pods": []}, served=served)
    lent = with_kai(monkeypatch, client, provider)
    assert (lent.deployment is not None and lent.deployment.kai is not None) is (len(served) > 1), lent.gaps
    assert [gap.subject for gap in lent.gaps] == ([] if len(served) > 1 else ["pool/p"])


def test_a_queue_of_somebody_else_with_our_name_is_seen_before_anything_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queues = [{"metadata": {"name": name}} for name in ("m.p", "default-queue")]
    client = FakeClient({"nodes": [node()], "pods": [], "queues": queues}, served=KAI)
    lent = with_kai(monkeypatch, client, "onprem")
    assert lent.deployment is None
    assert [(gap.subject, gap.wanted) for gap in lent.gaps] == [("pool/p", "a queue of KAI Scheduler called m.p")]


def with_kai(monkeypatch: pytest.MonkeyPatch, client: FakeClient, provider: str) -> Resolution:
    """A mesh with one pool that lends, in an environment that names KAI Scheduler."""
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    place: dict[str, Any] = {"provider": provider, "kubernetes": {"context": "c"}, "lending": {"by": "kai"}}
    place |= {"region": "US-EAST-04A"} if provider == "coreweave" else {}
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"e": place}})
    mesh = Mesh.model_validate({**MESH, "pools": {"p": {**LENDS, "nodes": 1}}})
    return Project(mesh, environments, session_of_nothing()).resolution("e")


@pytest.mark.parametrize("served", [[POD_MONITOR], []])
def test_a_cluster_in_which_nodes_are_made_is_asked_for_pod_monitors(
    monkeypatch: pytest.MonkeyPatch, served: list[str]
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, served=served)))
    ports = {"ports": {"http": 8000}, "metrics": {"port": "http"}}
    workload = {"kind": "inference", "pool": "p", "image": "i", **ports}
    mesh = {**MESH, "pools": {"p": {"nodes": 2, "cpu": {"cores": 8}}}, "workloads": {"chat": workload}}
    cw = {"provider": "coreweave", "region": "US-EAST-04A", "kubernetes": {"context": "cw"}}
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"cw": cw}})
    session = SimpleNamespace(
        remarks={},
        check_cluster=lambda _: None,
        shifts_in_force=lambda _: ShiftsInForce(),
        state=lambda _: StackState(),
    )
    resolution = Project(Mesh.model_validate(mesh), environments, cast("Any", session)).resolution("cw")
    assert resolution.deployment is not None, resolution.gaps
    names = {item.name for item in render.platform_objects(resolution.deployment)}
    assert ("workload/chat:pod-monitor" in names) is bool(served)


@pytest.mark.parametrize("provider", ["onprem", "coreweave"])
@pytest.mark.parametrize("forbidden", [[], [("create", "clusterroles")]], ids=["may", "may not"])
def test_a_gang_is_held_only_where_the_user_may_make_what_holds_it(
    monkeypatch: pytest.MonkeyPatch, provider: str, forbidden: list[tuple[str, str]]
) -> None:
    first, second = node(), node()
    second["metadata"] = {**second["metadata"], "name": "g2"}
    client = FakeClient({"nodes": [first, second], "pods": []}, forbidden=forbidden)
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    workload = {"kind": "training", "pool": "p", "image": "i", "nodes": 2}
    pool = {"nodes": 2, "accelerator": {"model": "H100", "count": 8}}
    mesh = {**MESH, "pools": {"p": pool}, "workloads": {"pretrain": workload}}
    place = {"provider": provider, "kubernetes": {"context": "c"}} | (
        {"region": "US-EAST-04A"} if provider == "coreweave" else {}
    )
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"here": place}})
    made = Project(Mesh.model_validate(mesh), environments, cast("Any", session_of_nothing()))
    resolution = made.resolution("here")
    assert resolution.deployment is not None, resolution.gaps
    assert resolution.deployment.workload("pretrain").held_together is (not forbidden)
    assert client.reviews, "the cluster is asked"


def test_a_mesh_without_gangs_asks_for_no_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    client = FakeClient({"nodes": [node()], "pods": []})
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    assert project().deployment("dc").pools[0].node_names == ("g1",)
    assert client.reviews == []


def test_a_gateway_leads_elsewhere_what_the_one_that_is_up_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the steps of an expansion change it: an `up` of the source meanwhile keeps the share."""
    routed = {
        **MESH,
        "workloads": {"chat": {"kind": "service", "pool": "p", "image": "chat:1", "ports": {"http": 8000}}},
        "endpoints": {"chat": {"host": "chat.example.com", "routes": {"/": "chat/http"}, "access": "public"}},
    }
    serve(monkeypatch, [node()], [])
    made = project()
    made.mesh = Mesh.model_validate(routed)
    made.environments = Environments.model_validate(
        {**ENVIRONMENTS, "dns": {"provider": "route53", "zone": "example.com"}}
    )
    plain = made.deployment("dc")
    elsewhere = Elsewhere(environment="west", weight=102, addresses=("192.0.2.2",), port=80)
    shared = gateway_shares.with_shares(plain, {"chat": elsewhere})
    assert plain != shared
    state = SimpleNamespace(deployment=shared)
    monkeypatch.setattr(made.session, "state", lambda _: state)
    assert made.deployment("dc") == shared
    made.expands_by_gateway = lambda _: False  # an old run brought a share back after the expansion had ended
    assert made.deployment("dc") == plain


AWS = {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a", "us-east-1b"]}
LENDS = {"nodes": 2, "accelerator": {"model": "H100", "count": 8}, "lend": {"upTo": 1}}
GROUPS = {"kind": "inference", "pool": "p", "image": "i", "nodes": 2, "resources": {"accelerators": 8}}
CONTROLLERS = [CLUSTER_QUEUE, LEADER_WORKER_SET, POD_MONITOR]


def on_aws(up: Deployment | None, *, lends: bool = True, has_groups: bool = True, queue: str = "") -> Project:
    """`up`: what runs in the cluster that meshctl has made; None where there is none yet."""
    pool = LENDS if lends else {**LENDS, "lend": None}
    served = {"kind": "service", "pool": "p", "image": "i", "ports": {"http": 80}, "metrics": {"port": "http"}}
    mesh = {**MESH, "pools": {"p": pool, "q": {**LENDS, "nodes": 4, "lend": None}}}
    mesh["workloads"] = {"page": served, **({"llama": {**GROUPS, "pool": "q"}} if has_groups else {})}
    outputs = StackOutputs({"kubeconfig": "{}"}, up) if up is not None else NO_OUTPUTS
    session = session_of_nothing()
    session.state = lambda _: StackState(outputs=outputs)
    if queue:
        mesh["workloads"] = {"fit": {"kind": "batch", "pool": "p", "image": "i"}}
    entry = {**AWS, **({"workloads": {"fit": {"queue": queue}}} if queue else {})}
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"e": entry}})
    return Project(Mesh.model_validate(mesh), environments, session)


def resolved_on_aws(up: Deployment | None, **more: Any) -> Deployment:
    resolution = on_aws(up, **more).resolution("e")
    assert resolution.deployment is not None, resolution.gaps
    return resolution.deployment


def never(_: ClusterAccess) -> Any:
    raise AssertionError("asked")


def test_a_cluster_that_is_yet_to_be_made_is_asked_nothing_and_has_no_controllers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", never)
    resolution = on_aws(None).resolution("e")
    assert resolution.deployment is not None
    assert resolution.deployment.pool("p").lends_nodes == 0
    assert not resolution.deployment.has_group_controller
    assert any("after the first `up` install it (`helm install kueue" in note for note in resolution.notes)
    assert any("install the controller (`helm install lws" in note for note in resolution.notes)
    resolved_on_aws(resolution.deployment, lends=False, has_groups=False)  # a mesh that needs none asks nothing


def test_controllers_that_somebody_has_installed_in_a_made_cluster_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", never)
    before = resolved_on_aws(None)
    others = {"metadata": {"name": "team"}, "spec": {"resourceGroups": [{"coveredResources": ["nvidia.com/gpu"]}]}}
    client = FakeClient({"clusterqueues": [others]}, served=CONTROLLERS)
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    now = resolved_on_aws(before)
    assert now.pool("p").lends_nodes == 1
    assert now.has_group_controller
    # other APIs change nothing that is up
    assert not [item.name for item in render.platform_objects(now) if item.kind == "PodMonitor"]


def test_queues_of_others_in_a_made_cluster_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    flavors = [{"metadata": {"name": "all"}, "spec": {"nodeLabels": {}}}]
    groups = [{"coveredResources": ["nvidia.com/gpu"], "flavors": [{"name": "all", "resources": []}]}]
    queues = [{"metadata": {"name": "team"}, "spec": {"resourceGroups": groups}}]
    client = FakeClient({"resourceflavors": flavors, "clusterqueues": queues}, served=CONTROLLERS)
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    project = on_aws(resolved_on_aws(None))
    project.resolution("e")
    assert any("the ClusterQueue team of somebody else" in note for note in project.session.remarks["e"])


def test_a_made_cluster_that_does_not_answer_loses_no_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(_: ClusterAccess) -> Any:
        raise UnreachableError("the Kubernetes API server of e does not answer")

    client = FakeClient({}, served=CONTROLLERS)
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    before = resolved_on_aws(None)
    up = resolved_on_aws(before)
    monkeypatch.setattr(ClusterAccess, "client", silent)
    assert resolved_on_aws(up) == up
    assert resolved_on_aws(before) == before


def test_a_kueue_that_is_too_old_in_a_made_cluster_is_called_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, served=[OLDER_CLUSTER_QUEUE])))
    resolution = on_aws(resolved_on_aws(None)).resolution("e")
    assert any("its Kueue is older than 0.15" in note for note in resolution.notes)


@pytest.mark.parametrize("served", [[], [CLUSTER_QUEUE], [OLDER_CLUSTER_QUEUE]])
def test_a_job_in_a_queue_waits_for_a_kueue_only_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, served: list[str]
) -> None:
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, served=served)))
    up = resolved_on_aws(None, lends=False, has_groups=False, queue="research")
    notes = on_aws(up, lends=False, has_groups=False, queue="research").resolution("e").notes
    assert any("waits until you have installed Kueue" in note for note in notes) is not bool(served)


@pytest.mark.parametrize("served", [[], [WEKA_CLUSTER]], ids=["no operator", "an operator"])
def test_a_cluster_is_asked_for_an_operator_of_weka_and_what_its_user_may(
    monkeypatch: pytest.MonkeyPatch, served: list[str]
) -> None:
    """A joined cluster needs no drives; who may grant no rights can still use an operator that is there."""
    joined = {"weka": {"cluster": "shared", "namespace": "storage"}}
    place = {
        "provider": "onprem",
        "kubernetes": {"context": "dc"},
        "storage": {"data": joined},
        "neuralMesh": {"udp": True},
    }
    mesh = {
        **MESH,
        "storage": {"data": {"kind": "filesystem", "engine": "neuralmesh", "size": "1TiB"}},
        "workloads": {"chat": {"kind": "service", "pool": "p", "image": "chat:1", "mounts": {"data": {"path": "/d"}}}},
    }
    nodes = node()
    nodes["status"]["capacity"] = {**GPUS, "hugepages-2Mi": "8Gi"}
    operator = {"metadata": {"name": "weka-operator-controller-manager"}}
    items = {"nodes": [nodes], "pods": [], "deployments": [operator] if served else []}
    client = FakeClient(items, served=served, forbidden=[("escalate", "clusterroles")])
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    environments = Environments.model_validate({**ENVIRONMENTS, "environments": {"dc": place}})
    made = Project(Mesh.model_validate(mesh), environments, cast("Any", session_of_nothing()))
    resolution = made.resolution("dc")
    if served:
        assert resolution.deployment is not None, resolution.gaps
        assert resolution.deployment.neural_mesh is not None
        assert not resolution.deployment.neural_mesh.installs_operator
    else:
        assert [gap.best for gap in resolution.gaps] == [
            "this one may not escalate clusterroles.rbac.authorization.k8s.io"
        ]
        assert resolution.deployment is None
