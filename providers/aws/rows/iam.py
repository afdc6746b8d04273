"""IAM: roles, their policies, OpenID Connect providers. Source: IAM API reference, API version 2010-05-08. PURE.

Policy documents may be given as an object or as JSON text.
"""

from __future__ import annotations

from typing import Any

from meshwire.marks import REGION_TAG
from providers.aws.rows_engine.row import Adopt, Call, Context, Row, Setting, Tags

NOT_FOUND = ("NoSuchEntity", "NoSuchEntityException")
TAKEN = ("EntityAlreadyExists", "EntityAlreadyExistsException")
BUSY = ("ConcurrentModification*", "DeleteConflict*")


def _tags_with_region(context: Context) -> Any:
    """With the region of the stack, which the owner tag does not say: see `adopt`."""
    region = context["region"]
    return [*context["tag_list"], *([{"Key": REGION_TAG, "Value": region}] if region else [])]


ROLE = Row(
    "meshaws:iam:Role",
    "iam",
    "IAM API CreateRole",
    create=Call("CreateRole", forward=True, transient=BUSY),
    id="inputs.RoleName",
    read=Call("GetRole", {"RoleName": "id"}, path="Role"),
    delete=Call("DeleteRole", {"RoleName": "id"}, transient=BUSY, patience_s=60),
    adopt=Adopt(by="name", exists=TAKEN),
    not_found=NOT_FOUND,
    settings=(
        Setting(
            ("AssumeRolePolicyDocument",),
            (
                Call(
                    "UpdateAssumeRolePolicy",
                    {"RoleName": "id", "PolicyDocument": "inputs.AssumeRolePolicyDocument"},
                    # a principal made a moment ago may not be known yet
                    transient=("MalformedPolicyDocument*:Invalid principal",),
                ),
            ),
        ),
        Setting(
            ("Description", "MaxSessionDuration"),
            (
                Call(
                    "UpdateRole",
                    {
                        "RoleName": "id",
                        "Description": "inputs.Description || ''",
                        "MaxSessionDuration": "inputs.MaxSessionDuration",
                    },
                ),
            ),
        ),
        Setting(
            ("PermissionsBoundary",),
            (
                Call(
                    "PutRolePermissionsBoundary",
                    {"RoleName": "id", "PermissionsBoundary": "inputs.PermissionsBoundary"},
                ),
            ),
            clear=Call("DeleteRolePermissionsBoundary", {"RoleName": "id"}, tolerate=NOT_FOUND),
        ),
    ),
    tags=Tags(
        create={"Tags": _tags_with_region},
        put=Call("TagRole", {"RoleName": "id", "Tags": "put_tag_list"}),
        remove=Call("UntagRole", {"RoleName": "id", "TagKeys": "gone_tag_keys"}),
    ),
    observe={"PermissionsBoundary": "PermissionsBoundary.PermissionsBoundaryArn"},
    noise=("RoleLastUsed",),
)

ROLE_POLICY = Row(
    "meshaws:iam:RolePolicy",
    "iam",
    "IAM API PutRolePolicy",
    create=Call("PutRolePolicy", forward=True),
    id="join('|', [inputs.RoleName, inputs.PolicyName])",
    read=Call("GetRolePolicy", {"RoleName": "parts[0]", "PolicyName": "parts[1]"}),
    delete=Call("DeleteRolePolicy", {"RoleName": "parts[0]", "PolicyName": "parts[1]"}),
    adopt=Adopt(by="upsert"),
    not_found=NOT_FOUND,
    settings=(Setting(("PolicyDocument",), (Call("PutRolePolicy", forward=True),)),),
)

ROLE_POLICY_ATTACHMENT = Row(
    "meshaws:iam:RolePolicyAttachment",
    "iam",
    "IAM API AttachRolePolicy",
    create=Call("AttachRolePolicy", forward=True),
    id="join('|', [inputs.RoleName, inputs.PolicyArn])",
    read=Call(
        "ListAttachedRolePolicies",
        {"RoleName": "parts[0]"},
        path="AttachedPolicies[?PolicyArn==${parts[1]}] | [0]",
        paginate=True,
    ),
    delete=Call("DetachRolePolicy", {"RoleName": "parts[0]", "PolicyArn": "parts[1]"}),
    adopt=Adopt(by="upsert"),
    not_found=NOT_FOUND,
)


def _host(context: Context) -> Any:
    """`https://oidc.eks…/id/X` -> `oidc.eks…/id/X`: the end of the provider's ARN."""
    return str(context["inputs"]["Url"]).removeprefix("https://").rstrip("/")


OPEN_ID_CONNECT_PROVIDER = Row(
    "meshaws:iam:OpenIDConnectProvider",
    "iam",
    "IAM API CreateOpenIDConnectProvider",
    create=Call("CreateOpenIDConnectProvider", forward=True, transient=BUSY),
    id="answer.OpenIDConnectProviderArn",
    read=Call(
        "GetOpenIDConnectProvider",
        {"OpenIDConnectProviderArn": "id"},
    ),
    delete=Call("DeleteOpenIDConnectProvider", {"OpenIDConnectProviderArn": "id"}),
    adopt=Adopt(
        by="name",
        exists=TAKEN,
        find=Call(
            "ListOpenIDConnectProviders",
            path="OpenIDConnectProviderList[?ends_with(Arn, ${url_host})]",
        ),
        id="Arn",
    ),
    not_found=NOT_FOUND,
    settings=(
        Setting(
            ("ThumbprintList",),
            (
                Call(
                    "UpdateOpenIDConnectProviderThumbprint",
                    {"OpenIDConnectProviderArn": "id", "ThumbprintList": "inputs.ThumbprintList"},
                ),
            ),
        ),
    ),
    tags=Tags(
        create={"Tags": "tag_list"},
        get=Call("ListOpenIDConnectProviderTags", {"OpenIDConnectProviderArn": "id"}, path="Tags"),
        put=Call("TagOpenIDConnectProvider", {"OpenIDConnectProviderArn": "id", "Tags": "put_tag_list"}),
        remove=Call("UntagOpenIDConnectProvider", {"OpenIDConnectProviderArn": "id", "TagKeys": "gone_tag_keys"}),
    ),
    observe={"Url": "join('', ['https://', Url])"},
    derived={"url_host": _host},
)

ROWS: tuple[Row, ...] = (ROLE, ROLE_POLICY, ROLE_POLICY_ATTACHMENT, OPEN_ID_CONNECT_PROVIDER)
