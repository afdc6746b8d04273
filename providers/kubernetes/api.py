"""The verbs on objects of one API server, paths found by discovery. Called by `apply`, `waiting`, `provider`. EDGE."""

from __future__ import annotations

import threading
from typing import Any

from meshwire.kubernetes import requests
from meshwire.kubernetes.resources import Resource, group_path
from meshwire.marks import FIELD_MANAGER
from providers.kubernetes.connection import ApiError, Connection
from providers.kubernetes.objects import Gvk, Json, name_of, namespace_of
from providers.plugin.provider import ProviderError

_VALIDATION = {"fieldValidation": "Warn"}


class NoMatchError(ProviderError):
    """The API server has no such kind: its CustomResourceDefinition isn't there (yet)."""

    def __init__(self, gvk: Gvk) -> None:
        super().__init__("NoMatch", f'no matches for kind "{gvk.kind}" in version "{gvk.api_version}"')


class Api:
    """Objects as JSON. Every method raises ApiError, UnreachableError, NoMatchError."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kinds: dict[str, dict[str, Resource[Json]]] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def resource(self, gvk: Gvk) -> Resource[Json]:
        """Discovery is asked once for each group and version, and again when a kind is missing: CRDs come and go."""
        api_resource = self._kinds.get(gvk.api_version, {}).get(gvk.kind)
        if api_resource is not None:
            return api_resource
        with self._lock:
            lock = self._locks.setdefault(gvk.api_version, threading.Lock())
        with lock:
            api_resource = self._kinds.get(gvk.api_version, {}).get(gvk.kind)
            if api_resource is None:
                self._kinds[gvk.api_version] = self._discover(gvk)
                api_resource = self._kinds[gvk.api_version].get(gvk.kind)
        if api_resource is None:
            raise NoMatchError(gvk)
        return api_resource

    def forget(self, gvk: Gvk) -> None:
        self._kinds.pop(gvk.api_version, None)

    def _discover(self, gvk: Gvk) -> dict[str, Resource[Json]]:
        try:
            answer = self._connection.send(requests.get(group_path(gvk.api_version)))
        except ApiError as error:
            if error.status == 404:
                raise NoMatchError(gvk) from error
            raise
        return {
            item["kind"]: Resource(gvk.api_version, item["name"], bool(item["namespaced"]))
            for item in answer.get("resources") or []
            if "/" not in item["name"]
        }

    def path(self, gvk: Gvk, namespace: str, name: str = "") -> str:
        return self.resource(gvk).path(namespace, name)

    def get(self, gvk: Gvk, namespace: str, name: str) -> Json:
        return self._connection.send(requests.get(self.path(gvk, namespace, name)))

    def items(self, gvk: Gvk, namespace: str, **query: str) -> list[Json]:
        return self._connection.items(self.path(gvk, namespace), **query)

    def create(self, gvk: Gvk, obj: Json, *, manager: str = FIELD_MANAGER, dry_run: bool = False) -> Json:
        query = {**requests.writing(manager=manager, dry_run=dry_run), **_VALIDATION}
        return self._connection.send(requests.create(self.path(gvk, namespace_of(obj)), obj, **query))

    def apply(self, gvk: Gvk, obj: Json, *, manager: str, force: bool = False, dry_run: bool = False) -> Json:
        query = {**requests.writing(manager=manager, dry_run=dry_run, force=force), **_VALIDATION}
        path = self.path(gvk, namespace_of(obj), name_of(obj))
        return self._connection.send(requests.patch(path, obj, requests.APPLY, **query))

    def replace(self, gvk: Gvk, obj: Json, *, dry_run: bool = False) -> Json:
        path = self.path(gvk, namespace_of(obj), name_of(obj))
        return self._connection.send(requests.replace(path, obj, **requests.writing(dry_run=dry_run)))

    def patch(
        self, gvk: Gvk, namespace: str, name: str, body: Any, *, kind: str, manager: str, dry_run: bool = False
    ) -> Json:
        """`kind`: one of the content types of `requests`."""
        query = requests.writing(manager=manager, dry_run=dry_run)
        return self._connection.send(requests.patch(self.path(gvk, namespace, name), body, kind, **query))

    def delete(self, gvk: Gvk, namespace: str, name: str, *, propagation: str) -> Json:
        return self._connection.send(requests.delete(self.path(gvk, namespace, name), propagation=propagation))
