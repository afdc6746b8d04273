"""States that other versions of meshctl wrote: older ones are read, others end in a named error and stay unchanged."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from pulumi import automation

from meshctl import __version__
from meshctl.deploy.session import Session
from meshctl.engine import workspace
from meshctl.errors import MeshError, NewerVersionError, UnreadableError
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.model.persisted import SCHEMA
from meshctl.model.stack_state import STACK_TYPE, STAMP, StackState, as_outputs
from meshctl.operate import status
from tests.unit.deployments import deployment

DEPLOYED: Deployment = deployment()
ENVIRONMENT = DEPLOYED.environment
URN = f"urn:pulumi:{ENVIRONMENT}::{DEPLOYED.mesh}::"
ENVIRONMENTS = Environments.model_validate(
    {
        "apiVersion": "meshctl/v1",
        "kind": "Environments",
        "environments": {ENVIRONMENT: {"provider": "aws", "region": "us-east-1", "zones": ["us-east-1a"]}},
    }
)
State = dict[str, Any]


def state(outputs: Any) -> State:
    stack = {"urn": f"{URN}{STACK_TYPE}::stack", "type": STACK_TYPE, "custom": False, "outputs": outputs}
    kind = "kubernetes:core/v1:Namespace"
    space = {"urn": f"{URN}{kind}::platform:namespace", "type": kind, "custom": True, "id": "a"}
    space["outputs"] = {"metadata": {"name": "a", "uid": "u"}}
    return {"manifest": {}, "resources": [stack, space]}


def saved(**changes: Any) -> State:
    """The state of this version, with other outputs."""
    return state({**copy.deepcopy(as_outputs(DEPLOYED)), **changes})


def with_field(made_by: str = "9.1.0", **fields: Any) -> State:
    """The state of another version, with other fields of its first workload."""
    found = saved(**{STAMP: {"schema": SCHEMA, "made_by": made_by}})
    found["resources"][0]["outputs"]["deployment"]["workloads"][0].update(fields)
    return found


NEWER: dict[str, State] = {
    "a newer schema version": saved(**{STAMP: {"schema": SCHEMA + 1, "made_by": "9.1.0"}}),
    "a newer schema version and shape": saved(
        deployment={"all": "new"}, **{STAMP: {"schema": SCHEMA + 1, "made_by": "9.1.0"}}
    ),
    "a field": with_field(hostName="/srv"),
    "a kind of workload": with_field(kind="notebook"),
}
DAMAGED: dict[str, State] = {
    "an unknown word by this version": with_field(__version__, kind="notebook"),
    "an unknown field by this version": with_field(__version__, hostName="/srv"),
    "an unknown field by an older version": with_field("0.0.9", hostName="/srv"),
    "no workloads": saved(deployment={**DEPLOYED.model_dump(mode="json"), "workloads": 7}),
    "half a deployment": saved(deployment={"mesh": "llm-prod"}),
    "no deployment": saved(deployment=[7]),
    "no JSON": saved(deployment="{"),
    "no outputs": state([7]),
    "no stamp": saved(**{STAMP: {"schema": "one"}}),
    "a negative schema version": saved(**{STAMP: {"schema": -1}}),
    "no resources": {"resources": {"urn": "x"}},
    "no resource": {"resources": [7]},
    "no inputs": {"resources": [{"urn": "u", "type": "t", "inputs": [7]}]},
    "no errors": {"resources": [{"urn": "u", "type": "t", "initErrors": 7}]},
    "no addresses": saved(endpoints=[7]),
    "no URN": {"resources": [{"type": "meshaws:s3:Bucket"}]},
    "no operation": {"resources": [], "pending_operations": [{"type": "creating"}]},
}
EXPECTED: list[tuple[str, State, type[MeshError]]] = [
    *((name, found, NewerVersionError) for name, found in NEWER.items()),
    *((name, found, UnreadableError) for name, found in DAMAGED.items()),
]


class Stack(workspace.EngineStack):
    """A stack whose state can be read and nothing else; `written` lists the attempts to do more."""

    name = ENVIRONMENT

    def __init__(self, exported: State) -> None:
        self.state = exported
        self.written: list[str] = []

    def exported(self, **_: Any) -> dict[str, Any]:
        return {"version": 3, "deployment": copy.deepcopy(self.state)}

    def preview(self, *_: Any, **__: Any) -> Any:
        """Fails as the engine does when its program fails, which needs the state."""
        raise automation.CommandError(cast("automation.CommandResult", "error: the program failed"))

    def up(self, *_: Any, **__: Any) -> Any:
        self.written.append("up")

    def destroy(self, *_: Any, **__: Any) -> Any:
        self.written.append("destroy")

    def reread(self, *_: Any, **__: Any) -> None:
        self.written.append("refresh")

    @property
    def workspace(self) -> Any:  # type: ignore[override]
        self.written.append("a call of the program")
        raise AssertionError("nothing is to be written")


@pytest.fixture(params=EXPECTED, ids=[name for name, _, _ in EXPECTED])
def case(request: pytest.FixtureRequest) -> tuple[Stack, type[MeshError]]:
    _, exported, expected = request.param
    return Stack(exported), expected


COMMANDS: dict[str, Callable[[Session], object]] = {
    "plan": lambda session: session.plan(DEPLOYED),
    "plan --no-refresh": lambda session: session.plan(DEPLOYED, refresh=False),
    "up": lambda session: session.up(DEPLOYED),
    "contract, its gateway alone": lambda session: session.up_workloads(DEPLOYED, ["chat"]),
    "up --object-storage-only": lambda session: session.up_object_storage(DEPLOYED),
    "up --forget-cluster": lambda session: session.forget_cluster(ENVIRONMENT, None),
    "restart": lambda session: session.rerun_job(DEPLOYED, "pretrain"),
    "destroy, asking": lambda session: session.lost_by_destroy(ENVIRONMENT),
    "destroy, showing": lambda session: session.destroy_plan(ENVIRONMENT),
    "destroy": lambda session: session.destroy(ENVIRONMENT, allow_data_loss=True),
    "migrate, planning": lambda session: session.deployed(ENVIRONMENT),
    "migrate, to it": lambda session: session.lost_by_up(DEPLOYED),
    "migrations finish": lambda session: session.destroy_keeping_data(
        DEPLOYED, allow_data_loss=True, command="meshctl migrations finish"
    ),
    "migrations rollback": lambda session: session.destroy_with_data(
        DEPLOYED, allow_data_loss=True, command="meshctl migrations rollback"
    ),
    "status": lambda session: status.collect(session, ENVIRONMENT),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_goes_on_from_a_state_that_it_cannot_read(
    command: str, case: tuple[Stack, type[MeshError]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, expected = case
    monkeypatch.setattr(workspace, "open_stack", lambda *_: stack)
    with pytest.raises(expected) as error:
        COMMANDS[command](Session(tmp_path, DEPLOYED.mesh, ENVIRONMENTS))
    assert error.value.what.startswith(f"the state of {ENVIRONMENT} ")
    assert "nothing was changed" in error.value.why
    assert error.value.hint
    assert error.value.exit_code == 1
    assert stack.written == []


@pytest.mark.parametrize("name", NEWER)
def test_a_newer_state_names_its_version(name: str) -> None:
    with pytest.raises(NewerVersionError) as error:
        StackState.read(NEWER[name], "the state of cw")
    assert error.value.what.startswith("the state of cw was made by meshctl 9.1.0, and")
    assert "install meshctl 9.1.0 or a newer version" in error.value.hint


@pytest.mark.parametrize("made_by", [__version__, "0.0.9"])
def test_nobody_is_sent_for_a_version_that_can_not_be_newer(made_by: str) -> None:
    with pytest.raises(UnreadableError) as error:
        StackState.read(with_field(made_by, kind="notebook"), "the state of cw")
    assert "workloads.0.kind" in error.value.why
    assert f"another build of meshctl {made_by}" in error.value.hint


def test_a_newer_schema_version_by_another_build_of_this_version() -> None:
    newer = saved(**{STAMP: {"schema": SCHEMA + 1, "made_by": __version__}})
    with pytest.raises(NewerVersionError) as error:
        StackState.read(newer, "the state of cw")
    assert error.value.what.startswith(f"the state of cw was made by another build of meshctl {__version__}, and")
    assert error.value.hint.startswith("install the build that made it or a newer version")


def test_an_unknown_field_is_named_and_its_value_is_not() -> None:
    with pytest.raises(NewerVersionError) as error:
        StackState.read(with_field(hostName="/srv/planted"), "the state of cw")
    assert "workloads.0.hostName" in error.value.why
    assert "planted" not in f"{error.value.what}{error.value.why}{error.value.hint}"


def test_a_state_without_a_schema_version_is_read() -> None:
    older = saved()
    del older["resources"][0]["outputs"][STAMP]
    found = StackState.read(older, "the state of cw")
    assert (found.deployment, found.outputs.stamp.schema) == (DEPLOYED, 0)
    assert found.written() == older


def test_a_state_goes_back_with_all_that_it_came_with() -> None:
    odd = saved()
    odd["secrets_providers"] = {"type": "passphrase"}
    odd["resources"][1] |= {"a field of a newer engine": [{"deep": None}], "taint": True}
    others: list[State] = [{}, {"resources": None}, {"resources": [], "pending_operations": []}]
    for exported in (odd, *others):
        assert StackState.read(copy.deepcopy(exported), "the state").written() == exported
