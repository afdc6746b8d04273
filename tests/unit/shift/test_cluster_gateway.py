"""What the API server answers, as a shift understands it."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.errors import BusyError, CredentialsError, MeshError
from meshctl.shift.cluster_gateway import ClusterGateway, is_rolling
from meshctl.shift.gateway import GONE, Budget
from meshctl.shift.planning.plan import Request
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.requests import Request as ApiRequest
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.shift.world import POOL_LABEL, World, declared, world_of


class Refusing(FakeClient):
    """A client whose requests are answered with this error."""

    def __init__(self, error: ApiError | None) -> None:
        super().__init__({})
        self.error = error
        self.sent: list[ApiRequest] = []

    def send(self, request: ApiRequest) -> Any:
        self.sent.append(request)
        if self.error is not None:
            raise self.error
        return {}


def evicted(monkeypatch: pytest.MonkeyPatch, error: ApiError | None, *, dry_run: bool = False) -> tuple[str, Refusing]:
    client = Refusing(error)
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    gateway = ClusterGateway(ClusterAccess("dc1"), declared(), lambda: "")
    return gateway.evict("demo", "chat-1", "uid-1", dry_run=dry_run), client


def test_an_eviction_names_the_pod_by_its_uid(monkeypatch: pytest.MonkeyPatch) -> None:
    answer, client = evicted(monkeypatch, None, dry_run=True)
    (request,) = client.sent
    assert answer == ""
    assert (request.method, request.path) == ("POST", "/api/v1/namespaces/demo/pods/chat-1/eviction")
    assert request.query == {"dryRun": "All"}
    assert request.body["deleteOptions"] == {"preconditions": {"uid": "uid-1"}}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (ApiError(404, "not found"), GONE),
        (ApiError(409, "the UID in the precondition does not match"), GONE),
        (ApiError(429, "Cannot evict pod"), "Cannot evict pod"),
        (
            ApiError(429, "Cannot evict", details={"causes": [{"message": "budget chat needs 2"}]}),
            "budget chat needs 2",
        ),
        (
            ApiError(500, "This pod has more than one PodDisruptionBudget, which the eviction subresource ..."),
            "This pod has more than one PodDisruptionBudget, which the eviction subresource ...",
        ),
    ],
)
def test_what_keeps_a_pod_is_an_answer(monkeypatch: pytest.MonkeyPatch, error: ApiError, answer: str) -> None:
    assert evicted(monkeypatch, error)[0] == answer


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (ApiError(403, "forbidden"), CredentialsError),
        (ApiError(500, "etcd"), BusyError),
        (ApiError(422, "no"), MeshError),
    ],
)
def test_other_refusals_are_errors(monkeypatch: pytest.MonkeyPatch, error: ApiError, raised: type[MeshError]) -> None:
    with pytest.raises(raised):
        evicted(monkeypatch, error)


def test_budgets_that_may_not_be_read_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that choose pods by more than labels are left out, and those that nobody has counted yet."""
    selector, status = {"matchLabels": {"app": "chat"}}, {"expectedPods": 4, "desiredHealthy": 3}
    known: dict[str, Any] = {"spec": {"selector": selector}, "status": status}
    other: dict[str, Any] = {
        **known,
        "spec": {"selector": {**selector, "matchExpressions": [{"key": "x", "operator": "Exists"}]}},
    }
    listed: dict[str, list[dict[str, Any]]] = {
        "poddisruptionbudgets": [known, other, {"spec": {"selector": selector}, "status": {}}]
    }
    gateway = ClusterGateway(ClusterAccess("dc1"), declared(), lambda: "")
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient(listed)))
    assert gateway.budgets() == [Budget({"app": "chat"}, 4, 3)]
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient(listed, {"poddisruptionbudgets": 403})))
    assert gateway.budgets() == []
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient(listed, {"poddisruptionbudgets": 500})))
    with pytest.raises(BusyError):
        gateway.budgets()


def test_a_roll_out_has_old_pods_and_missing_pods_are_none() -> None:
    meta: Any = {"generation": 2}
    assert is_rolling({"metadata": meta, "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1}})
    assert is_rolling({"metadata": meta, "status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1}})
    waiting: Any = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "availableReplicas": 1}
    assert not is_rolling({"metadata": meta, "status": waiting})
    assert not is_rolling({"metadata": meta, "status": {}})


def interfered(world: World, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Somebody else changes a node between a look at it and the patch, so often."""
    get, left = world.get, [times]

    def changed_meanwhile(*arguments: Any, **options: Any) -> Any:
        node = get(*arguments, **options)
        if left[0] and world.events:
            left[0] -= 1
            metadata = world.nodes[node["metadata"]["name"]]["metadata"]
            metadata["resourceVersion"] = str(int(metadata["resourceVersion"]) + 1)
            metadata["labels"]["team"] = "vision"
        return node

    monkeypatch.setattr(world, "get", changed_meanwhile)


def test_a_change_by_somebody_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    interfered(world, monkeypatch, 3)
    shifts = world.shifts()
    assert shifts.start(shifts.plan(Request("train", "serve", 1))).state == "in-force"
    assert world.nodes["train-3"]["metadata"]["labels"]["team"] == "vision"
    world.shifts().undo()
    labels = world.nodes["train-3"]["metadata"]["labels"]
    assert (labels["team"], labels[POOL_LABEL]) == ("vision", "train")


def test_a_node_that_is_changed_all_the_time_stops_the_shift(monkeypatch: pytest.MonkeyPatch) -> None:
    world = world_of(monkeypatch, deployment=declared(gang=3))
    interfered(world, monkeypatch, 1000)
    shifts = world.shifts()
    with pytest.raises(BusyError, match="another program keeps changing train-3") as caught:
        shifts.start(shifts.plan(Request("train", "serve", 1)))
    assert "meshctl shift dc1 --resume" in caught.value.hint
