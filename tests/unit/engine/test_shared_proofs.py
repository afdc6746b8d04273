"""A record that proves a host to two environments stays with the second when the first one goes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from meshctl.deploy import kubeconfig
from meshctl.deploy.ends import volumes_of_pods
from meshctl.deploy.guards import preconditions, shared_proofs
from meshctl.deploy.runs import environment_up
from meshctl.deploy.runs.teardown import Teardown
from meshctl.engine.events import Recorder
from meshctl.errors import NewerVersionError
from meshctl.model.deployment import Deployment, EndpointCertificate
from meshctl.model.stack_state import StackState
from meshwire.marks import FOUND
from tests.unit import states
from tests.unit.render.sample import sample

URN = "urn:pulumi:{environment}::m::meshaws:route53:RecordSet::endpoint/chat:proof"
NAME = "_a.chat.example.com."


def state_of(environment: str, name: str = NAME, outputs: dict[str, Any] | None = None) -> StackState:
    proof = {
        "urn": URN.format(environment=environment),
        "type": "meshaws:route53:RecordSet",
        "id": f"Z1|{name}|CNAME|",
        "custom": True,
        "inputs": {"HostedZoneId": "Z1", "Name": name},
        "outputs": outputs or {},
    }
    return states.state(proof)


def sealed(host: str = "chat.example.com") -> Deployment:
    made = sample("aws")
    certificate = EndpointCertificate(zone="example.com")
    endpoint = made.endpoints[0].model_copy(update={"host": host, "certificate": certificate})
    return made.model_copy(update={"endpoints": (endpoint,)})


def test_a_record_goes_with_its_certificate_unless_another_environment_has_it() -> None:
    going = shared_proofs.going(state_of("east"), None)
    assert [each.urn for each in going] == [URN.format(environment="east")]
    assert shared_proofs.of_others(going, [states.NOTHING]) == frozenset()
    assert shared_proofs.of_others(going, [state_of("west", "_b.chat.example.com.")]) == frozenset()  # another account
    assert shared_proofs.of_others(going, [state_of("west")]) == {URN.format(environment="east")}


def test_an_up_removes_the_record_of_a_host_that_has_no_certificate_any_more() -> None:
    assert shared_proofs.going(state_of("east"), sealed()) == ()
    assert len(shared_proofs.going(state_of("east"), sealed("other.example.com"))) == 1
    assert len(shared_proofs.going(state_of("east"), sample("aws"))) == 1


def test_a_record_that_another_environment_had_made_is_of_both() -> None:
    """Else the environment that found it would leave it behind when it goes last."""
    west = state_of("west", outputs={FOUND: True, "TTL": 300})
    (record,) = shared_proofs.made_by_others(west)
    assert shared_proofs.made_by_others(state_of("east")) == ()
    assert shared_proofs.made_for_others([record], [states.NOTHING, state_of("east", "_b.chat.example.com.")]) == set()
    assert shared_proofs.made_for_others([record], [state_of("east", outputs={FOUND: True})]) == set(), "found by both"
    made = shared_proofs.made_for_others([record], [state_of("east")])
    assert made == {record.urn}
    changed = west.with_changed(made, shared_proofs.as_made)
    assert [each.outputs for each in changed.resources] == [{"TTL": 300}]
    assert shared_proofs.made_by_others(changed) == ()


class Run:
    """What a destroy asks of a run, and what it was told to leave."""

    def __init__(self, state: StackState) -> None:
        self._state = state
        self.left: frozenset[str] = frozenset()

    def state(self) -> StackState:
        return self._state

    def retain(self, urns: frozenset[str]) -> None:
        self.left = urns

    def empty_on_delete(self, _urns: frozenset[str]) -> None:
        pass

    def rewrite(self, _change: Callable[[StackState], StackState | None]) -> None:
        pass

    def destroy(self, **_: Any) -> Recorder:
        return Recorder()


@pytest.mark.parametrize(("other", "is_left"), [(state_of("west"), True), (states.NOTHING, False)])
def test_destroy_leaves_what_another_environment_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: StackState, *, is_left: bool
) -> None:
    monkeypatch.setattr(preconditions, "check_destroy", lambda *_: None)
    monkeypatch.setattr(volumes_of_pods, "left_by_destroy", lambda _: ())
    monkeypatch.setattr(volumes_of_pods, "delete_left", lambda *_: None)
    monkeypatch.setattr(kubeconfig, "remove_context", lambda *_: None)
    run = Run(state_of("east"))
    asked: list[str] = []

    def others(environment: str) -> list[StackState]:
        asked.append(environment)
        return [other]

    teardown = Teardown(tmp_path, lambda _: run, lambda _: None, lambda _: None, others)  # type: ignore[arg-type, return-value]
    teardown.destroy("east")
    assert asked == ["east"]
    assert run.left == ({URN.format(environment="east")} if is_left else frozenset())


def test_another_environment_whose_state_nobody_can_read_here_keeps_no_up_from_its_names() -> None:
    """The names are written after that. The mark stays, and the next `up` looks again."""

    def others(_environment: str) -> list[StackState]:
        raise NewerVersionError("the state of west was written by a newer version")

    rewritten: list[object] = []
    run: Any = SimpleNamespace(state=lambda: state_of("east", outputs={FOUND: True}), rewrite=rewritten.append)
    unreadable: Any = SimpleNamespace(other_states=others)
    environment_up._share_proofs(unreadable, run, sealed())
    assert not rewritten
    readable: Any = SimpleNamespace(other_states=lambda _: [state_of("west")])
    environment_up._share_proofs(readable, run, sealed())
    assert len(rewritten) == 1
