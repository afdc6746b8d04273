"""Which versions of Kubernetes EKS makes clusters of, asked where a run makes one. PURE.

Called by `preflight`; for `check`, `kubernetes_versions` has a table. meshctl makes clusters with the support policy
STANDARD (`stacks.aws.cluster`). "You can create new Amazon EKS clusters on any version offered in standard or extended
support" ("Understand the Kubernetes version lifecycle on EKS"), while "you can only disable extended support for
clusters on standard support" ("Disable EKS extended support", both EKS user guide). What becomes of a new cluster with
STANDARD and a version past standard support stands nowhere: a note says so, and is no gap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Gap
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws.kubernetes_versions import newest_first
from meshctl.platforms.aws.preflight.change import Change

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
            best=f"EKS has {', '.join(newest_first(offered))} in {change.wanted.region}",
            hint="name one of them as `kubernetes.version` of the environment",
        )


def notes(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    version, offered = change.wanted.cluster.version, _offered(change, answers)
    described = offered.get(version)
    if described is None or _status(described) == _STANDARD:
        return
    end = described.get("endOfStandardSupportDate")
    ended = f", which ended on {end:%Y-%m-%d}" if end is not None else ""
    standard = [each for each in newest_first(offered) if _status(offered[each]) == _STANDARD]
    yield (
        f"Kubernetes {version} is past standard support of EKS{ended}: meshctl makes clusters without extended support,"
        " so that EKS may refuse this one, or soon upgrade it by itself; in standard support are"
        f" {', '.join(standard)} (`kubernetes.version`)"
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
