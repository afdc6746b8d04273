"""What a call asks of IAM: actions, the resource of each, and the keys that conditions compare. PURE.

Called by `rights`. Written from AWS's own references and not from meshctl's table of actions
(`meshctl.platforms.aws.iam.iam_actions`): a mistake there must show here.

Sources: Service Authorization Reference (actions and resources); EKS user guide, "Using a role for nodes" and "Launch
templates" (iam:PassRole, ec2:RunInstances); EC2 user guide, "Grant permission to tag resources during creation".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.launches import Launched

_PREFIXES: Final = {"efs": "elasticfilesystem", "service-quotas": "servicequotas"}
_OF_S3: Final = {
    "HeadBucket": "ListBucket",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListParts": "ListMultipartUploadParts",
    "HeadObject": "GetObject",
    "DeleteObjects": "DeleteObject",
    "CopyObject": "PutObject",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
}
# what a resource that is made with tags needs beside its own action
_TAGGING: Final = {
    "acm": "acm:AddTagsToCertificate",
    "ec2": "ec2:CreateTags",
    "eks": "eks:TagResource",
    "fsx": "fsx:TagResource",
    "efs": "elasticfilesystem:TagResource",
    "logs": "logs:TagResource",
}


@dataclass(frozen=True)
class IamRequest:
    """One question to IAM. `keys`: condition keys and their values."""

    action: str
    resource: str
    keys: Mapping[str, str] = field(default_factory=dict)


def requests(call: Call, given: Mapping[str, Any], launched: Launched | None = None) -> Iterator[IamRequest]:
    """All that the call needs. `given`: its input, as the API names it. `launched`: what it would start."""
    keys = {"aws:RequestedRegion": call.region}
    keys |= {"iam:PolicyARN": given["PolicyArn"]} if "PolicyArn" in given else {}
    keys |= {"iam:AWSServiceName": given["AWSServiceName"]} if "AWSServiceName" in given else {}
    keys |= _of_tags(given) if call.service == "ec2" else {}
    resource = _resource(call, given)
    if call.operation != "RunInstances":  # whose resources have keys of their own
        yield IamRequest(_action(call), resource, keys)
    is_made = call.operation.startswith(("Create", "Allocate", "Authorize", "Request"))
    if is_made and call.service in _TAGGING and any(given.get(name) for name in ("tags", "Tags", "TagSpecifications")):
        yield IamRequest(_TAGGING[call.service], resource, keys)
    if call.service == "eks":
        yield from _of_eks(call, given, keys)
    if launched is not None:  # the nodes' launch template is started with the caller's rights
        for arn, own_keys in launched.resources():
            yield IamRequest("ec2:RunInstances", arn, {"aws:RequestedRegion": call.region, **own_keys})
        if launched.data.get("TagSpecifications"):
            yield IamRequest("ec2:CreateTags", "*", keys)


def _of_tags(given: Mapping[str, Any]) -> dict[str, str]:
    """Of a call that makes one resource, whose tags are those of the request."""
    tags = [tag for each in given.get("TagSpecifications") or () for tag in each.get("Tags") or ()]
    return {f"aws:RequestTag/{tag['Key']}": tag["Value"] for tag in tags}


def _action(call: Call) -> str:
    name = _OF_S3.get(call.operation, call.operation) if call.service == "s3" else call.operation
    return f"{_PREFIXES.get(call.service, call.service)}:{name}"


def _of_eks(call: Call, given: Mapping[str, Any], keys: Mapping[str, str]) -> Iterator[IamRequest]:
    """Roles are passed by the caller."""
    passed = [(given.get("nodeRole"), "ec2.amazonaws.com")]
    if call.operation == "CreateCluster":
        passed.append((given.get("roleArn"), "eks.amazonaws.com"))
    elif "roleArn" in given:
        passed.append((given["roleArn"], "pods.eks.amazonaws.com"))
    identities = given.get("podIdentityAssociations") or ()
    passed += [(identity["roleArn"], "pods.eks.amazonaws.com") for identity in identities]
    for role, service in passed:
        if role:
            yield IamRequest("iam:PassRole", str(role), {**keys, "iam:PassedToService": service})


def _resource(call: Call, given: Mapping[str, Any]) -> str:
    """Its ARN; "*" for what has no name yet, and for actions that are allowed on everything or on nothing."""
    own = given.get("resourceArn") or given.get("OpenIDConnectProviderArn")
    if own:
        return str(own)
    match call.service:
        case "eks":
            return _of_cluster(call, given)
        case "iam":
            return _of_iam(given)
        case "logs" if given.get("logGroupName"):
            return _arn("logs", call.region, f"log-group:{given['logGroupName']}")
        case "ssm" if given.get("Name"):  # of AWS's own parameters, which belong to no account
            return f"arn:aws:ssm:{call.region}::parameter{given['Name']}"
        case "route53":
            return _of_route53(call, given)
        case "s3":
            path = call.request.path.strip("/")
            path += "/*" if call.operation == "DeleteObjects" else ""  # of objects, whose keys are in its body
            return f"arn:aws:s3:::{path}" if path else "*"
        case _:
            return "*"


def _arn(service: str, region: str, rest: str) -> str:
    return f"arn:aws:{service}:{region}:{DEFAULT_ACCOUNT_ID}:{rest}"


def _of_cluster(call: Call, given: Mapping[str, Any]) -> str:
    cluster = given.get("clusterName") or given.get("name")
    kinds = (
        ("nodegroup", "nodegroupName"),
        ("addon", "addonName"),
        ("access-entry", "principalArn"),
        ("podidentityassociation", "associationId"),
    )
    if not cluster:
        return "*"
    for kind, name in kinds:
        if given.get(name) and not call.operation.startswith("Create"):
            return _arn("eks", call.region, f"{kind}/{cluster}/{given[name]}/x")
    return _arn("eks", call.region, f"cluster/{cluster}")


def _of_iam(given: Mapping[str, Any]) -> str:
    if given.get("RoleName"):
        return _arn("iam", "", f"role/{given['RoleName']}")
    if given.get("AWSServiceName"):
        return _arn("iam", "", f"role/aws-service-role/{given['AWSServiceName']}/x")
    if given.get("Url"):
        return _arn("iam", "", f"oidc-provider/{str(given['Url']).removeprefix('https://')}")
    return "*"


def _of_route53(call: Call, given: Mapping[str, Any]) -> str:
    check = given.get("HealthCheckId") or (given.get("ResourceType") == "healthcheck" and given.get("ResourceId"))
    if check:
        return f"arn:aws:route53:::healthcheck/{check}"
    id_ = str(given.get("HostedZoneId") or given.get("Id") or "").rpartition("/")[2]
    if not id_:
        return "*"
    return f"arn:aws:route53:::{'change' if call.operation == 'GetChange' else 'hostedzone'}/{id_}"
