"""The version of Kubernetes is asked about where a cluster is made: EKS would refuse it once the network is there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer
from meshctl.platforms.aws import kubernetes_versions
from meshctl.platforms.aws.kubernetes_versions import DEFAULT_EKS_VERSION
from tests.unit.preflight.asking import asked, deployment, findings, up_as

WEB = {"web": {"nodes": 2, "cpu": {"cores": 4}}}
QUESTION = "kubernetes-versions"


def described(version: str, status: str) -> dict[str, Any]:
    end = datetime(2026, 7, 29, tzinfo=UTC)
    return {"clusterVersion": version, "versionStatus": status, "endOfStandardSupportDate": end}


ANSWER = ApiAnswer(
    {
        "clusterVersions": [
            described("1.33", "EXTENDED_SUPPORT"),
            described("1.31", "UNSUPPORTED"),
            described("1.35", "STANDARD_SUPPORT"),
            described("1.36", "STANDARD_SUPPORT"),
        ]
    }
)


def of_version(version: str) -> Deployment:
    return deployment(WEB, kubernetes={"version": version})


@pytest.mark.parametrize("version", ["1.99", "1.31"])
def test_a_version_that_eks_makes_no_clusters_of_is_a_gap(version: str) -> None:
    [gap] = findings(of_version(version), {QUESTION: ANSWER}).gaps
    assert (gap.subject, gap.wanted) == ("cluster", f"Kubernetes {version}")
    assert gap.best == "EKS has 1.36, 1.35, 1.33 in us-east-1"
    assert "`kubernetes.version`" in gap.hint


def test_a_version_past_standard_support_is_a_note() -> None:
    made = findings(of_version("1.33"), {QUESTION: ANSWER})
    assert made.gaps == ()
    [note] = made.notes
    assert note.startswith("Kubernetes 1.33 is past standard support of EKS, which ended on 2026-07-29: ")
    assert "in standard support are 1.36, 1.35" in note


def test_a_version_in_standard_support_is_no_finding() -> None:
    made = findings(of_version("1.35"), {QUESTION: ANSWER})
    assert (made.gaps, made.notes) == ((), ())


def test_the_status_in_its_old_form_is_read_as_well() -> None:
    old = {"clusterVersion": "1.33", "status": "extended-support"}
    [note] = findings(of_version("1.33"), {QUESTION: ApiAnswer({"clusterVersions": [old]})}).notes
    assert note.startswith("Kubernetes 1.33 is past standard support of EKS: ")


@pytest.mark.parametrize("answer", [ApiAnswer({"clusterVersions": []}), ApiAnswer({})])
def test_an_answer_that_names_none_says_nothing(answer: ApiAnswer) -> None:
    assert findings(of_version("1.99"), {QUESTION: answer}).gaps == ()


def test_it_is_asked_only_where_a_cluster_is_made_and_a_refusal_is_a_note() -> None:
    assert QUESTION in asked(of_version("1.35"))
    more = deployment({"web": {"nodes": 4, "cpu": {"cores": 4}}})
    assert QUESTION not in asked(more, up_as(deployment(WEB)))
    assert findings(more, {QUESTION: ANSWER}, up_as(deployment(WEB))).gaps == ()
    made = findings(of_version("1.99"), {QUESTION: ApiAnswer(code="AccessDeniedException")})
    assert made.gaps == ()
    assert made.notes == (
        "AWS was not asked about which versions of Kubernetes EKS has: it refused the question (AccessDeniedException)",
    )


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (
            "1.33",
            "Kubernetes 1.33: its standard support on EKS ended on 2026-07-29, and extended support ends on 2027-07-29",
        ),
        ("1.34", "Kubernetes 1.34: its standard support on EKS ends on 2026-12-02, and extended support on 2027-12-02"),
        ("1.99", "Kubernetes 1.99 is not among those that EKS has as of 2026-08-09 (1.36, 1.35, "),
        ("1.9", "Kubernetes 1.9 is older than all that EKS has as of 2026-08-09"),
    ],
)
def test_check_says_offline_what_the_dated_table_has(version: str, text: str) -> None:
    assert kubernetes_versions.words(version).startswith(text)


@pytest.mark.parametrize("version", [DEFAULT_EKS_VERSION, "1.36"])
def test_check_says_nothing_offline_of_a_version_as_new_as_the_own_one(version: str) -> None:
    assert kubernetes_versions.words(version) == ""
