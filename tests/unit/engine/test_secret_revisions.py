"""Values of secrets are counted when they change: no more is said of them where pods can be seen."""

from __future__ import annotations

import base64
import json

import pytest

from meshctl.deploy.secrets import secret_revisions
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.deployments import deployment


def with_secret() -> Deployment:
    made = deployment(object_stores=())
    chat = made.workload("chat").model_copy(update={"secrets": {"TOKEN": "token"}, "mounts": ()})
    return made.model_copy(update={"workloads": (chat,)})


def state(revision: str, value: str, **more: str) -> StackState:
    """As the engine exports it. `more`: what else the Secret has."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in {"TOKEN": value, **more}.items()}
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": json.dumps(data)}
    metadata = {"name": "chat-secrets", "annotations": {"meshctl.dev/revision": revision}}
    inputs = {"metadata": metadata, "data": secret}
    return states.state({"type": "kubernetes:core/v1:Secret", "urn": "u", "inputs": inputs})


@pytest.mark.parametrize(
    ("before", "revision"),
    [
        (states.NOTHING, "1"),
        (state("3", "same"), "3"),
        (state("3", "other"), "4"),
        (state("3", "same", username="meshctl-csi"), "3"),
        (state("3", "other", username="meshctl-csi"), "4"),
    ],
    ids=["none before", "as before", "another value", "a text beside it", "another value, and a text beside it"],
)
def test_a_revision_counts_the_values_that_a_secret_has_had(before: StackState, revision: str) -> None:
    found = secret_revisions.revision_values(with_secret(), {"secret.token": "same"}, before)
    assert found == {"revision.chat-secrets": revision}
