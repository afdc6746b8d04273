"""Asks the platform what of an environment runs on it now, and whether there are newer releases. EDGE (reads only).

Called by `runs` before a preview and an `up`, and by `operate.status`. What is asked, and what the answers mean, is
the platform's own (`meshctl.platforms.interface.Releases`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from meshctl.clients.aws import aws_questions
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.model.releases import LivePlatform
from meshctl.model.stack_state import StackState
from meshctl.platforms import registry

NOTHING_TO_REFRESH: Final = "this platform has no images or add-ons that meshctl could refresh: nothing to refresh"


def ask(deployment: Deployment, state: StackState) -> LivePlatform:
    """Nothing where no cluster is up yet, or the platform has no releases; what could not be asked is named.

    Raises: nothing but for mistakes of ours: who can't be asked is named in `unasked`.
    """
    releases = registry.platform(deployment.provider).releases
    if releases is None or not state.of_type(*registry.cluster_types()):
        return LivePlatform()
    try:
        answers = _answers(releases.running(deployment), deployment)
        answers |= _answers(releases.newest(deployment, answers), deployment)
    except MeshError as error:
        return LivePlatform(unasked=(f"not checked: which releases run, and which newer ones there are ({error})",))
    return releases.live(deployment, answers)


def _answers(questions: Iterable[ApiQuestion], deployment: Deployment) -> dict[str, ApiAnswer]:
    return aws_questions.ask(questions, profile=deployment.profile, region=deployment.region)


def refresh_notes(deployment: Deployment, state: StackState, live: LivePlatform) -> tuple[str, ...]:
    """What a run that was asked to refresh says."""
    if registry.platform(deployment.provider).releases is None:
        return (NOTHING_TO_REFRESH,)
    if not state.of_type(*registry.cluster_types()):
        return ("new nodes and add-ons begin with the newest releases: nothing to refresh",)
    return live.refresh_notes()
