"""A claim that environments.yaml adopts outlives the environment, whoever made the namespace that it is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshctl.changes.losses import Seen, Volume, losses, outcome_of_destroy
from meshctl.clients.kubernetes import existing_claims
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy import kubeconfig
from meshctl.deploy.deploy_state import deploy_state
from meshctl.deploy.guards import preconditions
from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.runs.teardown import Teardown
from meshctl.errors import DiagnosticsError, ProtectedDataError, UnreachableError
from meshctl.model.deployment import Block, Deployment, FileSystem, NfsExport, Price
from meshctl.model.observed import DeployState, Facts, ObservedClaim
from meshctl.model.stack_state import StackState
from meshwire.kubernetes.errors import ApiError, NoAnswerError
from tests.unit.deployments import deployment
from tests.unit.engine.test_adopted_buckets import resolution
from tests.unit.fake_cluster import FakeClient, client_of
from tests.unit.states import NOTHING, state

PRICE = Price(subject="storage/shared", usd_per_hour=None, source="by hand")
ADOPTING = deployment(
    "dc",
    object_stores=(),
    file_systems=(
        FileSystem(name="shared", service="claim", size_gib=1, existing_claim="acme-files", price=PRICE),
        FileSystem(name="home", service="nfs", size_gib=1, nfs=NfsExport(server="h", path="/e"), price=PRICE),
    ),
    blocks=(Block(name="data", size_gib=5, storage_class="fast", price=PRICE),),
    namespace_is_given=True,
)
URN = "urn:pulumi:dc::llm-prod::"
NAMESPACE, PATCH = "kubernetes:core/v1:Namespace", "kubernetes:core/v1:NamespacePatch"
OWN_LABELS = {
    "app.kubernetes.io/part-of": "llm-prod",
    "app.kubernetes.io/managed-by": "meshctl",
    "meshctl.dev/environment": "dc",
}


def resource(type_: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": f"{URN}{type_}::{name}", "type": type_, "custom": True, "inputs": {}, **more}


def namespace(type_: str, *, retained: bool = False) -> dict[str, Any]:
    return resource(type_, "platform:namespace", retainOnDelete=retained)


STACK = {
    **resource("pulumi:pulumi:Stack", "llm-prod-dc"),
    "custom": False,
    "outputs": {"deployment": ADOPTING.model_dump(mode="json")},
}


@pytest.mark.parametrize(
    ("resources", "is_given"),
    [((), True), ((namespace(NAMESPACE),), False), ((namespace(PATCH),), True)],
    ids=["before the first up", "made by meshctl", "given"],
)
def test_who_made_the_namespace_is_decided_by_the_first_up(
    resources: tuple[dict[str, Any], ...], *, is_given: bool
) -> None:
    before = state(STACK, *resources) if resources else NOTHING
    assert running_pods.with_running_pods(ADOPTING, before).namespace_is_given == is_given


def test_a_given_namespace_stays_given_when_nothing_in_it_is_adopted_any_more() -> None:
    later = ADOPTING.model_copy(update={"file_systems": (), "namespace_is_given": False})
    assert running_pods.with_running_pods(later, state(STACK, namespace(PATCH))).namespace_is_given


def test_an_environment_in_a_given_namespace_is_up() -> None:
    assert deploy_state(state(STACK, namespace(PATCH))) is DeployState.WHOLE


class Run:
    """A run of a stack in one namespace with claims: the state goes, and what is not retained goes with it."""

    def __init__(self, *resources: dict[str, Any]) -> None:
        self.resources = [STACK, *resources]
        self.claims = {"acme-files": {"team": "vision"}, "data-site-0": OWN_LABELS, "others": {}}
        self.fails_after_destroy = ""  # whether the cluster then refuses to "list" or to "delete" claims

    def state(self) -> StackState:
        return state(*self.resources) if self.resources else NOTHING

    recovered_state = state

    def retain(self, urns: frozenset[str]) -> None:
        self.resources = [{**each, "retainOnDelete": each["urn"] in urns} for each in self.resources]

    def empty_on_delete(self, urns: frozenset[str]) -> None:
        del urns

    def destroy(self, *, state: StackState | None = None) -> None:
        del state
        if any(each["type"] == NAMESPACE and not each.get("retainOnDelete") for each in self.resources):
            self.claims = {}
        self.resources = []

    # the cluster
    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def list_objects(self, _: Any, *, namespace: str, labels: dict[str, str] | None = None) -> list[dict[str, Any]]:
        assert namespace == "llm-prod"
        wanted = (labels or {}).items()
        self._fail("list")
        return [
            {"metadata": {"name": name, "labels": own}, "spec": {"volumeName": f"pv-{name}"}}
            for name, own in self.claims.items()
            if wanted <= own.items()
        ]

    def get(self, *_: Any) -> None:
        raise ApiError(404, "no rights to see volumes")

    def _fail(self, verb: str) -> None:
        if not self.resources and self.fails_after_destroy == verb:
            raise NoAnswerError("https://dc", "connection refused")

    def delete(self, _: Any, name: str, *, namespace: str) -> None:
        assert namespace == "llm-prod"
        self._fail("delete")
        del self.claims[name]


@pytest.fixture
def teardown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Run], Teardown]:
    monkeypatch.setattr(preconditions, "check_destroy", lambda *_: None)
    monkeypatch.setattr(kubeconfig, "remove_context", lambda *_: None)

    def made(run: Run) -> Teardown:
        monkeypatch.setattr(ClusterAccess, "client", client_of(run))
        return Teardown(tmp_path, lambda _: run, lambda _: None, lambda _: None)  # type: ignore[arg-type, return-value]

    return made


@pytest.mark.parametrize(
    "own", [namespace(PATCH), namespace(NAMESPACE, retained=True)], ids=["given", "made by meshctl"]
)
@pytest.mark.parametrize("ending", ["destroy", "keeping data", "with data"])
def test_destroy_leaves_adopted_claims_and_takes_its_own(
    own: dict[str, Any], ending: str, teardown: Callable[[Run], Teardown]
) -> None:
    run = Run(own, resource("kubernetes:apps/v1:Deployment", "workload/site:deployment", retainOnDelete=True))
    ends = teardown(run)
    if ending == "destroy":
        ends.destroy("dc", allow_data_loss=True)
    elif ending == "keeping data":
        ends.destroy_keeping_data(ADOPTING, allow_data_loss=True, command="meshctl migrations finish")
    else:
        ends.destroy_with_data(ADOPTING, allow_data_loss=True, command="meshctl migrations finish")
    assert set(run.claims) == {"acme-files", "others"}
    assert run.resources == []


@pytest.mark.parametrize(
    "own", [namespace(PATCH), namespace(NAMESPACE, retained=True)], ids=["given", "made by meshctl"]
)
def test_a_claim_that_a_removed_workload_left_is_lost_with_the_environment(
    own: dict[str, Any], teardown: Callable[[Run], Teardown]
) -> None:
    run = Run(own)
    ends = teardown(run)
    assert [loss.identity for loss in ends.lost("dc")] == ["claim data-site-0, volume pv-data-site-0"]
    with pytest.raises(ProtectedDataError):
        ends.destroy("dc")
    assert run.resources


def test_claims_that_nobody_could_look_at_are_lost_with_the_environment() -> None:
    up = state(STACK, namespace(PATCH))
    outcome = outcome_of_destroy(up, namespace_stays=True)
    (loss,) = losses(up, up.deployment, outcome, Seen(volumes=None))
    assert loss.identity == "claims with the labels of the environment"
    assert losses(up, up.deployment, outcome, Seen(volumes=())) == ()


@pytest.mark.parametrize("verb", ["list", "delete"])
def test_claims_that_are_left_when_the_cluster_fails_are_named(verb: str, teardown: Callable[[Run], Teardown]) -> None:
    run = Run(namespace(PATCH))
    run.fails_after_destroy = verb
    with pytest.raises(UnreachableError, match="data-site-0") as caught:
        teardown(run).destroy("dc", allow_data_loss=True)
    assert "kubectl delete pvc -n llm-prod data-site-0" in caught.value.hint
    assert "acme-files" not in f"{caught.value}{caught.value.hint}"


def test_claims_in_a_namespace_of_meshctl_s_own_go_with_it(teardown: Callable[[Run], Teardown]) -> None:
    run = Run(namespace(NAMESPACE))
    teardown(run).destroy("dc", allow_data_loss=True)
    assert run.claims == {}


@pytest.mark.parametrize(
    "own", [namespace(PATCH), namespace(NAMESPACE, retained=True)], ids=["given", "made by meshctl"]
)
def test_adopted_claims_and_exports_are_not_lost_and_own_ones_are(own: dict[str, Any]) -> None:
    template = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "5Gi"}}}}
    stateful_set = {"metadata": {"name": "site"}, "spec": {"volumeClaimTemplates": [template]}}
    home = {"metadata": {"name": "home"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    up = state(
        STACK,
        own,
        resource("kubernetes:apps/v1:StatefulSet", "workload/site:statefulset", inputs=stateful_set),
        resource("kubernetes:core/v1:PersistentVolumeClaim", "storage/home:claim", inputs=home),
    )
    volumes = tuple(Volume(name, f"pv-{name}", "", "5Gi") for name in ("acme-files", "data-site-0", "home"))
    lost = losses(up, up.deployment, outcome_of_destroy(up), Seen(volumes=volumes))
    assert [loss.identity for loss in lost] == ["claim data-site-0, volume pv-data-site-0"]


def claim(name: str, namespace_: str = "m", **more: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "10Gi"}}, **more.pop("spec", {})}
    status = {"phase": "Bound", "capacity": {"storage": "20Gi"}, **more.pop("status", {})}
    return {"metadata": {"name": name, "namespace": namespace_, **more}, "spec": spec, "status": status}


def observed(monkeypatch: pytest.MonkeyPatch, *claims: dict[str, Any], **refused: int) -> Facts:
    late = {"metadata": {"name": "late"}, "volumeBindingMode": "WaitForFirstConsumer"}
    fast = {"metadata": {"name": "fast"}, "provisioner": "csi.example.com", "volumeBindingMode": "Immediate"}
    client = FakeClient({"persistentvolumeclaims": list(claims), "storageclasses": [late, fast]}, refused)
    monkeypatch.setattr(ClusterAccess, "client", client_of(client))
    return existing_claims.added(Facts(), ClusterAccess("dc"), "m", {"acme"})


def test_claims_are_seen_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = observed(
        monkeypatch,
        claim("acme"),
        claim("acme", "other", deletionTimestamp="2026-01-01T00:00:00Z", labels=OWN_LABELS),
        claim("unnamed"),
    )
    assert facts.claims_are_seen
    in_mesh, elsewhere = facts.claims
    assert in_mesh == ObservedClaim(
        name="acme", namespace="m", phase="Bound", access_modes=("ReadWriteMany",), size_gib=20
    )
    assert (elsewhere.namespace, elsewhere.is_leaving, elsewhere.is_made_by_meshctl) == ("other", True, True)


@pytest.mark.parametrize(
    ("spec", "late", "waits_for"),
    [
        ({"storageClassName": "late"}, True, ""),
        ({"storageClassName": "late", "volumeName": "pv-1"}, False, "the volume pv-1, which it names"),
        ({"storageClassName": "fast"}, False, "the provisioner csi.example.com of its storage class fast"),
        ({"storageClassName": "gone"}, False, "its storage class gone, which does not exist"),
        ({}, False, "a volume that somebody makes for it, as it names no storage class"),
    ],
)
def test_a_pending_claim_may_wait_for_its_first_pod_or_for_what_is_named(
    monkeypatch: pytest.MonkeyPatch, spec: dict[str, str], waits_for: str, *, late: bool
) -> None:
    (pending,) = observed(monkeypatch, claim("acme", spec=spec, status={"phase": "Pending", "capacity": {}})).claims
    assert (pending.phase, pending.binds_late, pending.size_gib) == ("Pending", late, 10)
    assert pending.waits_for.startswith(waits_for)
    assert bool(pending.waits_for) is not late


def test_rights_that_show_no_claims_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = observed(monkeypatch, claim("acme"), persistentvolumeclaims=403)
    assert not facts.claims_are_seen
    assert "grant `list` on `persistentvolumeclaims`" in facts.notes[0]


@pytest.mark.parametrize(
    ("storage", "path", "message"),
    [
        ("{weights: {claim: x}}", "weights", "only storage of kind filesystem or block can be a claim that exists"),
        ("{disk: {nfs: 'h:/e'}}", "disk", "only storage of kind filesystem can be an NFS export that exists"),
        ("{disk: {claim: x, nfs: 'h:/e'}}", "disk", "needs one of bucket, claim, nfs, fileSystem, weka, and not more"),
        ("{disk: {claim: team-a/x}}", "disk.claim", '"team-a/x" is not the name of a PersistentVolumeClaim; write it'),
        ("{disk: {nfs: '/export'}}", "disk.nfs", '"/export" is not an NFS export like nfs.example.com:/export'),
        ("{disk: {claim: x, mountOptions: [hard]}}", "disk", "mountOptions are those of an NFS export; a claim has"),
    ],
)
def test_what_cant_be_adopted_is_said(tmp_path: Path, storage: str, path: str, message: str) -> None:
    with pytest.raises(DiagnosticsError) as caught:
        resolution(tmp_path, storage)
    problems = [(problem.path, problem.message) for problem in caught.value.diagnostics]
    place = f"environments.east.storage.{path}"
    assert any(where == place and text.startswith(message) for where, text in problems), problems


def test_deployments_of_older_versions_are_read_and_keep_their_bytes() -> None:
    older: Deployment = deployment(
        "dc", file_systems=(ADOPTING.file_systems[0].model_copy(update={"existing_claim": ""}),)
    )
    text = older.model_dump_json()
    for field in ("existing_claim", "nfs", "namespace_is_given", "is_adopted", "of_one_node"):
        assert field not in text.replace('"service":"claim"', "")
    assert Deployment.model_validate_json(text) == older
