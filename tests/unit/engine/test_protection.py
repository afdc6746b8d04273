"""Data of a platform whose package is not installed: nothing is given up, as nobody can say what holds data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from meshctl.deploy.guards import protection
from meshctl.errors import PlatformError
from meshctl.model.stack_state import STACK_TYPE, StackState, as_outputs
from tests.acme_platform import SOURCE, install, installed
from tests.unit.deployments import deployment
from tests.unit.states import state

DEPLOYED = deployment().model_copy(update={"provider": "acme"})
FILE_SYSTEM = "acme:fs:FileSystem"
STATE = state(
    {"urn": f"urn:pulumi:e::m::{STACK_TYPE}::m-e", "type": STACK_TYPE, "outputs": as_outputs(DEPLOYED)},
    {"urn": f"urn:pulumi:e::m::{FILE_SYSTEM}::storage/shared:fs", "type": FILE_SYSTEM, "id": "fs-1", "custom": True},
)
QUESTIONS: dict[str, Callable[[StackState], object]] = {
    "destroy": protection.lost_by_destroy,
    "retire": lambda state: protection.lost_by_destroy(state, keep_buckets=True),
    "forget": protection.lost_with_cluster,
    "up": lambda state: protection.lost_by_up(state, DEPLOYED, ()),
    "up, before its preview": lambda state: protection.may_lose(state, DEPLOYED),
    "up on another platform": lambda state: protection.lost_by_up(state, deployment(), ()),
}


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=list(QUESTIONS))
def test_what_is_deployed_on_a_platform_that_is_not_installed_is_not_given_up(
    question: Callable[[StackState], object],
) -> None:
    with pytest.raises(PlatformError, match='the platform "acme" is not installed'):
        question(STATE)


def test_with_its_package_its_file_systems_are_a_loss(tmp_path: Path) -> None:
    source = SOURCE.read_text().replace("holding_types=()", f'holding_types=("{FILE_SYSTEM}",)')
    with installed(install(tmp_path, source=source)):
        (loss,) = protection.lost_by_destroy(STATE)
    assert (loss.subject, loss.identity) == ("storage/shared", "file system fs-1")
