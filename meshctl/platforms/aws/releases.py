"""What runs on EKS at the moment, and newer releases of it: images of node groups, versions of add-ons. PURE.

Part of the platform (`meshctl.platforms.aws`). Asked in two rounds: what runs, then what there is for it.

Sources: EKS user guide, "Retrieve recommended Amazon Linux AMI IDs", and terraform-aws-eks,
modules/eks-managed-node-group/main.tf (`ssm_ami_type_to_ssm_param`), for the public parameters that hold the newest
release of each AMI type and Kubernetes version; EKS API, DescribeAddonVersions, for the default versions of add-ons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Deployment, Pool
from meshctl.model.questions import NO_ANSWER, ApiAnswer, ApiQuestion
from meshctl.model.releases import LiveAddon, LivePlatform, LivePool
from meshctl.platforms.aws import service_prices

_CLUSTER: Final = "cluster"
_ABOUT_NODES: Final = "what the node groups run"
_ABOUT_IMAGES: Final = "the newest images of nodes"
_ABOUT_ADDONS: Final = "the versions of add-ons"
_GONE: Final = ("ResourceNotFoundException", "ParameterNotFound")
# AMI type -> its place below /aws/service/eks/optimized-ami/VERSION/
_PARAMETERS: Final = {
    "AL2023_x86_64_STANDARD": "amazon-linux-2023/x86_64/standard",
    "AL2023_ARM_64_STANDARD": "amazon-linux-2023/arm64/standard",
    "AL2023_x86_64_NVIDIA": "amazon-linux-2023/x86_64/nvidia",
    "AL2023_ARM_64_NVIDIA": "amazon-linux-2023/arm64/nvidia",
}
# EKS user guide, "Create a managed node group with Capacity Blocks": an update wants a desired size of 0
_BLOCK_STAYS: Final = "EKS replaces nodes in a capacity block only while the pool has none"


def running(deployment: Deployment) -> tuple[ApiQuestion, ...]:
    """What runs."""
    cluster = deployment.cluster.name
    named = {"clusterName": cluster}
    groups = (
        ApiQuestion(
            f"nodegroup/{pool.name}",
            "eks",
            "describe_nodegroup",
            _ABOUT_NODES,
            {**named, "nodegroupName": pool.name},
            telling_codes=_GONE,
        )
        for pool in deployment.pools
    )
    addons = (
        ApiQuestion(
            f"addon/{name}",
            "eks",
            "describe_addon",
            _ABOUT_ADDONS,
            {**named, "addonName": name},
            telling_codes=_GONE,
        )
        for name in _addon_names(deployment)
    )
    of_cluster = ApiQuestion(_CLUSTER, "eks", "describe_cluster", "the cluster", {"name": cluster}, telling_codes=_GONE)
    return (of_cluster, *groups, *addons)


def newest(deployment: Deployment, answers: Mapping[str, ApiAnswer]) -> tuple[ApiQuestion, ...]:
    """What there is for what runs. `answers`: of the questions of `running`."""
    return (*_image_questions(deployment, answers), *_addon_questions(deployment, answers))


def _image_questions(deployment: Deployment, answers: Mapping[str, ApiAnswer]) -> Iterator[ApiQuestion]:
    groups = [_group(pool, answers) for pool in deployment.pools]
    for place in sorted({place for group in groups if (place := _image_place(deployment, group))}):
        yield ApiQuestion(
            place,
            "ssm",
            "get_parameter",
            _ABOUT_IMAGES,
            {"Name": parameter(place, "release_version")},
            telling_codes=_GONE,
        )


def _addon_questions(deployment: Deployment, answers: Mapping[str, ApiAnswer]) -> Iterator[ApiQuestion]:
    version = _version(answers)
    if not version or _goes_to_another(deployment, version):
        return
    for name in _addon_names(deployment):
        if _addon(name, answers):
            yield ApiQuestion(
                f"versions/{name}",
                "eks",
                "describe_addon_versions",
                _ABOUT_ADDONS,
                {"addonName": name, "kubernetesVersion": version},
            )


def live(deployment: Deployment, answers: Mapping[str, ApiAnswer]) -> LivePlatform:
    """`answers`: of the questions of both rounds, from which those may be missing that nobody got."""
    pools = (_live_pool(deployment, pool, answers) for pool in deployment.pools)
    addons = (_live_addon(name, answers) for name in _addon_names(deployment))
    return LivePlatform(
        pools=tuple(pool for pool in pools if pool is not None),
        addons=tuple(addon for addon in addons if addon is not None),
        notes=tuple(_support_notes(deployment, answers)),
        unasked=tuple(_unasked((*running(deployment), *newest(deployment, answers)), answers)),
    )


def _live_pool(deployment: Deployment, pool: Pool, answers: Mapping[str, ApiAnswer]) -> LivePool | None:
    group = _group(pool, answers)
    if not group:
        return None
    nodes = group.get("scalingConfig", {}).get("desiredSize")
    published = answers.get(_image_place(deployment, group), ApiAnswer()).content.get("Parameter", {})
    return LivePool(
        name=pool.name,
        nodes=nodes,
        image=str(group.get("releaseVersion") or ""),
        newest_image=str(published.get("Value") or ""),
        at_once=_at_once(nodes or 0, group.get("updateConfig", {})),
        image_stays=_BLOCK_STAYS if pool.market == "capacity-block" and nodes != 0 else "",
    )


def _support_notes(deployment: Deployment, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """Of a cluster that EKS does not upgrade at the end of standard support, which then costs more."""
    cluster = answers.get(_CLUSTER, ApiAnswer()).content.get("cluster", {})
    if cluster.get("upgradePolicy", {}).get("supportType") != "EXTENDED":
        return
    version, region = _version(answers), deployment.region
    end = service_prices.end_of_standard_support(version)
    when = f"on {end}, when" if end else "once"
    profile = f" --profile {deployment.profile}" if deployment.profile else ""
    yield (
        f"the cluster goes into extended support {when} standard support of Kubernetes {version} ends:"
        f" {_extended_price(region)}; `aws eks update-cluster-config --name {deployment.cluster.name} --upgrade-policy"
        f" supportType=STANDARD --region {region}{profile}` has EKS upgrade it then instead"
    )


def _extended_price(region: str) -> str:
    standard = service_prices.row("eks", region)
    extended = service_prices.row("eks-extended-support", region)
    if standard is None or extended is None:
        return f"its control plane costs more from then on (meshctl has no price for {region})"
    return (
        f"its control plane then costs {extended.usd_per_hour:.2f} instead of {standard.usd_per_hour:.2f} USD/h"
        f" ({extended.source}, {extended.date})"
    )


def _live_addon(name: str, answers: Mapping[str, ApiAnswer]) -> LiveAddon | None:
    addon = _addon(name, answers)
    if not addon:
        return None
    content = answers.get(f"versions/{name}", ApiAnswer()).content
    versions = [version for each in content.get("addons", []) for version in each.get("addonVersions", [])]
    by_default = (
        each["addonVersion"]
        for each in versions
        if any(compatible.get("defaultVersion") for compatible in each.get("compatibilities", []))
    )
    return LiveAddon(name, str(addon.get("addonVersion") or ""), next(by_default, ""))


def _at_once(nodes: int, update_config: Mapping[str, int]) -> int:
    """EKS API, NodegroupUpdateConfig: a number or a percentage of nodes, at most 100."""
    percentage = update_config.get("maxUnavailablePercentage", 0)
    return min(math.ceil(nodes * percentage / 100) or update_config.get("maxUnavailable", 1), 100)


def _group(pool: Pool, answers: Mapping[str, ApiAnswer]) -> Mapping[str, Any]:
    group: Mapping[str, Any] = answers.get(f"nodegroup/{pool.name}", ApiAnswer()).content.get("nodegroup", {})
    return group


def _addon(name: str, answers: Mapping[str, ApiAnswer]) -> Mapping[str, Any]:
    addon: Mapping[str, Any] = answers.get(f"addon/{name}", ApiAnswer()).content.get("addon", {})
    return addon


def _version(answers: Mapping[str, ApiAnswer]) -> str:
    return str(answers.get(_CLUSTER, ApiAnswer()).content.get("cluster", {}).get("version") or "")


def _goes_to_another(deployment: Deployment, running_version: str) -> bool:
    """Whether environments.yaml asks for another Kubernetes version, which brings releases of its own."""
    return deployment.cluster.version_asked and deployment.cluster.version != running_version


def _image_place(deployment: Deployment, group: Mapping[str, Any]) -> str:
    """Below which parameter the newest release of the group's image stands; "" where it has none."""
    version = str(group.get("version") or "")
    return "" if _goes_to_another(deployment, version) else image_place(version, str(group.get("amiType")))


def image_place(version: str, ami_type: str) -> str:
    """Below which parameters AWS describes the images of an AMI type for a Kubernetes version; "" where it has none."""
    image = _PARAMETERS.get(ami_type, "")
    return f"{version}/{image}" if version and image else ""


def parameter(place: str, name: str) -> str:
    """The parameter with the `image_id` or the `release_version` of the newest image. `place`: of `image_place`."""
    return f"/aws/service/eks/optimized-ami/{place}/recommended/{name}"


def _addon_names(deployment: Deployment) -> tuple[str, ...]:
    from stacks.aws.cluster import addon_names  # with the Pulumi SDK: only for what is up

    return addon_names(deployment)


def _unasked(questions: tuple[ApiQuestion, ...], answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """What AWS did not say, with its code; each kind of it once."""
    codes: dict[str, str] = {}
    for question in questions:
        answer = answers.get(question.name)
        if answer is not None and question.is_unanswered(answer):
            codes.setdefault(question.about, answer.code)
    for about, code in codes.items():
        reason = "it did not answer in time" if code == NO_ANSWER else f"it refused the question ({code})"
        yield f"AWS was not asked about {about}: {reason}"
