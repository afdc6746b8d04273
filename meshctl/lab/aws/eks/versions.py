"""The versions of Kubernetes that EKS has, as of 2026-11-30. Served through `Eks`. EDGE.

Sources: EKS API reference, DescribeClusterVersions; EKS user guide, "Understand the Kubernetes version lifecycle"
(14 months of standard support, then 12 of extended support, after which no cluster is made of a version); dates as in
copies of the guide's calendar (endoflife.date, 2026-02; aws-samples, 2026-04-24; of 1.36, 2026-08-09).
"""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks.state import Base

DEFAULT_VERSION = "1.35"
_STANDARD, _EXTENDED, _NONE = "STANDARD_SUPPORT", "EXTENDED_SUPPORT", "UNSUPPORTED"


@dataclass(frozen=True)
class Version:
    """`released` and the ends of its support: dates. `status`: as the API has it."""

    name: str
    released: str
    standard_ends: str
    extended_ends: str
    status: str

    def described(self) -> dict[str, Any]:
        return {
            "clusterVersion": self.name,
            "clusterType": "eks",
            "defaultPlatformVersion": "eks.1",
            "defaultVersion": self.name == DEFAULT_VERSION,
            "releaseDate": _moment(self.released),
            "endOfStandardSupportDate": _moment(self.standard_ends),
            "endOfExtendedSupportDate": _moment(self.extended_ends),
            "status": self.status.lower().replace("_", "-"),
            "versionStatus": self.status,
        }


_ALL = (
    Version("1.36", "2026-06-02", "2027-08-02", "2028-08-02", _STANDARD),
    Version("1.35", "2026-01-28", "2027-03-27", "2028-03-27", _STANDARD),
    Version("1.34", "2025-10-06", "2026-12-02", "2027-12-02", _STANDARD),
    Version("1.33", "2025-05-28", "2026-07-29", "2027-07-29", _EXTENDED),
    Version("1.32", "2025-01-25", "2026-03-23", "2027-03-23", _EXTENDED),
    Version("1.31", "2024-09-26", "2025-11-26", "2026-11-26", _NONE),
)
VERSIONS = tuple(version.name for version in _ALL if version.status != _NONE)  # of which clusters are made


class Versions(Base):
    def describe_cluster_versions(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        """Those that are not supported any more only where all, or they by their name, are asked for."""
        names, status = given.get("clusterVersions") or None, given.get("versionStatus")
        chosen = [version for version in _ALL if names is None or version.name in names]
        if names is None and status is None and not given.get("includeAll"):
            chosen = [version for version in chosen if version.status != _NONE]
        if status is not None:
            chosen = [version for version in chosen if version.status == status]
        if given.get("defaultOnly"):
            chosen = [version for version in chosen if version.name == DEFAULT_VERSION]
        return {"clusterVersions": [version.described() for version in chosen]}


def _moment(date: str) -> datetime:
    return datetime.fromisoformat(date).replace(tzinfo=UTC)
