"""`meshctl plan` of several environments: one that can't be planned does not hide the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
import typer

from meshctl.changes import Plan
from meshctl.cli import opened as opening
from meshctl.cli import plan as command
from meshctl.cli.context import Context
from meshctl.deploy.runs import plans
from meshctl.errors import (
    CredentialsError,
    Diagnostic,
    DiagnosticsError,
    InfeasibleError,
    InterruptedByUserError,
    LockedError,
    MeshError,
    UsageError,
)
from meshctl.model.deployment import Deployment
from meshctl.model.environment import Environments
from meshctl.project import Project
from tests.unit.migrate.fake_gateway import deployment

GAP = {"subject": "pool/p", "wanted": "8 x H100", "best": "nothing", "hint": "name another model"}


class _Gap(SimpleNamespace):
    def model_dump(self) -> dict[str, str]:
        return dict(vars(self))


ERRORS: dict[str, MeshError] = {
    "small": InfeasibleError("small can't carry the mesh", gaps=(_Gap(**GAP),), hint="name another model"),
    "far": CredentialsError("AWS refuses the profile", hint="renew it"),
    "busy": LockedError("another run works on it"),
    "stopped": InterruptedByUserError("interrupted"),
}


class Made(Project):
    """Environments named in ERRORS end with that error; the others have a plan."""

    def checked_name(self, environment: str) -> str:
        if environment == "nowhere":
            raise UsageError('no environment named "nowhere"')
        return environment

    def deployment(self, environment: str, *, moved_from: Deployment | None = None) -> Any:
        if environment in ERRORS and environment != "busy":
            raise ERRORS[environment]
        return deployment(environment)


class Session:
    refresh = True

    def plan(self, deployed: Any) -> Plan:
        if deployed.environment == "busy":
            raise ERRORS["busy"]
        return plans.plan_of_run(deployed, (), None, ())


def run(monkeypatch: pytest.MonkeyPatch, *names: str, output: str = "human", mistakes: Any = ()) -> int:
    mesh = cast("Any", SimpleNamespace(name="m", mistakes=mistakes))
    project = Made(mesh, cast("Environments", None), cast("Any", Session()))

    @contextmanager
    def opened(*_: Any, **__: Any) -> Iterator[Project]:
        yield project

    monkeypatch.setattr(opening, "opened", opened)
    context = cast("typer.Context", SimpleNamespace(obj=Context(output=output)))
    try:
        command.plan(context, list(names), None, detailed_exitcode=True, no_refresh=False, resources=False)
    except typer.Exit as ended:
        return ended.exit_code
    return 0


@pytest.mark.parametrize("names", [("small", "one", "far", "two"), ("one", "far", "small", "two")])
def test_each_environment_is_shown_and_the_worst_error_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], names: tuple[str, ...]
) -> None:
    assert run(monkeypatch, *names) == InfeasibleError.exit_code
    shown = capsys.readouterr()
    assert "one" in shown.out
    assert "two" in shown.out
    assert "error: small can't carry the mesh\n  hint: name another model\n" in shown.err
    assert "error: far: AWS refuses the profile\n  hint: renew it\n" in shown.err


def test_with_json_the_errors_stand_beside_the_plans(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "small", "busy", "one", output="json") == LockedError.exit_code
    document = json.loads(capsys.readouterr().out)
    assert [plan["environment"] for plan in document["plans"]] == ["one"]
    small, busy = document["errors"]
    assert (small["environment"], small["code"], small["gaps"]) == ("small", "infeasible", [GAP])
    assert (busy["environment"], busy["exit_code"]) == ("busy", 75)


def test_without_errors_the_document_is_as_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "one", "two", output="json") == 0
    assert set(json.loads(capsys.readouterr().out)) == {"meshctl", "plans"}


def test_where_no_environment_can_be_planned_there_are_errors_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "small", "far") == InfeasibleError.exit_code
    assert capsys.readouterr().out == ""


def test_one_environment_ends_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CredentialsError):
        run(monkeypatch, "far")


def test_what_all_have_in_common_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError):
        run(monkeypatch, "one", "nowhere")
    with pytest.raises(DiagnosticsError):
        run(monkeypatch, "one", "two", mistakes=(Diagnostic("mesh.yaml", 1, 1, "", "wrong"),))
    with pytest.raises(InterruptedByUserError):
        run(monkeypatch, "one", "stopped", "two")
