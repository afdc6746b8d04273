"""Values of a mesh's Secrets, kept out of what is told of its containers. EDGE.

Called by `deploy.jobs.job_states`, as last words reach logs and journals. The values are asked of the cluster:
`status` and `migrate` are given none.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final

from meshwire.kubernetes import objects
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.resources import SECRETS

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

HIDDEN: Final = "[secret]"
SHORTEST: Final = 6  # characters: a shorter value is in many words that tell nothing of it
Redact = Callable[[str], str]


def redaction(client: Client, namespace: str, labels: Mapping[str, str]) -> Redact:
    """Blots the values out of a text. Who may not see them is told nothing: nobody could say what is in it."""
    try:
        values = hidden_values(client.list_objects(SECRETS, namespace=namespace, labels=labels))
    except ApiError as error:
        if error.status != 403:
            raise
        return lambda _: ""
    return lambda text: _blotted(text, values)


def hidden_values(secrets: Iterable[objects.Secret]) -> list[str]:
    """The lines of all values, the longest first: one may be part of another."""
    encoded = [value for secret in secrets for value in (secret.get("data") or {}).values()]
    texts = [base64.b64decode(value).decode(errors="replace") for value in encoded]
    lines = {line.strip() for text in texts for line in text.splitlines()}
    return sorted((line for line in lines if len(line) >= SHORTEST), key=len, reverse=True)


def _blotted(text: str, values: list[str]) -> str:
    for value in values:
        text = text.replace(value, HIDDEN)
    return text
