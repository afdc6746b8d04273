"""The verbs on objects of one API server, paths found by discovery. Called by `apply`, `waiting`, `provider`. EDGE."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any, Final

from meshwire.marks import FIELD_MANAGER
from providers.kubernetes.connection import ApiError
from providers.kubernetes.objects import Gvk, Json, name_of, namespace_of
from providers.plugin.provider import ProviderError

APPLY: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"


class NoMatchError(ProviderError):
    """The API server has no such kind: its CustomResourceDefinition isn't there (yet)."""

    def __init__(self, gvk: Gvk) -> None:
        super().__init__("NoMatch", f'no matches for kind "{gvk.kind}" in version "{gvk.api_version}"')


@dataclass(frozen=True)
class Resource:
    """Where objects of a kind live: `plural` in the path, with a namespace or not."""

    plural: str
    namespaced: bool


class Api:
    """Objects as JSON. Every method raises ApiError, UnreachableError, NoMatchError."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._kinds: dict[str, dict[str, Resource]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def resource(self, gvk: Gvk) -> Resource:
        """Discovery is asked once for each group and version, and again when a kind is missing: CRDs come and go."""
        known = self._kinds.get(gvk.api_version, {}).get(gvk.kind)
        if known is not None:
            return known
        with self._lock:
            lock = self._locks.setdefault(gvk.api_version, threading.Lock())
        with lock:
            known = self._kinds.get(gvk.api_version, {}).get(gvk.kind)
            if known is None:
                self._kinds[gvk.api_version] = self._discover(gvk)
                known = self._kinds[gvk.api_version].get(gvk.kind)
        if known is None:
            raise NoMatchError(gvk)
        return known

    def forget(self, gvk: Gvk) -> None:
        self._kinds.pop(gvk.api_version, None)

    def _discover(self, gvk: Gvk) -> dict[str, Resource]:
        try:
            found = self._connection.request("GET", _root(gvk))
        except ApiError as error:
            if error.status == 404:
                raise NoMatchError(gvk) from error
            raise
        return {
            item["kind"]: Resource(item["name"], bool(item["namespaced"]))
            for item in found.get("resources") or []
            if "/" not in item["name"]
        }

    def path(self, gvk: Gvk, namespace: str, name: str = "") -> str:
        resource = self.resource(gvk)
        where = f"/namespaces/{namespace}" if resource.namespaced and namespace else ""
        return f"{_root(gvk)}{where}/{resource.plural}" + (f"/{name}" if name else "")

    def get(self, gvk: Gvk, namespace: str, name: str) -> Json:
        found: Json = self._connection.request("GET", self.path(gvk, namespace, name))
        return found

    def items(self, gvk: Gvk, namespace: str, **query: str) -> list[Json]:
        found = self._connection.request("GET", self.path(gvk, namespace), query=query)
        return list(found.get("items") or [])

    def create(self, gvk: Gvk, obj: Json, *, manager: str = FIELD_MANAGER, dry_run: bool = False) -> Json:
        query = {"fieldManager": manager, "fieldValidation": "Warn", **_dry(dry_run=dry_run)}
        found: Json = self._connection.request("POST", self.path(gvk, namespace_of(obj)), query=query, body=obj)
        return found

    def apply(self, gvk: Gvk, obj: Json, *, manager: str, force: bool = False, dry_run: bool = False) -> Json:
        query = {"fieldManager": manager, "fieldValidation": "Warn", **_dry(dry_run=dry_run)}
        if force:
            query["force"] = "true"
        path = self.path(gvk, namespace_of(obj), name_of(obj))
        found: Json = self._connection.request("PATCH", path, query=query, body=obj, content_type=APPLY)
        return found

    def replace(self, gvk: Gvk, obj: Json, *, dry_run: bool = False) -> Json:
        path = self.path(gvk, namespace_of(obj), name_of(obj))
        found: Json = self._connection.request("PUT", path, query=_dry(dry_run=dry_run), body=obj)
        return found

    def patch(
        self, gvk: Gvk, namespace: str, name: str, body: Any, *, content_type: str, manager: str, dry_run: bool = False
    ) -> Json:
        query = {"fieldManager": manager, **_dry(dry_run=dry_run)}
        path = self.path(gvk, namespace, name)
        found: Json = self._connection.request("PATCH", path, query=query, body=body, content_type=content_type)
        return found

    def delete(self, gvk: Gvk, namespace: str, name: str, *, propagation: str) -> Json:
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        found: Json = self._connection.request("DELETE", self.path(gvk, namespace, name), body=options)
        return found


def _root(gvk: Gvk) -> str:
    return f"/apis/{gvk.group}/{gvk.version}" if gvk.group else f"/api/{gvk.version}"


def _dry(*, dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}
