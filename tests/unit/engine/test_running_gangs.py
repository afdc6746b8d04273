"""A gang that is up stays held, or not held, as it came up: a gate on its pods would start its training anew."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards.running.pods import running_gangs
from meshctl.model.deployment import Deployment
from meshctl.model.keys import gangs
from tests.unit import states
from tests.unit.engine.job_meshes import changed, state
from tests.unit.render.sample import sample


def with_hold(is_held: bool, **changes: Any) -> Deployment:
    return changed("pretrain", held_together=is_held, **changes)


def is_held(deployment: Deployment) -> bool:
    return deployment.workload("pretrain").held_together


@pytest.mark.parametrize("was_held", [True, False])
@pytest.mark.parametrize("paused", [True, False])
def test_what_is_up_keeps_its_pods(was_held: bool, paused: bool) -> None:
    before = state(with_hold(was_held, paused=paused))
    assert is_held(running_gangs.as_they_are_up(with_hold(not was_held), before)) is was_held
    assert is_held(running_gangs.as_they_are_up(with_hold(was_held), before)) is was_held


def test_pods_that_are_made_anew_get_the_hold() -> None:
    before = state(with_hold(False))
    assert is_held(running_gangs.as_they_are_up(with_hold(True, image="ghcr.io/acme/train:1.5"), before))
    assert is_held(running_gangs.as_they_are_up(with_hold(True), states.NOTHING))


def test_others_stay_as_they_are() -> None:
    before = state(with_hold(False))
    after = running_gangs.as_they_are_up(with_hold(True), before)
    assert after == sample("coreweave")


@pytest.mark.parametrize("changes", [{}, {"image": "ghcr.io/acme/train:1.5"}, {"replicas": 1, "least_nodes": 0}])
def test_a_gang_that_a_shift_has_made_smaller_stays_held_whatever_has_changed(changes: dict[str, Any]) -> None:
    """Its Job is left as it is, with the gates: without the program its next pods would never start."""
    before = state(with_hold(True, replicas=4, least_nodes=2))
    now = with_hold(False, **{"replicas": 4, "least_nodes": 2, **changes}).shifted((), (), {"pretrain": 3})
    after = running_gangs.as_they_are_up(now, before)
    assert is_held(after)
    assert gangs.has_program(after)
