"""Deletes the network interfaces and security groups that EKS leaves behind: they block deletion of subnets and VPC.
EDGE.

Hooks of the rows in `ec2` and `ec2_compute`. The network plugin makes interfaces for its node; of a node that ends
abruptly they stay, belong to no instance, and hold the subnet and their security groups. EKS then can't delete the
group that it made for the cluster, which holds the VPC (aws-ia/terraform-aws-eks-blueprints #376,
terraform-provider-aws #11473). The operator of WEKA makes interfaces as well, which go with their node, but for one
that it has not attached yet. All carry tags of what made them, and the VPC is the mesh's own.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from providers.aws.rows_engine.row import Context

NODES_TAG = "node.k8s.amazonaws.com/instance_id"  # on the network plugin's interfaces (terraform-aws-eks #2004)
WEKA_TAG = "weka_reason"  # on those of WEKA's operator (mbookham7/mb-weka-operator-csi-blog, README.md)
CLUSTER_TAG = "aws:eks:cluster-name"  # on the security group that EKS makes for a cluster

# what the hooks call, for `Row.hook_operations`
IDLE_INTERFACES = ("DescribeNetworkInterfaces", "DeleteNetworkInterface")
CLUSTER_GROUPS = ("DescribeSecurityGroups", "DeleteSecurityGroup")


def delete_idle_interfaces(client: Any, context: Context) -> None:
    """Those of the network plugin and of WEKA that no instance has, in this subnet or with this security group."""
    holder = "group-id" if context["id"].startswith("sg-") else "subnet-id"
    filters = [*_filters({holder: context["id"], "status": "available"}), _filter("tag-key", NODES_TAG, WEKA_TAG)]
    for page in client.get_paginator("describe_network_interfaces").paginate(Filters=filters):
        for interface in page["NetworkInterfaces"]:
            id = interface["NetworkInterfaceId"]  # noqa: A001
            _delete(client.delete_network_interface, "InvalidNetworkInterface", NetworkInterfaceId=id)


def delete_cluster_groups(client: Any, context: Context) -> None:
    """The security groups of this VPC that EKS made and could not delete."""
    filters = {"vpc-id": context["id"], "tag-key": CLUSTER_TAG}
    for page in client.get_paginator("describe_security_groups").paginate(Filters=_filters(filters)):
        for group in page["SecurityGroups"]:
            _delete(client.delete_security_group, "InvalidGroup", GroupId=group["GroupId"])


def _filters(values: dict[str, str]) -> list[dict[str, Any]]:
    return [_filter(name, value) for name, value in values.items()]


def _filter(name: str, *values: str) -> dict[str, Any]:
    """What has any of the values."""
    return {"Name": name, "Values": list(values)}


def _delete(call: Any, noun: str, **names: str) -> None:
    """What is gone meanwhile is fine; what is in use after all is told by the deletion that it holds up."""
    try:
        call(**names)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code != "DependencyViolation" and not code.startswith(noun):
            raise
