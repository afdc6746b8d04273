"""EC2: security groups, placement groups, launch templates. PURE.

The rules of security groups are in `security_group_rules`. Source: EC2 API reference, API version 2016-11-15.
"""

from __future__ import annotations

from typing import Any

from providers.aws.rows.ec2 import ending, making, tagged
from providers.aws.rows.leftovers import IDLE_INTERFACES, delete_idle_interfaces
from providers.aws.rows_engine.row import Adopt, Call, Context, Poll, Row, Setting

SECURITY_GROUP = Row(
    "meshaws:ec2:SecurityGroup",
    "ec2",
    "EC2 API CreateSecurityGroup",
    create=making("CreateSecurityGroup"),
    id="answer.GroupId",
    read=Call("DescribeSecurityGroups", {"GroupIds": "[id]"}, path="SecurityGroups[0]"),
    delete=ending("DeleteSecurityGroup", "GroupId"),
    before_delete=(delete_idle_interfaces,),
    hook_operations=IDLE_INTERFACES,
    adopt=Adopt(
        by="name",
        exists=("InvalidGroup.Duplicate",),
        first=True,
        find=Call(
            "DescribeSecurityGroups",
            {"Filters": "[{Name: 'group-name', Values: [inputs.GroupName]}, {Name: 'vpc-id', Values: [inputs.VpcId]}]"},
            path="SecurityGroups",
        ),
        id="GroupId",
    ),
    not_found=("InvalidGroup.NotFound", "InvalidGroupId.NotFound"),
    required=("VpcId",),
    tags=tagged("security-group"),
    noise=("IpPermissions", "IpPermissionsEgress"),  # resources of their own
)

PLACEMENT_GROUP = Row(
    "meshaws:ec2:PlacementGroup",
    "ec2",
    "EC2 API CreatePlacementGroup",
    create=making("CreatePlacementGroup"),
    id="inputs.GroupName",
    read=Call("DescribePlacementGroups", {"GroupNames": "[id]"}, path="PlacementGroups[0]"),
    delete=ending("DeletePlacementGroup", "GroupName"),
    adopt=Adopt(by="name", exists=("InvalidPlacementGroup.Duplicate",)),
    not_found=("InvalidPlacementGroup.Unknown",),
    required=("GroupName",),
    tags=tagged("placement-group", "[outputs.GroupId]"),
    ready=Poll("State", ok=("available",), every_s=2, timeout_s=120),
    gone=Poll("State", ok=("deleted",), timeout_s=300),
)


def _version_data(context: Context) -> Any:
    return context["inputs"]["LaunchTemplateData"]


LAUNCH_TEMPLATE = Row(
    "meshaws:ec2:LaunchTemplate",
    "ec2",
    "EC2 API CreateLaunchTemplate, CreateLaunchTemplateVersion",
    create=making("CreateLaunchTemplate"),
    id="answer.LaunchTemplate.LaunchTemplateId",
    read=Call("DescribeLaunchTemplates", {"LaunchTemplateIds": "[id]"}, path="LaunchTemplates[0]"),
    delete=ending("DeleteLaunchTemplate", "LaunchTemplateId"),
    adopt=Adopt(
        by="name",
        exists=("InvalidLaunchTemplateName.AlreadyExistsException",),
        find=Call(
            "DescribeLaunchTemplates",
            {"Filters": "[{Name: 'launch-template-name', Values: [inputs.LaunchTemplateName]}]"},
            path="LaunchTemplates",
        ),
        id="LaunchTemplateId",
    ),
    not_found=("InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException"),
    hidden=("Operator",),
    settings=(
        Setting(
            ("LaunchTemplateData", "VersionDescription"),
            (
                Call(
                    "CreateLaunchTemplateVersion",
                    {
                        "LaunchTemplateId": "id",
                        "LaunchTemplateData": _version_data,
                        "VersionDescription": "inputs.VersionDescription",
                    },
                ),
                Call(
                    "ModifyLaunchTemplate",
                    {
                        "LaunchTemplateId": "id",
                        "DefaultVersion": "to_string(answer.LaunchTemplateVersion.VersionNumber)",
                    },
                ),
            ),
            get=Call(
                "DescribeLaunchTemplateVersions",
                {"LaunchTemplateId": "id", "Versions": "['$Default']"},
                path="LaunchTemplateVersions[0].LaunchTemplateData",
            ),
        ),
    ),
    tags=tagged("launch-template"),
    volatile=("LatestVersionNumber", "DefaultVersionNumber"),
)


ROWS: tuple[Row, ...] = (
    SECURITY_GROUP,
    PLACEMENT_GROUP,
    LAUNCH_TEMPLATE,
)
