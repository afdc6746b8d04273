"""`up` measures a fabric before workloads start on it, and starts none where it is too slow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from meshctl.bench import fabric, result_files
from meshctl.changes import Plan
from meshctl.cli import up
from meshctl.deploy.runs.environment_up import UpResult
from meshctl.errors import MeasurementError
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import NO_OUTPUTS
from tests.unit.advise.situations import deployment
from tests.unit.bench.fabric_pools import of_two_nodes, with_pool
from tests.unit.engine.job_meshes import state


class Here:
    """A session that notes which workloads each `up` starts, and what was kept of measurements."""

    def __init__(self, *, is_up: bool = False) -> None:
        self.deployed = with_pool(deployment())
        self.state_deployment = self.deployed if is_up else None
        self.started: list[tuple[list[str], bool]] = []
        self.allowed: list[bool] = []
        self.kept: list[Result] = []
        self.said: list[str] = []
        session = SimpleNamespace(up=self.up, state=lambda _: SimpleNamespace(deployment=self.state_deployment))
        self.project: Any = SimpleNamespace(
            session=session, mesh=SimpleNamespace(name="llm-prod"), state_store="the store"
        )
        self.context: Any = SimpleNamespace(say=self.said.append)

    def up(self, deployed: Deployment, *, set_names: bool = True, allow_data_loss: bool = False, **_: Any) -> UpResult:
        self.state_deployment = deployed
        self.allowed.append(allow_data_loss)
        self.started.append(([each.name for each in deployed.workloads if each.runs], set_names))
        plan = Plan("aws-east", deployed.digest, (), {}, None, None)
        return UpResult({}, NO_OUTPUTS, plan)

    def bring_up(self, *, allow_data_loss: bool = False) -> UpResult:
        return up._bring_up(
            self.context, self.project, self.deployed, None, allow_data_loss=allow_data_loss, waits=False
        )


@pytest.fixture
def rate(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What is measured next, in GB/s."""
    now = {"rate": 77.0}
    monkeypatch.setattr(fabric, "measure", lambda *_, **__: tuple(of_two_nodes((2**31, now["rate"]))))
    return now


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    made = Here()
    monkeypatch.setattr(result_files, "write", lambda _store, _mesh, _name, rows, _moment: made.kept.extend(rows))
    return made


def test_workloads_start_once_their_fabric_was_measured(here: Here, rate: dict[str, float]) -> None:
    here.bring_up()
    assert here.started == [(["chat", "console"], True), (["chat", "pretrain", "console"], True)]
    assert [each.value for each in here.kept] == [77.0]
    assert here.said[0] == "measuring the fabric of pool train before its workloads start"


def test_a_fabric_that_is_too_slow_starts_nothing_and_is_measured_again(here: Here, rate: dict[str, float]) -> None:
    rate["rate"] = 4.13
    with pytest.raises(MeasurementError, match="its workloads were not started in aws-east"):
        here.bring_up()
    assert here.started == [(["chat", "console"], True)]
    assert [each.value for each in here.kept] == [4.13]
    rate["rate"] = 77.0
    here.bring_up()
    assert here.started[1:] == [(["chat", "console"], True), (["chat", "pretrain", "console"], True)]


def test_what_is_up_stays_up_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: Any, **__: Any) -> None:
        raise AssertionError("the nodes are in use")

    monkeypatch.setattr(fabric, "measure", measure)
    here = Here(is_up=True)
    here.bring_up()
    assert here.started == [(["chat", "pretrain", "console"], True)]


def test_a_mesh_that_asks_for_nothing_reads_no_state() -> None:
    here = Here()
    here.deployed = with_pool(deployment(), expect=0.0)
    here.project.session.state = None  # not to be called
    here.bring_up()
    assert here.started == [(["chat", "pretrain", "console"], True)]


def test_an_agreement_to_lose_data_is_good_for_what_was_shown(here: Here, rate: dict[str, float]) -> None:
    here.bring_up(allow_data_loss=True)
    assert here.allowed == [True, False]


def test_a_job_that_finished_elsewhere_starts_nothing_and_its_pool_is_not_measured(here: Here) -> None:
    before = state(here.deployed.finished({"pretrain": "cw"}))
    here.project.session.state = lambda _: before
    here.bring_up()
    assert len(here.started) == 1
