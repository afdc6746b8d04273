"""Requests to an API server, and what its answers say. PURE. Called by both clients and by who sends through them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from meshwire.kubernetes.errors import ApiError

Json = dict[str, Any]

JSON: Final = "application/json"
APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
PAGE_SIZE: Final = 500  # what kubectl asks for at once
EXPIRED: Final = 410


@dataclass(frozen=True)
class Request:
    """One request. `body` is sent as JSON; None is none."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = JSON

    @property
    def content(self) -> bytes | None:
        return None if self.body is None else json.dumps(self.body).encode()

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.body is None else {"Content-Type": self.content_type}


def get(path: str, **query: str) -> Request:
    return Request("GET", path, query)


def page(path: str, query: Mapping[str, str], token: str) -> Request:
    """One page of a list; `token` is empty for the first, and else what the one before has as `continue`."""
    more = {"continue": token} if token else {}
    return Request("GET", path, {**query, "limit": str(PAGE_SIZE), **more})


def create(path: str, body: Any, **query: str) -> Request:
    return Request("POST", path, query, body)


def replace(path: str, body: Any, **query: str) -> Request:
    return Request("PUT", path, query, body)


def patch(path: str, body: Any, kind: str, **query: str) -> Request:
    """`kind`: one of the content types above."""
    return Request("PATCH", path, query, body, kind)


def delete(path: str, *, propagation: str = "", grace_s: int | None = None, uid: str = "") -> Request:
    """`propagation`: Foreground, Background or Orphan; empty is the kind's own. `uid`: refuse to delete a successor."""
    options: Json = {"apiVersion": "v1", "kind": "DeleteOptions"}
    options |= {"propagationPolicy": propagation} if propagation else {}
    options |= {"gracePeriodSeconds": grace_s} if grace_s is not None else {}
    options |= {"preconditions": {"uid": uid}} if uid else {}
    return Request("DELETE", path, {}, options)


def writing(*, manager: str = "", dry_run: bool = False, force: bool = False) -> dict[str, str]:
    """The query of a request that changes something."""
    query = {"fieldManager": manager} if manager else {}
    query |= {"dryRun": "All"} if dry_run else {}
    return query | ({"force": "true"} if force else {})


def label_selector(labels: Mapping[str, str]) -> dict[str, str]:
    """The query for objects that have all of the labels."""
    return {"labelSelector": _equal(labels)} if labels else {}


def field_selector(fields: Mapping[str, str]) -> dict[str, str]:
    """The query for objects with these values in fields that the API server can select by."""
    return {"fieldSelector": _equal(fields)} if fields else {}


def _equal(values: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in values.items())


def result(status: int, content: bytes, content_type: str = "") -> Json:
    """The answer's object. Raises: ApiError for a refusal, and for what is no answer of an API server."""
    body = _object(content)
    if 200 <= status < 300 and body is not None:
        return body
    if body is None and status < 400:
        raise ApiError(status, f"an answer that is no JSON object (HTTP status {status}): is this an API server?")
    raise _error(status, content, content_type)


def text(status: int, content: bytes, content_type: str = "") -> str:
    """The answer's text, where it is no object. Raises: ApiError for a refusal."""
    if 200 <= status < 300:
        return content.decode(errors="replace")
    raise _error(status, content, content_type)


def _error(status: int, content: bytes, content_type: str) -> ApiError:
    body = _object(content)
    if body is not None:
        return refusal(status, body)
    return ApiError(status, content.decode(errors="replace").strip()[:500] if "html" not in content_type else "")


def _object(content: bytes) -> Json | None:
    try:
        body = json.loads(content)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def refusal(status: int, body: Mapping[str, Any]) -> ApiError:
    """Of a Kubernetes `Status`."""
    details = body.get("details")
    return ApiError(
        status,
        str(body.get("message") or ""),
        reason=str(body.get("reason") or ""),
        details=details if isinstance(details, dict) else {},
    )
