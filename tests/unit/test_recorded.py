"""This version reads what earlier versions of meshctl have written: states, a saved plan, journals.

`tests/recorded/record.py` has recorded them. A recording is never changed; a new version gets one of its own.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from meshctl.changes import Change
from meshctl.changes.grouping import Plan
from meshctl.deploy import plan_file
from meshctl.deploy.deploy_state import deploy_state
from meshctl.deploy.guards import cluster_identity, location
from meshctl.dns import records
from meshctl.engine import drift, pending
from meshctl.engine.state_store import StateStore
from meshctl.errors import StalePlanError
from meshctl.migrate.gateway import EndpointTarget
from meshctl.migrate.journal import guard
from meshctl.migrate.migration import Migrations
from meshctl.model.observed import DeployState
from meshctl.model.stack_state import STACK_TYPE, Resource, StackState
from tests.unit.migrate.fake_gateway import FakeGateway

RECORDED = Path(__file__).parents[1] / "recorded"
CHANGELOG = Path(__file__).parents[2] / "CHANGELOG.md"
VERSIONS = sorted(path.name for path in RECORDED.iterdir() if path.is_dir() and path.name != "__pycache__")
ENVIRONMENTS = ("aws-east", "cw", "dc1")
every_version = pytest.mark.parametrize("version", VERSIONS)
every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def load(version: str, name: str) -> Any:
    return json.loads((RECORDED / version / f"{name}.json").read_text())


def state_of(version: str, stack: str) -> StackState:
    return StackState.read(load(version, f"state-{stack}")["deployment"], f"the state of {stack}")


def test_there_are_recordings_of_each_release() -> None:
    """And of two states of the program from before the first one."""
    releases = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG.read_text(), re.MULTILINE)
    assert "0.1.0" in releases
    assert {"3634e6b", "2979742", *releases} - set(VERSIONS) == set(), "tests/recorded/record.py records a version"


@every_version
def test_nobody_can_read_a_secret_in_them(version: str) -> None:
    for path in (RECORDED / version).iterdir():
        text = path.read_text()
        assert "a-token-of-nobody" not in text
        assert "AKIA" not in text


# states ---------------------------------------------------------------------------------------------------------------
@every_version
@every_environment
def test_a_state_is_read(version: str, environment: str) -> None:
    state = state_of(version, environment)
    deployment = state.deployment
    assert deployment is not None
    assert (deployment.mesh, deployment.environment, deploy_state(state)) == ("kept", environment, DeployState.WHOLE)
    assert [workload.name for workload in deployment.workloads] == ["chat", "pretrain"]
    assert state.outputs.addresses.keys() == {"chat"}
    assert not pending.is_interrupted(state)
    in_aws, cluster = location.recorded_location(state), cluster_identity.recorded_access(environment, state)
    if environment == "aws-east":
        assert in_aws is not None
        assert (in_aws.region, cluster, bool(state.outputs.kubeconfig)) == ("us-east-1", None, True)
    else:
        assert cluster is not None
        assert (in_aws, cluster.context, cluster.uid) == (None, environment, state.outputs.cluster_uid)
    buckets = state.of_type("meshaws:s3:Bucket")
    assert {bucket.subject for bucket in buckets} == {"storage/weights", "storage/checkpoints"}
    assert all(state.provider_of(bucket) is not None for bucket in buckets)


@every_version
@pytest.mark.parametrize("stack", [*ENVIRONMENTS, "edge"])
def test_a_state_goes_back_as_it_came(version: str, stack: str) -> None:
    record = load(version, f"state-{stack}")["deployment"]
    text = json.dumps(record)
    state = StackState.read(record, "the state")
    assert json.dumps(state.written()) == text
    assert json.dumps(pending.with_interruption_marks(state).written()) == json.dumps(
        {**record, "pending_operations": []}
    )
    assert json.dumps(record) == text  # nothing is changed in place


@every_version
@every_environment
def test_a_change_of_a_state_loses_nothing_else(version: str, environment: str) -> None:
    """Of the fields that the engine keeps, many are known to nobody here."""
    state = state_of(version, environment)
    before = state.written()
    urns = {resource.urn for resource in state.resources[::3]}

    def marked(resource: Resource) -> Resource:
        return resource.with_fields(initErrors=[drift.CHANGED_OUTSIDE])

    after = state.with_changed(urns, marked).written()
    for was, now in zip(before["resources"], after["resources"], strict=True):
        assert now == ({**was, "initErrors": [drift.CHANGED_OUTSIDE]} if was["urn"] in urns else was)
    assert {key: part for key, part in after.items() if key != "resources"} == {
        key: part for key, part in before.items() if key != "resources"
    }


@every_version
@every_environment
def test_another_deployment_in_a_state_leaves_its_other_outputs(version: str, environment: str) -> None:
    state = state_of(version, environment)
    assert state.deployment is not None
    finished = state.deployment.finished({"pretrain": "cw"})
    again = StackState.read(state.with_deployment(finished).written(), "the state")
    assert again.deployment == finished
    changed = ("deployment", "meshctl")
    assert {key: value for key, value in again.outputs.values.items() if key not in changed} == {
        key: value for key, value in state.outputs.values.items() if key not in changed
    }
    others = [resource for resource in state.resources if resource.type != STACK_TYPE]
    assert [resource for resource in again.resources if resource.type != STACK_TYPE] == others


@every_version
def test_the_names_are_read(version: str) -> None:
    (chat,) = records.records_in_state(state_of(version, "edge")).values()
    assert (chat.host, chat.environment, chat.zone) == ("chat.example.com", "cw", "example.com")


# a saved plan ---------------------------------------------------------------------------------------------------------
def as_now(version: str, **fields: Any) -> Plan:
    """The plan as this version would make it: with the changes that were recorded."""
    saved = load(version, "plan")
    made = {"environment": saved["environment"], "digest": saved["digest"], "counts": {}, **fields}
    return Documented(hourly_usd_before=None, hourly_usd_after=None, changes=(), recorded=saved["changes"], **made)


@dataclass(frozen=True)
class Documented(Plan):
    recorded: tuple[Change, ...] = ()

    def document(self) -> dict[str, Any]:
        return {**super().document(), "changes": self.recorded}


@every_version
def test_a_saved_plan_is_applied_or_stale(version: str) -> None:
    path = RECORDED / version / "plan.json"
    plan_file.check(path, as_now(version))
    with pytest.raises(StalePlanError, match="the mesh, or what meshctl makes of it, has changed"):
        plan_file.check(path, as_now(version, digest="another"))


# journals -------------------------------------------------------------------------------------------------------------
class RecordedGateway(FakeGateway):
    """The gateway with the environments of the recorded migration, whose pods do nothing."""

    def check(self) -> None:
        """What must hold of the gateway's own mesh."""

    def tick(self) -> None:
        self.clock += 1
        self.ending = {key: left - 1 for key, left in self.ending.items() if left > 1}

    def weights_seen(self, environment: str) -> int:
        return 0


def journal(version: str, name: str) -> Migrations:
    recorded = load(version, f"journal-{name}")
    store = StateStore(MemoryStore())
    for file, text in recorded["records"].items():
        assert store.create(f"migrations/kept/{recorded['id']}/{file}", text)
    migrations = Migrations("kept", RecordedGateway(), store)
    plan = migrations.history()[1].plan
    sides = {side.environment: side for side in (plan.source, plan.target)}
    stopped = plan.source.paused(frozenset(plan.stopped))
    buckets: dict[str, dict[str, bytes]] = {s.bucket: {"0": b"0"} for d in sides.values() for s in d.object_stores}
    gateway = RecordedGateway(
        declared=sides, deployments={plan.source.environment: stopped, plan.target.environment: plan.target}
    )
    gateway.buckets = buckets
    gateway.names = {"chat": EndpointTarget(plan.target.environment, f"{plan.target.environment}-lb")}
    gateway.dns = {"chat.example.com": f"{plan.target.environment}-lb"}
    gateway.clock = migrations.history()[1].records[-1].at
    return Migrations("kept", gateway, store, data=gateway)


@every_version
@pytest.mark.parametrize(
    ("name", "state"), [("open", "waiting"), ("rolled-back", "rolled-back"), ("finished", "finished")]
)
def test_a_journal_is_read(version: str, name: str, state: str) -> None:
    found = journal(version, name)
    _, history = found.history()
    assert (history.state, history.undecided, history.open_intent) == (state, "", "")
    assert (history.plan.source.environment, history.plan.target.environment) == ("dc1", "cw")
    assert (guard.open_migration(found.store, "kept") is not None) == (name == "open")


@every_version
@pytest.mark.parametrize(("end", "outcome"), [("finish", "finished"), ("rollback", "rolled-back")])
def test_an_open_migration_goes_on(version: str, end: str, outcome: str) -> None:
    found = journal(version, "open")
    history = getattr(found, end)()
    assert history.outcome == outcome
    assert found.history()[1].state == outcome
