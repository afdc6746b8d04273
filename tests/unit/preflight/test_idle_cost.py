"""Finding C4 (d): an `up` that fails leaves what it made, and says what runs, what it costs, and how it is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from meshctl.deploy.capacity import idle_cost
from meshctl.deploy.runs import environment_up
from meshctl.deploy.session import Session
from meshctl.engine.run import StackRun
from meshctl.errors import EngineError, ResourceFailure, ResourcesFailedError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState, as_outputs
from tests.unit import states
from tests.unit.preflight.asking import deployment
from tests.unit.preflight.test_asked_once import ENVIRONMENTS
from tests.unit.preflight.test_aws_preflight import SERVE, WEB

WANTED = deployment({**SERVE, **WEB}, {"storage": {"shared": {"kind": "filesystem", "size": "4800GiB"}}})


def error() -> ResourcesFailedError:
    failure = ResourceFailure("urn", "pool/web:nodegroup", "NodeCreationFailure", "no nodes", "look at it")
    return ResourcesFailedError("up e: 1 resource failed", failures=[failure], why="no nodes", hint="run `up` again")


def with_up(*subjects: str, failed: str = "") -> StackState:
    """The state in which these parts of the deployment came up."""
    resources: list[dict[str, Any]] = [
        {"urn": f"urn:pulumi:e::m::meshaws:x:Y::{subject}:it", "type": "meshaws:x:Y", "custom": True}
        | {"outputs": {"status": "CREATE_FAILED" if subject == failed else "ACTIVE"}}
        for subject in subjects
    ]
    stack: dict[str, Any] = {"urn": "urn:pulumi:e::m::pulumi:pulumi:Stack::m-e", "type": "pulumi:pulumi:Stack"}
    return states.state(stack | {"outputs": as_outputs(WANTED)}, *resources)


def told(before: StackState, after: StackState, wanted: Deployment = WANTED) -> ResourcesFailedError:
    found = error()
    idle_cost.add(found, wanted, before, after)
    return found


def test_what_the_first_run_has_brought_is_named_with_its_cost_and_the_way_out() -> None:
    found = told(states.NOTHING, with_up("pool/serve", "storage/shared", "pool/web", failed="pool/web"))
    assert found.why == "no nodes; meanwhile pool/serve and storage/shared run and cost 112.20 USD/h"
    assert found.hint == "run `up` again; `meshctl destroy e` releases all of it"


def test_what_was_up_before_does_its_work_and_is_not_to_be_destroyed() -> None:
    before = with_up("pool/serve", "storage/shared")
    found = told(before, with_up("pool/serve", "storage/shared", "pool/web"))
    assert "meanwhile pool/web runs and costs" in found.why
    assert "destroy" not in found.hint
    assert told(before, before).why == "no nodes"
    assert told(before, before).hint == "run `up` again"


def test_what_a_later_run_has_brought_is_given_back_by_itself() -> None:
    """`nodes: 0` is no number of nodes, and the nodes of a pool that may be empty stay as they are."""
    found = told(with_up("pool/serve", "storage/shared"), with_up("pool/serve", "storage/shared", "pool/web"))
    release = (
        "to stop paying for pool/web until then, remove it and everything that uses it from mesh.yaml and run"
        " `meshctl up e`"
    )
    assert found.hint == f"run `up` again; {release}"
    found = told(with_up("pool/web"), with_up("pool/serve", "storage/shared", "pool/web"))
    assert (
        "to stop paying for pool/serve and storage/shared until then, remove them and everything that uses them"
        in found.hint
    )
    assert found.hint.endswith("run `meshctl up e`, with `--allow-data-loss` for storage that is not ephemeral")


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        (("pool/serve",), "run and cost 2.12 USD/h without pool/serve (price unknown)"),
        (("pool/serve", "storage/shared"), "run, at prices that meshctl does not know"),
    ],
)
def test_an_unknown_price_is_not_left_out_of_the_words(unknown: tuple[str, ...], words: str) -> None:
    def without(thing: Any) -> Any:
        is_unknown = thing.price.subject in unknown
        return (
            thing.model_copy(update={"price": thing.price.model_copy(update={"usd_per_hour": None})})
            if (is_unknown)
            else thing
        )

    pools, systems = (tuple(without(each) for each in things) for things in (WANTED.pools, WANTED.file_systems))
    wanted = WANTED.model_copy(update={"pools": pools, "file_systems": systems})
    found = told(states.NOTHING, with_up("pool/serve", "storage/shared"), wanted)
    assert words in found.why


def test_a_run_that_failed_asks_the_state_what_is_up(tmp_path: Path) -> None:
    run = mock.Mock(spec=StackRun)
    run.up.side_effect = error()
    run.state.return_value = with_up("pool/serve")
    session = Session(tmp_path, "m", ENVIRONMENTS)
    with pytest.raises(ResourcesFailedError) as caught:
        environment_up._run_up(session, run, WANTED, states.NOTHING, set_names=False)
    assert "meanwhile pool/serve runs and costs 110.08 USD/h" in caught.value.why
    run.up.side_effect = error()
    run.state.side_effect = EngineError("no state")
    with pytest.raises(ResourcesFailedError) as unread:
        environment_up._run_up(session, run, WANTED, states.NOTHING, set_names=False)
    assert unread.value.why == "no nodes"
