"""What `status` says of a WEKA cluster, and how one is ended whose data may go."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes import losses
from meshctl.changes.losses import Seen, outcome_of_destroy, outcome_of_up
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.clients.weka import weka_clusters
from meshctl.deploy.ends import weka_ends
from meshctl.deploy.fields import field_rules, live_objects
from meshctl.deploy.fields.field_owners import FieldConflict, Manager
from meshctl.deploy.guards.running.pools import pools_in_place
from meshctl.deploy.runs import begun_pools
from meshctl.model.deployment import Deployment, JoinedWeka
from meshctl.model.resource_types import WEKA_CLUSTER
from meshctl.model.stack_state import STACK_TYPE, StackState, as_outputs
from meshctl.operate.neural_mesh_status import neural_mesh_status
from meshctl.operate.status import EnvironmentStatus, status_text
from meshwire.kubernetes.errors import ApiError
from meshwire.weka import WekaState
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.states import state
from tests.unit.weka_mesh import joined, neural_mesh, system, with_mesh

ACCESS = ClusterAccess("dc1")
URN = f"urn:pulumi:dc1::llm-prod::{WEKA_CLUSTER}::neuralmesh:cluster"


@pytest.mark.parametrize(
    ("seen", "text", "is_short"),
    [
        (WekaState("Ready", "", 24, 24), "ready", False),
        (WekaState("Ready", "rebuilding", 23, 24, ("S123",)), "ready, rebuilding: drive S123 failed", False),
        (WekaState("Ready", "redistributing", 23, 24), "ready, redistributing: 23 of 24 drives are active", False),
        (WekaState("Ready", "", 24, 24, upgrades_to="w:2"), "ready, upgrading to w:2", False),
        (WekaState("Ready", "", 22, 24, ("S1", "S2")), "ready: drives S1, S2 failed", False),
        (WekaState("WaitForDrives", "", 8, 24), "WaitForDrives: 8 of 24 drives are active", True),
        (WekaState("GracePeriod"), "GracePeriod", True),
        (WekaState(""), "waiting for WEKA's operator", False),
        (None, "not known: it is gone, or this user may not look at it", False),
    ],
)
def test_the_status_says_how_the_storage_does(seen: WekaState | None, text: str, *, is_short: bool) -> None:
    status = neural_mesh_status(neural_mesh(), seen)
    assert (status.text, status.is_short) == (text, is_short)
    shown = EnvironmentStatus("dc1", "up", neural_mesh=status)
    assert status_text(shown) == f"dc1: up\n  storage   llm-prod  {text}\n"
    assert shown.document()["neural_mesh"]["text"] == text


def test_a_cluster_outside_can_not_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    outside = joined(joined=JoinedWeka(endpoints=("10.0.0.1:14000",), secret="weka-user"))
    assert weka_clusters.state(ACCESS, outside) is None
    assert "outside this Kubernetes cluster" in neural_mesh_status(outside, None).text


def test_it_is_read_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"metadata": {"name": "shared"}, "status": {"status": "Ready"}}
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({"wekaclusters": [cluster]})))
    assert weka_clusters.state(ACCESS, joined()) == WekaState("Ready")
    assert weka_clusters.state(ACCESS, neural_mesh()) is None  # it has another name
    monkeypatch.setattr(ClusterAccess, "client", client_of(FakeClient({}, {"wekaclusters": 403})))
    assert weka_clusters.state(ACCESS, joined()) is None


def deployed(made: Deployment) -> StackState:
    metadata = {"name": "llm-prod", "namespace": "llm-prod"}
    return state(
        {"urn": f"urn:pulumi:dc1::m::{STACK_TYPE}::m-dc1", "type": STACK_TYPE, "outputs": as_outputs(made)},
        {"urn": URN, "type": WEKA_CLUSTER, "id": "llm-prod/llm-prod", "inputs": {"metadata": metadata}, "custom": True},
    )


def test_a_cluster_with_files_is_a_loss_with_its_grace() -> None:
    made = with_mesh(neural_mesh(net_capacity_gib=40 * 1024))
    (loss,) = losses.losses(deployed(made), made, outcome_of_destroy(deployed(made)), Seen(volumes=()))
    assert loss.text() == (
        "neuralmesh (WekaCluster llm-prod/llm-prod, 40 TiB): it goes with the environment, without the 24h in which its"
        " operator could bring it back"
    )
    without = made.model_copy(update={"neural_mesh": None, "file_systems": ()})
    outcome = outcome_of_up(deployed(made), made, without, ())
    assert not losses.losses(deployed(made), made, outcome, Seen(volumes=()))  # as long as no step deletes it


def test_a_cluster_of_ephemeral_files_is_none() -> None:
    made = with_mesh(neural_mesh(), system(ephemeral=True))
    assert not losses.losses(deployed(made), made, outcome_of_destroy(deployed(made)), Seen(volumes=()))


class Patched:
    """A client that takes patches, and says that nothing else is there."""

    def __init__(self, status: int = 0) -> None:
        self.calls: list[tuple[str, str, Any]] = []
        self.status = status

    def __enter__(self) -> Patched:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def patch(self, resource: Any, name: str, body: Any, *, namespace: str, **_: Any) -> None:
        if self.status:
            raise ApiError(self.status, "no")
        self.calls.append((resource.plural, f"{namespace}/{name}", body))


def test_whose_data_may_go_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Patched()
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    weka_ends.end_at_once(deployed(with_mesh()))
    assert client.calls == [("wekaclusters", "llm-prod/llm-prod", {"spec": {"gracefulDestroyDuration": "0s"}})]
    monkeypatch.setattr(ClusterAccess, "client", client_of(Patched(404)))
    weka_ends.end_at_once(deployed(with_mesh()))  # somebody has deleted it
    weka_ends.end_at_once(state())


PROVIDER = "urn:pulumi:dc1::m::pulumi:providers:kubernetes::cluster"


def killed(*, is_waiting: bool = False) -> StackState:
    """The state after a first `up` was killed that had made the cluster: no outputs say where it is."""
    record = deployed(with_mesh()).of_type(WEKA_CLUSTER)[0].record
    cluster = {**record, "provider": f"{PROVIDER}::7"}
    inputs = {"kubeconfig": "/k/config", "context": "dc", "clusterIdentifier": "uid-1"}
    provider = {"urn": PROVIDER, "type": "pulumi:providers:kubernetes", "id": "7", "inputs": inputs}
    pending = [{"type": "creating", "resource": cluster}] if is_waiting else []
    return state(provider, *([] if is_waiting else [cluster]), pending_operations=pending)


@pytest.mark.parametrize("is_waiting", [False, True], ids=["made", "waited for"])
def test_so_does_one_of_a_first_run_that_was_killed(monkeypatch: pytest.MonkeyPatch, *, is_waiting: bool) -> None:
    client = Patched()
    asked: list[ClusterAccess] = []

    def connected(access: ClusterAccess) -> Patched:
        asked.append(access)
        return client

    monkeypatch.setattr(ClusterAccess, "client", connected)
    weka_ends.end_at_once(killed(is_waiting=is_waiting))
    assert client.calls == [("wekaclusters", "llm-prod/llm-prod", {"spec": {"gracefulDestroyDuration": "0s"}})]
    assert asked == [ClusterAccess("dc1", "/k/config", "dc", "uid-1")]


def test_what_a_killed_run_has_formed_keeps_its_layout() -> None:
    made, urn = with_mesh(neural_mesh(stripe_width=5)), f"urn:pulumi:dc1::m::{STACK_TYPE}::m-dc1"
    assert begun_pools.decides(made, state())
    assert not begun_pools.decides(made, deployed(made))
    assert not begun_pools.decides(with_mesh(joined()), state())
    for formed in (killed(), killed(is_waiting=True)):
        up = pools_in_place.with_formed_storage(formed.with_begun(made, urn))
        assert up is not None
        assert up.neural_mesh == made.neural_mesh
    assert pools_in_place.with_formed_storage(state().with_begun(made, urn)) is None  # nothing has formed yet
    before = with_mesh().model_copy(update={"neural_mesh": None})
    later = killed().with_begun(made, urn).with_deployment(before)
    up = pools_in_place.with_formed_storage(later)
    assert up is not None
    assert up.neural_mesh == made.neural_mesh
    assert pools_in_place.with_formed_storage(deployed(made)) == made


def test_a_run_that_keeps_the_cluster_ends_none() -> None:
    made = with_mesh()
    assert not weka_ends.going(deployed(made), made)
    assert not weka_ends.going(state(), None)
    assert weka_ends.going(deployed(made), None)
    assert weka_ends.going(deployed(made), made.model_copy(update={"neural_mesh": None}))
    assert weka_ends.going(deployed(made), with_mesh(joined()))


def test_a_destroy_that_did_not_finish_is_set_back() -> None:
    ours, admin = Manager(field_rules.DESTROY_MANAGER, "Update"), Manager("kubectl-edit", "Update")

    def verdict(live: str, *managers: Manager) -> field_rules.Verdict:
        path = ("f:spec", "f:gracefulDestroyDuration")
        conflict = FieldConflict("neuralmesh:cluster", "WekaCluster", "llm-prod", path, managers, live, "24h")
        return field_rules.decide(conflict, {}, ()).verdict

    assert verdict("0s", ours) is field_rules.Verdict.TAKE_OVER
    assert verdict("168h", admin) is field_rules.Verdict.REFUSE  # whoever keeps it longer is asked
    assert verdict("168h", admin, ours) is field_rules.Verdict.REFUSE


def test_kinds_are_found_by_the_plural_of_the_api_server() -> None:
    plurals = {"WekaPolicy": "wekapolicies", "StorageClass": "storageclasses", "WekaClient": "wekaclients"}
    assert {kind: live_objects.plural(kind) for kind in plurals} == plurals
