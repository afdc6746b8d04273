"""ARNs of what the stack did not make: AWS's own policies, and buckets by name. Called by `cluster` and `storage`."""

from __future__ import annotations

from typing import Final

from meshctl.model.deployment import Deployment

# Regions outside the partition `aws`, by how they start (botocore/data/partitions.json, `regionRegex`)
_PARTITIONS: Final = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}


def partition(region: str) -> str:
    """The part of AWS that the region belongs to: `aws`, `aws-us-gov`, `aws-cn`, …"""
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def managed_policy(deployment: Deployment, name: str) -> str:
    """A policy that AWS itself writes, e.g. `AmazonEKSClusterPolicy`."""
    return f"arn:{partition(deployment.region)}:iam::aws:policy/{name}"


def cluster_admin_policy(deployment: Deployment) -> str:
    """The access policy of EKS that lets a principal do everything in a cluster."""
    return f"arn:{partition(deployment.region)}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"


def bucket(deployment: Deployment, name: str) -> str:
    return f"arn:{partition(deployment.region)}:s3:::{name}"
