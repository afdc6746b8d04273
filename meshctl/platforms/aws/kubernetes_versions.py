"""Which versions of Kubernetes EKS makes clusters of: asked where a run makes one, and in a table elsewhere. PURE.

Called by `preflight`, and by `words` for `check`. meshctl makes clusters with the support policy STANDARD
(`stacks.aws.cluster`). "You can create new Amazon EKS clusters on any version offered in standard or extended support"
("Understand the Kubernetes version lifecycle on EKS"), while "you can only disable extended support for clusters on
standard support" ("Disable EKS extended support", both EKS user guide). What becomes of a new cluster with STANDARD and
a version past standard support stands nowhere: a note says so, and is no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Gap
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws import service_prices
from meshctl.platforms.aws.change import Change

# In standard support until 2027-03-27; 1.34 leaves it on 2026-12-02, and then costs six times as much an hour.
# Source: EKS version calendar (2026-04-24).
DEFAULT_EKS_VERSION: Final = "1.35"

_QUESTION: Final = "kubernetes-versions"
_STANDARD: Final = "STANDARD_SUPPORT"
_NONE: Final = "UNSUPPORTED"


def questions(change: Change) -> Iterator[ApiQuestion]:
    if change.makes_cluster:
        about = "which versions of Kubernetes EKS has"
        yield ApiQuestion(_QUESTION, "eks", "describe_cluster_versions", about)


def gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    """A gap where EKS would refuse the cluster, for which a network was made before."""
    version, offered = change.wanted.cluster.version, _offered(change, answers)
    if offered and version not in offered:
        yield Gap(
            subject="cluster",
            wanted=f"Kubernetes {version}",
            best=f"EKS has {', '.join(_newest_first(offered))} in {change.wanted.region}",
            hint="name one of them as `kubernetes.version` of the environment",
        )


def notes(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    version, offered = change.wanted.cluster.version, _offered(change, answers)
    described = offered.get(version)
    if described is None or _status(described) == _STANDARD:
        return
    end = described.get("endOfStandardSupportDate")
    ended = f", which ended on {end:%Y-%m-%d}" if end is not None else ""
    standard = [each for each in _newest_first(offered) if _status(offered[each]) == _STANDARD]
    yield (
        f"Kubernetes {version} is past standard support of EKS{ended}: meshctl makes clusters without extended support,"
        " so that EKS may refuse this one, or soon upgrade it by itself; in standard support are"
        f" {', '.join(standard)} (`kubernetes.version`)"
    )


def words(version: str) -> str:
    """What the table says of a version that environments.yaml names; "" where it need not say anything about it."""
    table = service_prices.kubernetes_versions()
    listed = _newest_first(table.standard_support_ends)
    if version in table.standard_support_ends:
        if _number(version) >= _number(DEFAULT_EKS_VERSION):
            return ""
        end, last = table.standard_support_ends[version], table.extended_support_ends[version]
        return (
            f"Kubernetes {version}: its standard support on EKS ends on {end}, and extended support on {last}, after"
            f" which EKS makes no clusters of it (as of {table.date}); without `kubernetes.version` it is"
            f" {DEFAULT_EKS_VERSION}"
        )
    place = "is older than all" if _number(version) < _number(listed[-1]) else "is not among those"
    return (
        f"Kubernetes {version} {place} that EKS has as of {table.date} ({', '.join(listed)}): a new cluster of it may"
        " be refused, which `check --online`, `plan` and `up` ask EKS"
    )


def _offered(change: Change, answers: Mapping[str, ApiAnswer]) -> dict[str, Mapping[str, Any]]:
    """Versions of which clusters can be made, as EKS describes them; none where it did not say."""
    if not change.makes_cluster:
        return {}
    described = answers.get(_QUESTION, ApiAnswer()).content.get("clusterVersions", [])
    return {each["clusterVersion"]: each for each in described if _status(each) != _NONE}


def _status(described: Mapping[str, Any]) -> str:
    """`versionStatus`, before which EKS had `status` alone, in lower case and with dashes."""
    status = str(described.get("versionStatus") or described.get("status") or _STANDARD)
    return status.upper().replace("-", "_")


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _newest_first(versions: Mapping[str, Any]) -> list[str]:
    return sorted(versions, key=_number, reverse=True)
