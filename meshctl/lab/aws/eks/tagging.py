"""Tags of everything that EKS has an ARN for. Served through `Eks`. EDGE."""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks.state import Base
from meshctl.lab.aws.errors import ApiError

ARNS = ("arn", "nodegroupArn", "addonArn", "accessEntryArn", "associationArn")


class Tagging(Base):
    def tag_resource(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        self._tagged(given["resourceArn"])["tags"] |= given["tags"]
        return {}

    def untag_resource(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        tags = self._tagged(given["resourceArn"])["tags"]
        for key in given["tagKeys"]:
            tags.pop(key, None)
        return {}

    def list_tags_for_resource(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"tags": self._tagged(given["resourceArn"])["tags"]}

    def _tagged(self, arn: str) -> dict[str, Any]:
        for resource in self._all():
            if any(resource.get(name) == arn for name in ARNS):
                return resource
        raise ApiError("NotFoundException", f"The specified resource ARN {arn} does not exist")

    def _all(self) -> Iterator[dict[str, Any]]:
        for cluster in self.clusters.values():
            yield cluster.described
            for part in (cluster.nodegroups, cluster.addons, cluster.entries):
                yield from (resource.described for resource in part.values())
            yield from cluster.associations.values()
