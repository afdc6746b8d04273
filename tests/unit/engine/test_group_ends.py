"""Groups end at the same time when an environment is taken down, whatever order they were rolled out in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshctl.deploy.ends import group_ends, volumes_of_pods
from meshctl.deploy.guards import preconditions, protection
from meshctl.deploy.runs.teardown import Teardown
from meshctl.model.stack_state import StackState
from tests.unit.deployments import deployment
from tests.unit.render.test_groups import grouped
from tests.unit.states import state

KIND = "kubernetes:apps/v1:StatefulSet"
SERVICE = "urn:pulumi:cw::llm::kubernetes:core/v1:Service::workload/llama:service"


def stateful_set(name: str, *after: str) -> dict[str, Any]:
    dependencies = [SERVICE, *(urn(each) for each in after)]
    by_input = {"spec": [urn(each) for each in after], "metadata": []}
    record = {"urn": urn(name), "type": KIND, "custom": True, "id": name, "inputs": {}}
    return {**record, "dependencies": dependencies, "propertyDependencies": by_input}


def urn(name: str) -> str:
    return f"urn:pulumi:cw::llm::{KIND}::workload/{name}"


ROLLED_OUT = (
    stateful_set("llama:group-0-leader"),
    stateful_set("llama:group-1-leader", "llama:group-0-leader"),
    stateful_set("other:group-0-leader", "llama:group-1-leader"),
)


class Run:
    """A run that notes what a set depends on when it is deleted."""

    def __init__(self) -> None:
        self.now = state(*ROLLED_OUT)
        self.dependencies: dict[str, list[str]] = {}

    def state(self) -> StackState:
        return self.now

    def rewrite(self, change: Any) -> None:
        self.now = change(self.now)

    def empty_on_delete(self, urns: frozenset[str]) -> None:
        del urns

    def retain(self, urns: frozenset[str]) -> None:
        del urns

    recovered_state = state

    def destroy(self, **_: Any) -> None:
        self.dependencies = {each.name: each.record["dependencies"] for each in self.now.resources}


@pytest.mark.parametrize("ending", ["destroy", "keeping data"])
def test_groups_that_were_rolled_out_in_order_end_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str
) -> None:
    monkeypatch.setattr(preconditions, "check_destroy", lambda *_: None)
    monkeypatch.setattr(protection, "lost_by_destroy", lambda *_, **__: ())
    monkeypatch.setattr(protection, "orphaned_stores", lambda *_: set())
    monkeypatch.setattr(volumes_of_pods, "left_by_destroy", lambda _: ())
    monkeypatch.setattr(volumes_of_pods, "delete_left", lambda *_: None)
    run = Run()
    teardown = Teardown(tmp_path, lambda _: run, lambda _: None, lambda _: None)  # type: ignore[arg-type, return-value]
    if ending == "destroy":
        teardown.destroy("cw")
    else:
        teardown.destroy_keeping_data(deployment(), allow_data_loss=False, command="meshctl migrations finish")
    assert run.dependencies["workload/llama:group-1-leader"] == [SERVICE]
    assert run.dependencies["workload/other:group-0-leader"] == [SERVICE, urn("llama:group-1-leader")]
    (changed,) = [each for each in run.now.resources if each.name == "workload/llama:group-1-leader"]
    assert changed.record["propertyDependencies"] == {"spec": [], "metadata": []}


def test_a_state_without_such_an_order_is_not_written_anew() -> None:
    before = state(*ROLLED_OUT[::2])
    assert group_ends.without_set_order(before) is before


def test_groups_of_which_there_are_to_be_fewer_end_at_once_and_the_others_keep_their_order() -> None:
    deployed = grouped("coreweave", replicas=2)
    of_four = state(
        stateful_set("chat:group-0-leader"),
        *(stateful_set(f"chat:group-{group}-leader", f"chat:group-{group - 1}-leader") for group in (1, 2, 3)),
    )
    after = {
        each.name: each.record["dependencies"]
        for each in group_ends.without_order_of_deleted_sets(of_four, deployed).resources
    }
    assert after["workload/chat:group-1-leader"] == [SERVICE, urn("chat:group-0-leader")]
    assert after["workload/chat:group-2-leader"] == after["workload/chat:group-3-leader"] == [SERVICE]
    of_two = state(*(dict(each.record) for each in of_four.resources[:2]))
    assert group_ends.without_order_of_deleted_sets(of_two, deployed) is of_two
