"""How often each Secret has had a new value: what makes a change of one reach the pods that read it. PURE.

Called by `session` for the late values `revision.<Secret>` of `meshctl.render`; see ADR 0015.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from meshctl import render
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from meshwire.marks import SIGNATURE


def has_secrets(deployment: Deployment) -> bool:
    """Whether there is anything to count, and so a state with secrets in plain text to be read."""
    return bool(render.secrets(deployment))


def revision_values(deployment: Deployment, values: Mapping[str, str], state: StackState) -> dict[str, str]:
    """The late value `revision.<Secret>` of each Secret: a count that goes up when a value is another one than in
    `state`, which is exported with secrets in plain text. It says nothing of the values, as a hash of a short one
    would.
    """
    before = _secrets_in(state)
    found = {}
    for name, entries in render.secrets(deployment).items():
        data = {variable: base64.b64encode(values[late].encode()).decode() for variable, late in entries.items()}
        revision, old = before.get(name, (0, {}))
        found[f"revision.{name}"] = str(revision if old == data else revision + 1)
    return found


def _secrets_in(state: StackState) -> dict[str, tuple[int, Any]]:
    """By name: the revision and the data of each Secret."""
    found = {}
    for secret in state.of_type("kubernetes:core/v1:Secret"):
        metadata = secret.inputs["metadata"]
        revision = (metadata.get("annotations") or {}).get(render.REVISION, "0")
        found[str(metadata["name"])] = (int(revision), _unwrapped(secret.inputs.get("data")))
    return found


def _unwrapped(value: Any) -> Any:
    """A value of an exported state, with its secrets in plain text."""
    if not isinstance(value, dict):
        return value
    if "plaintext" in value and SIGNATURE in value:
        return _unwrapped(json.loads(value["plaintext"]))
    return {key: _unwrapped(inner) for key, inner in value.items()}
