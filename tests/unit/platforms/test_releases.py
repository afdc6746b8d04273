"""Finding C2: images and add-ons are pinned, shown, and moved on when somebody asks."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl.changes import PropertyChange, Step
from meshctl.changes.fields import fields
from meshctl.deploy.guards.running.pools import running_releases
from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer
from meshctl.model.releases import LivePlatform, is_newer
from meshctl.platforms import registry
from meshctl.platforms.interface import Releases
from tests.unit.preflight.asking import deployment

OLD, NEW = "1.35.0-20261101", "1.35.4-20261120"
WEB = {"web": {"nodes": {"min": 2, "max": 8}, "cpu": {"cores": 4}}}


def aws() -> Releases:
    part = registry.platform("aws").releases
    assert part is not None
    return part


def group(**changes: Any) -> ApiAnswer:
    described = {
        "version": "1.35",
        "releaseVersion": OLD,
        "amiType": "AL2023_x86_64_STANDARD",
        "scalingConfig": {"minSize": 2, "maxSize": 8, "desiredSize": 4},
        "updateConfig": {"maxUnavailable": 1},
    }
    return ApiAnswer({"nodegroup": described | changes})


CLUSTER = {"cluster": ApiAnswer({"cluster": {"version": "1.35", "upgradePolicy": {"supportType": "STANDARD"}}})}
COREDNS = {"addon/coredns": ApiAnswer({"addon": {"addonVersion": "v1.12.4-eksbuild.1"}})}
IMAGE = {"1.35/amazon-linux-2023/x86_64/standard": ApiAnswer({"Parameter": {"Value": NEW}})}
DEFAULTS = {
    "versions/coredns": ApiAnswer(
        {
            "addons": [
                {
                    "addonVersions": [
                        {"addonVersion": "v1.13.0-eksbuild.1", "compatibilities": [{"defaultVersion": False}]},
                        {"addonVersion": "v1.12.9-eksbuild.1", "compatibilities": [{"defaultVersion": True}]},
                    ]
                }
            ]
        }
    )
}


def live(wanted: Deployment, nodegroup: ApiAnswer | None = None, **changes: ApiAnswer) -> LivePlatform:
    answers = {**CLUSTER, **COREDNS, **IMAGE, **DEFAULTS, "nodegroup/web": nodegroup or group(), **changes}
    asked = {question.name for question in (*aws().running(wanted), *aws().newest(wanted, answers))}
    return aws().live(wanted, {name: answer for name, answer in answers.items() if name in asked})


@pytest.mark.parametrize(
    ("release", "other", "newer"),
    [
        (NEW, OLD, True),
        (OLD, NEW, False),
        (OLD, OLD, False),
        ("1.35.0-20261101", "1.35.0-20260930", True),
        ("v1.12.10-eksbuild.1", "v1.12.9-eksbuild.4", True),
        ("v1.12.4-eksbuild.2", "v1.12.4-eksbuild.1", True),
        ("", OLD, False),
        (NEW, "", False),
    ],
)
def test_releases_are_compared_by_their_numbers(release: str, other: str, newer: bool) -> None:
    assert is_newer(release, other) is newer


def test_what_is_asked() -> None:
    wanted = deployment(WEB)
    first = {question.name: question for question in aws().running(wanted)}
    assert first["nodegroup/web"].arguments == {"clusterName": "m-e", "nodegroupName": "web"}
    assert {"cluster", "addon/coredns", "addon/vpc-cni", "addon/kube-proxy"} <= first.keys()
    second = {q.name: q for q in aws().newest(wanted, {**CLUSTER, **COREDNS, "nodegroup/web": group()})}
    [parameter] = [question.arguments["Name"] for question in second.values() if question.service == "ssm"]
    assert parameter == (
        "/aws/service/eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended/release_version"
    )
    assert second["versions/coredns"].arguments == {"addonName": "coredns", "kubernetesVersion": "1.35"}
    assert aws().newest(wanted, {}) == (), "nothing is known to be up"


def test_a_newer_release_is_told_and_moves_nothing() -> None:
    found = live(deployment(WEB))
    [note] = found.newer_notes("aws-east")
    assert f"image {NEW} for pool web ({OLD} runs)" in note
    assert "add-on coredns v1.12.9-eksbuild.1 (v1.12.4-eksbuild.1 runs)" in note
    assert "`meshctl plan aws-east --refresh-images`" in note


def test_a_refresh_asks_for_the_newest_and_says_what_it_replaces() -> None:
    wanted = deployment(WEB)
    found = live(wanted)
    moved = found.refreshed(wanted)
    assert moved.pool("web").image_release == NEW
    assert moved.cluster.addon_versions == {"coredns": "v1.12.9-eksbuild.1"}, "the default, not the latest"
    assert found.refresh_notes() == (
        f"pool/web: image {OLD} -> {NEW}, its 4 nodes are replaced one by one",
        "cluster: add-on coredns v1.12.4-eksbuild.1 -> v1.12.9-eksbuild.1",
    )


@pytest.mark.parametrize(
    ("nodes", "update_config", "words"),
    [
        (64, {"maxUnavailablePercentage": 10}, "its 64 nodes are replaced in batches of 7"),
        (1, {"maxUnavailable": 1}, "its node is replaced"),
        (0, {"maxUnavailable": 1}, "it has no nodes at the moment"),
        (4, {"maxUnavailable": 9}, "its 4 nodes are replaced in batches of 4"),
    ],
)
def test_how_many_nodes_go_at_once(nodes: int, update_config: dict[str, int], words: str) -> None:
    scaling = {"minSize": 0, "maxSize": 64, "desiredSize": nodes}
    found = live(deployment(WEB), group(scalingConfig=scaling, updateConfig=update_config))
    assert found.refresh_notes()[0] == f"pool/web: image {OLD} -> {NEW}, {words}"


def test_what_is_the_newest_already_is_left_alone() -> None:
    wanted = deployment(WEB)
    found = live(wanted, group(releaseVersion=NEW), **{"versions/coredns": ApiAnswer(code="AccessDeniedException")})
    assert found.refreshed(wanted) == wanted
    assert found.newer_notes("aws-east") == ()
    assert found.refresh_notes() == (
        "AWS was not asked about the versions of add-ons: it refused the question (AccessDeniedException)",
    )


def test_nodes_in_a_capacity_block_stay() -> None:
    wanted = deployment(WEB)
    block = wanted.model_copy(update={"pools": (wanted.pool("web").model_copy(update={"market": "capacity-block"}),)})
    found = live(block)
    assert found.refreshed(block).pool("web").image_release == ""
    assert found.refresh_notes()[0] == (
        f"pool/web: image {OLD} stays, although {NEW} exists: EKS replaces nodes in a capacity block only while the"
        " pool has none"
    )


def test_another_kubernetes_version_brings_its_own_releases() -> None:
    wanted = deployment(WEB, kubernetes={"version": "1.36"})
    found = live(wanted)
    assert found.newer_notes("aws-east") == ()
    assert found.refreshed(wanted) == wanted


def test_what_was_asked_for_stays_asked_for() -> None:
    wanted = deployment(WEB)
    up = live(wanted).refreshed(wanted)
    later = running_releases.with_running_releases(wanted, up)
    assert later == up, "the next `up` without the flag changes nothing"
    assert running_releases.with_running_releases(wanted, None) == wanted
    next_version = deployment(WEB, kubernetes={"version": "1.36"})
    assert running_releases.with_running_releases(next_version, up) == next_version


def test_a_plan_names_what_changes_in_words() -> None:
    """From which release to which is said by a note: before the first refresh the state has no release."""
    changed = (
        ("eks:Nodegroup", "pool/web:nodegroup", "releaseVersion"),
        ("eks:Addon", "cluster:addon", "addonVersion"),
    )
    steps = [
        Step(
            f"urn:pulumi:e::m::meshaws:{kind}::{name}",
            f"meshaws:{kind}",
            "update",
            {},
            {path: NEW},
            (PropertyChange(path),),
        )
        for kind, name, path in changed
    ]
    assert [field.text() for each in steps for field in fields(each)] == [
        "release of the image changes",
        "version of the add-on changes",
    ]


def test_a_deployment_without_a_refresh_has_the_bytes_of_older_versions() -> None:
    assert "image_release" not in deployment(WEB).model_dump_json()
    assert "addon_versions" not in deployment(WEB).model_dump_json()


@pytest.mark.parametrize("name", ["kubernetes", "onprem", "coreweave"])
def test_other_platforms_have_nothing_to_refresh(name: str) -> None:
    assert registry.platform(name).releases is None


def test_a_live_count_is_shown_where_it_is_not_the_least() -> None:
    wanted = deployment(WEB)
    assert live(wanted).count_notes(wanted) == ("pool/web: 4 nodes now, 2..8",)
    at_least = live(wanted, group(scalingConfig={"minSize": 2, "maxSize": 8, "desiredSize": 2}))
    assert at_least.count_notes(wanted) == ()


def with_support(support: str, version: str = "1.35") -> dict[str, ApiAnswer]:
    return {"cluster": ApiAnswer({"cluster": {"version": version, "upgradePolicy": {"supportType": support}}})}


def test_c4_a_cluster_in_extended_support_is_told_with_price_and_date() -> None:
    wanted = deployment(WEB)
    [note] = live(wanted, **with_support("EXTENDED")).notes
    assert "on 2027-03-27, when standard support of Kubernetes 1.35 ends" in note
    assert "costs 0.60 instead of 0.10 USD/h (the EKS price page, as quoted by cloudburn.io" in note
    assert "2026-04-01)" in note
    assert "--name m-e --upgrade-policy supportType=STANDARD --region us-east-1`" in note
    assert live(wanted, **with_support("STANDARD")).notes == ()


def test_c4_what_the_tables_do_not_have_is_not_made_up() -> None:
    wanted = deployment(WEB).model_copy(update={"region": "cn-north-1"})
    [note] = live(wanted, **with_support("EXTENDED", "1.39")).notes
    assert "once standard support of Kubernetes 1.39 ends: its control plane costs more from then on" in note
    assert "no price for cn-north-1" in note
