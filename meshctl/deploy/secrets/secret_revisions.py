"""Counts how often the value of each Secret has changed, so that pods that read it are rolled out. PURE.

Called by `environment_program` for the deferred values `revision.<Secret>` of `meshctl.render`; see ADR 0015.
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
    """Whether the deployment has Secrets. Only then must the state be exported with secrets in plain text."""
    return bool(render.secrets(deployment))


def revision_values(deployment: Deployment, values: Mapping[str, str], state: StackState) -> dict[str, str]:
    """The deferred value `revision.<Secret>` of each Secret: a count that goes up when a value differs from `state`.

    What else the Secret has counts for nothing: texts that are no secrets, and a value that nobody wants any more,
    whose variable or file leaves the pods. `state` was exported with secrets in plain text. A count reveals nothing of
    the values; a hash of a short one would.
    """
    before = _secrets_in(state)
    revisions = {}
    for name, entries in render.secrets(deployment).items():
        data = {variable: base64.b64encode(values[key].encode()).decode() for variable, key in entries.items()}
        revision, old = before.get(name, (0, {}))
        is_same = {variable: old.get(variable) for variable in data} == data
        revisions[f"revision.{name}"] = str(revision if is_same else revision + 1)
    return revisions


def _secrets_in(state: StackState) -> dict[str, tuple[int, Any]]:
    """By name: the revision and the data of each Secret."""
    secrets = {}
    for secret in state.of_type("kubernetes:core/v1:Secret"):
        metadata = secret.inputs["metadata"]
        revision = (metadata.get("annotations") or {}).get(render.REVISION, "0")
        secrets[str(metadata["name"])] = (int(revision), _unwrapped(secret.inputs.get("data") or {}))
    return secrets


def _unwrapped(value: Any) -> Any:
    """A value of an exported state, with its secrets in plain text."""
    if not isinstance(value, dict):
        return value
    if "plaintext" in value and SIGNATURE in value:
        return _unwrapped(json.loads(value["plaintext"]))
    return {key: _unwrapped(inner) for key, inner in value.items()}
