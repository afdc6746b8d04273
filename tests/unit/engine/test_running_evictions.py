"""Jobs that are up say of their pods what they came up with: another annotation would start their work anew."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.deploy.guards.running import running_pods
from meshctl.deploy.guards.running.pods import running_evictions
from meshctl.model.deployment import Deployment
from meshctl.model.keys import evictions
from meshctl.model.stack_state import StackState
from meshctl.render.controllers import jobs
from tests.unit import states
from tests.unit.engine.job_meshes import changed, state


def with_words(stays: bool, **changes: Any) -> Deployment:
    return changed("pretrain", stays_on_node=stays, **changes)


def after(wanted: Deployment, before: StackState) -> bool:
    """What the pods say after the next `up`."""
    as_up = running_evictions.as_they_are_up(wanted, before)
    return running_evictions.where_made_anew(as_up, wanted, before).workload("pretrain").stays_on_node


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("paused", [True, False])
def test_what_is_up_keeps_its_pods(said: bool, paused: bool) -> None:
    before = state(with_words(said, paused=paused))
    assert after(with_words(not said), before) is said
    assert after(with_words(said), before) is said


def test_what_is_made_anew_says_what_it_is_to() -> None:
    before = state(with_words(False))
    assert after(with_words(True, image="ghcr.io/acme/train:1.5"), before)
    assert after(with_words(True), states.NOTHING)


def test_a_gang_that_is_held_and_says_nothing_keeps_both_where_its_pool_gets_a_range() -> None:
    """Two wishes at once, of which each would make the Job anew."""
    before = state(with_words(False, held_together=True))
    running = running_pods.with_running_pods(with_words(True, held_together=False), before).workload("pretrain")
    assert (running.held_together, running.stays_on_node) == (True, False)


def test_the_annotations_of_the_user_win_and_change_nothing_else() -> None:
    said = {"annotations": {evictions.SAFE: "true"}}
    wanted = with_words(True, **said)
    template = jobs.job(wanted, wanted.workload("pretrain")).manifest["spec"]["template"]
    assert template["metadata"]["annotations"] == {evictions.SAFE: "true", "karpenter.sh/do-not-disrupt": "true"}
    assert after(wanted, state(wanted))
    assert not after(wanted, state(with_words(False, **said)))


def test_a_gang_with_fewer_nodes_is_left_as_it_is() -> None:
    before = state(with_words(False, replicas=4, least_nodes=2))
    now = with_words(True, replicas=4, least_nodes=2, image="ghcr.io/acme/train:1.5")
    assert not after(now.shifted((), (), {"pretrain": 3}), before)
