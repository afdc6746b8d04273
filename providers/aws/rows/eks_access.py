"""EKS: who may use a cluster, and which roles its pods have. Source: EKS API reference, API version 2017-11-01. PURE.

Inputs are named as the API names them, as in `eks`.
"""

from __future__ import annotations

from providers.aws.rows.eks import NOT_FOUND, ROLE_SOON, TAKEN, tags_of
from providers.aws.rows_engine.row import Adopt, Call, Param, Row, Setting, Tags

ENTRY_NAMES: dict[str, Param] = {"clusterName": "parts[0]", "principalArn": "parts[1]"}

ACCESS_ENTRY = Row(
    "meshaws:eks:AccessEntry",
    "eks",
    "EKS API CreateAccessEntry",
    create=Call("CreateAccessEntry", forward=True, transient=("InvalidParameterException:principal",)),
    id="join('|', [inputs.clusterName, inputs.principalArn])",
    read=Call("DescribeAccessEntry", ENTRY_NAMES, path="accessEntry"),
    delete=Call("DeleteAccessEntry", ENTRY_NAMES),
    # the entry that EKS made for whoever made the cluster carries no tag, and is in a cluster of our own
    adopt=Adopt(by="name", exists=TAKEN, proof=lambda _client, _context: True),
    not_found=NOT_FOUND,
    settings=(
        Setting(
            ("kubernetesGroups", "username"),
            (
                Call(
                    "UpdateAccessEntry",
                    {
                        **ENTRY_NAMES,
                        "kubernetesGroups": "inputs.kubernetesGroups || `[]`",
                        "username": "inputs.username",
                    },
                ),
            ),
        ),
    ),
    tags=tags_of("accessEntryArn"),
    noise=("modifiedAt",),
)

ACCESS_POLICY_ASSOCIATION = Row(
    "meshaws:eks:AccessPolicyAssociation",
    "eks",
    "EKS API AssociateAccessPolicy",
    create=Call("AssociateAccessPolicy", forward=True, transient=("ResourceNotFoundException:principal",)),
    id="join('|', [inputs.clusterName, inputs.principalArn, inputs.policyArn])",
    read=Call(
        "ListAssociatedAccessPolicies",
        ENTRY_NAMES,
        path="associatedAccessPolicies[?policyArn==${parts[2]}] | [0]",
        paginate=True,
    ),
    delete=Call("DisassociateAccessPolicy", {**ENTRY_NAMES, "policyArn": "parts[2]"}),
    adopt=Adopt(by="upsert"),
    not_found=NOT_FOUND,
    settings=(Setting(("accessScope",), (Call("AssociateAccessPolicy", forward=True),)),),
    noise=("modifiedAt",),
)

POD_IDENTITY_NAMES: dict[str, Param] = {"clusterName": "parts[0]", "associationId": "parts[1]"}

# The user guide ("Learn how EKS Pod Identity grants pods access") gives an association some seconds to be known
# everywhere. A pod admitted before has no credentials, and gets none when its containers start again.
ASSOCIATION_SETTLES_S = 15.0

POD_IDENTITY_ASSOCIATION = Row(
    "meshaws:eks:PodIdentityAssociation",
    "eks",
    "EKS API CreatePodIdentityAssociation",
    create=Call("CreatePodIdentityAssociation", forward=True, transient=ROLE_SOON),
    id="join('|', [inputs.clusterName, answer.association.associationId])",
    read=Call("DescribePodIdentityAssociation", POD_IDENTITY_NAMES, path="association"),
    delete=Call("DeletePodIdentityAssociation", POD_IDENTITY_NAMES),
    adopt=Adopt(
        by="name",
        exists=TAKEN,
        find=Call(
            "ListPodIdentityAssociations",
            {
                "clusterName": "inputs.clusterName",
                "namespace": "inputs.namespace",
                "serviceAccount": "inputs.serviceAccount",
            },
            path="associations",
        ),
        id="join('|', [inputs.clusterName, associationId])",
    ),
    not_found=NOT_FOUND,
    settings=(
        Setting(
            ("roleArn", "targetRoleArn", "disableSessionTags"),
            (
                Call(
                    "UpdatePodIdentityAssociation",
                    {
                        **POD_IDENTITY_NAMES,
                        "roleArn": "inputs.roleArn",
                        "targetRoleArn": "inputs.targetRoleArn",
                        "disableSessionTags": "inputs.disableSessionTags",
                    },
                    transient=ROLE_SOON,
                ),
            ),
        ),
    ),
    tags=Tags(
        create={"tags": "tags"},
        path="tags",
        get=Call("DescribePodIdentityAssociation", POD_IDENTITY_NAMES, path="association.tags"),
        put=Call("TagResource", {"resourceArn": "outputs.associationArn", "tags": "put_tags"}),
        remove=Call("UntagResource", {"resourceArn": "outputs.associationArn", "tagKeys": "gone_tag_keys"}),
    ),
    settle_s=ASSOCIATION_SETTLES_S,
    noise=("modifiedAt",),
)

ROWS: tuple[Row, ...] = (ACCESS_ENTRY, ACCESS_POLICY_ASSOCIATION, POD_IDENTITY_ASSOCIATION)
