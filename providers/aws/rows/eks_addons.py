"""EKS: add-ons, whose inputs are named as in `eks`. Source: EKS API reference, version 2017-11-01. PURE."""

from __future__ import annotations

from typing import Any

from providers.aws.rows import addon_nodes
from providers.aws.rows.eks import BUSY, NOT_FOUND, ROLE_SOON, TAKEN, tags_of, update_done
from providers.aws.rows_engine.row import Adopt, Call, Context, OneWay, Param, Poll, Row, Setting

ADDON_NAMES: dict[str, Param] = {"clusterName": "parts[0]", "addonName": "parts[1]"}

ADDON_UPDATE = update_done(name="parts[0]", addonName="parts[1]")


def _is_more_than_a_version_that_goes(context: Context) -> Any:
    """Nothing where all that changes is that no version is named any more: what runs stays."""
    new, old = context["inputs"], context["old_inputs"]
    others = ("configurationValues", "serviceAccountRoleArn", "resolveConflicts")
    return new.get("addonVersion") or any(new.get(name) != old.get(name) for name in others) or None


def _issues(description: Any) -> str:
    """What the add-on lacks, as EKS says it: code and message of each issue."""
    issues = (description.get("health") or {}).get("issues") or []
    return "; ".join(f"{issue.get('code')}: {issue.get('message')}" for issue in issues)


ADDON = Row(
    "meshaws:eks:Addon",
    "eks",
    "EKS API CreateAddon",
    create=Call("CreateAddon", forward=True, transient=ROLE_SOON),
    id="join('|', [inputs.clusterName, inputs.addonName])",
    read=Call("DescribeAddon", ADDON_NAMES, path="addon"),
    delete=Call("DeleteAddon", ADDON_NAMES),
    adopt=Adopt(by="name", exists=TAKEN),
    not_found=NOT_FOUND,
    settings=(
        Setting(
            ("addonVersion", "configurationValues", "serviceAccountRoleArn", "resolveConflicts"),
            (
                Call(
                    "UpdateAddon",
                    {
                        **ADDON_NAMES,
                        "addonVersion": "inputs.addonVersion",
                        "configurationValues": "inputs.configurationValues",
                        "serviceAccountRoleArn": "inputs.serviceAccountRoleArn",
                        "resolveConflicts": "inputs.resolveConflicts",
                    },
                    when=_is_more_than_a_version_that_goes,
                    transient=BUSY,
                    patience_s=900,
                ),
            ),
            wait=ADDON_UPDATE,
        ),
        # EKS leaves add-ons as they are when the cluster goes up: they go to the new version's default, with the
        # settings that they have: an update that overwrites and names none goes back to the defaults of the add-on
        Setting(
            ("kubernetesVersion",),
            (
                Call(
                    "DescribeAddonVersions",
                    {"addonName": "parts[1]", "kubernetesVersion": "inputs.kubernetesVersion"},
                    path="addons[0].addonVersions[?compatibilities[?defaultVersion]] | [0]",
                    when="inputs.kubernetesVersion",
                ),
                Call(
                    "DescribeAddon",
                    ADDON_NAMES,
                    path="addon.{addonVersion: ${answer.addonVersion}, configurationValues: configurationValues}",
                    when="answer.addonVersion",
                ),
                Call(
                    "UpdateAddon",
                    {
                        **ADDON_NAMES,
                        "addonVersion": "answer.addonVersion",
                        "configurationValues": "answer.configurationValues",
                        "resolveConflicts": "inputs.resolveConflicts",
                    },
                    when="inputs.kubernetesVersion",
                    transient=BUSY,
                    patience_s=900,
                ),
            ),
            wait=ADDON_UPDATE,
        ),
    ),
    extra_inputs=("kubernetesVersion",),
    tags=tags_of("addonArn"),
    # DEGRADED is right for an add-on with pods while no node takes them (InsufficientNumberOfReplicas). With such a
    # node CoreDNS is waited for: what comes next needs it, and would fail much later, without a word of the reason.
    ready=Poll(
        "status",
        ok=("ACTIVE",),
        lacking=("DEGRADED",),
        comes=addon_nodes.is_worth_a_wait,
        missing=_issues,
        fail=("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED"),
        code="health.issues[0].code",
        reason="join('; ', health.issues[].message)",
        every_s=10,
        timeout_s=1200,
    ),
    gone=Poll("status", fail=("DELETE_FAILED",), every_s=10, timeout_s=900),
    broken=("CREATE_FAILED",),
    optional_operations=addon_nodes.OPERATIONS,
    noise=("modifiedAt", "health"),
    opaque=("resolveConflicts", "podIdentityAssociations", "kubernetesVersion"),
    one_way=(OneWay("addonVersion"),),
)

ROWS: tuple[Row, ...] = (ADDON,)
