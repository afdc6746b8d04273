"""A client of a cluster that has some objects, for tests of what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Self

from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshwire.kubernetes.errors import ApiError
from meshwire.kubernetes.requests import Request
from meshwire.kubernetes.resources import Resource


class FakeClient:
    """`objects`: by the plural of their kind. `refused`: the status with which each of these kinds is refused.
    `served`: APIs beyond those of every cluster. `forbidden`: verb and plural of what its user may not do. `logs`: of
    pods, by name; one of another pod is refused."""

    def __init__(
        self,
        objects: Mapping[str, list[dict[str, Any]]],
        refused: Mapping[str, int] | None = None,
        served: Collection[str] = (),
        forbidden: Collection[tuple[str, str]] = (),
        logs: Mapping[str, str] | None = None,
    ) -> None:
        self.objects = objects
        self.forbidden = forbidden
        self.reviews: list[dict[str, Any]] = []
        self.refused = refused or {}
        self.served = served
        self.logs = logs or {}
        self.is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.is_closed = True

    def list_objects(self, resource: Resource[Any], **_: Any) -> list[Any]:
        if status := self.refused.get(resource.plural):
            raise ApiError(status, "forbidden")
        return list(self.objects.get(resource.plural, ()))

    def items(self, path: str) -> list[Any]:
        plural = path.rpartition("/")[2]
        if status := self.refused.get(plural):
            raise ApiError(status, "forbidden")
        return list(self.objects.get(plural, ()))

    def kinds(self, api_version: str) -> frozenset[str]:
        if status := self.refused.get(api_version):
            raise ApiError(status, "forbidden")
        kinds = frozenset(each.rpartition("/")[2] for each in self.served if each.startswith(f"{api_version}/"))
        if not kinds:
            raise ApiError(404, "the server could not find the requested resource")
        return kinds

    def send(self, request: Request) -> Any:
        """Answers what its user may do."""
        plural = request.path.rpartition("/")[2]
        assert plural == "selfsubjectaccessreviews", f"a {request.method} of {request.path} is not known here"
        if status := self.refused.get(plural):
            raise ApiError(status, "forbidden")
        asked = request.body["spec"]["resourceAttributes"]
        self.reviews.append(asked)
        return {"status": {"allowed": (asked["verb"], asked["resource"]) not in self.forbidden}}

    def log(self, pod: str, **_: Any) -> str:
        if pod not in self.logs:
            raise ApiError(403, f"user cannot get pods/log of {pod}")
        return self.logs[pod]

    def get(self, resource: Resource[Any], name: str, **_: Any) -> Any:
        for item in self.list_objects(resource):
            if item["metadata"]["name"] == name:
                return item
        raise ApiError(404, f'{resource.plural} "{name}" not found')


def client_of(client: Any) -> Callable[[ClusterAccess], Any]:
    """To be set as `ClusterAccess.client`."""
    return lambda _: client
