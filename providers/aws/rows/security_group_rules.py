"""EC2: the rules of security groups. Source: EC2 API reference, API version 2016-11-15. EDGE (its hooks call EC2).

One resource is all the rules that its `IpPermissions` make: one for each group, network or prefix list in each
permission. Some of them may be revoked by hand. Then the resource counts as gone, and the create that follows finds the
rules that are left by their tag and adds the others. Asked for a list of rules of which one is missing, EC2 answers
"not found" for all; so the rules are read by their group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from meshwire.marks import OWNER_TAG
from providers.aws.rows.ec2 import making, tagged
from providers.aws.rows_engine.row import Adopt, Call, Context, Hook, Row

_PEERS = {
    "UserIdGroupPairs": "GroupId",
    "IpRanges": "CidrIp",
    "Ipv6Ranges": "CidrIpv6",
    "PrefixListIds": "PrefixListId",
}
_GONE = ("InvalidSecurityGroupRuleId.NotFound", "InvalidGroup.NotFound", "InvalidPermission.NotFound")
# the other way to write a rule: `IpPermissions` says the same, and more than one
_OF_A_SINGLE_RULE = (
    "CidrIp",
    "FromPort",
    "GroupName",
    "IpProtocol",
    "SourceSecurityGroupName",
    "SourceSecurityGroupOwnerId",
    "ToPort",
)
# how many rules the inputs make; an import has no inputs yet, and takes what it finds
_WANTED = "length(not_null(inputs.IpPermissions, `[]`)[].[UserIdGroupPairs, IpRanges, Ipv6Ranges, PrefixListIds][][])"


def security_group_rules(way: str) -> Row:
    direction = "IsEgress==`true`" if way == "Egress" else "IsEgress==`false`"
    tagged_as_ours = "contains(not_null(Tags, `[]`)[].Value, ${owner})"
    ours = f"SecurityGroupRules[?{direction} && {tagged_as_ours}]"
    known_rules = f"SecurityGroupRules[?{direction} && (contains(${{id}}, SecurityGroupRuleId) || {tagged_as_ours})]"
    all_rules = f"SecurityGroupRules && length(SecurityGroupRules) >= to_number(${{{_WANTED}}})"
    return Row(
        f"meshaws:ec2:SecurityGroup{way}",
        "ec2",
        f"EC2 API AuthorizeSecurityGroup{way}",
        create=making(f"AuthorizeSecurityGroup{way}"),
        id="join('|', [inputs.GroupId, join('|', answer.SecurityGroupRules[].SecurityGroupRuleId)])",
        read=Call(
            "DescribeSecurityGroupRules",
            {"Filters": "[{Name: 'group-id', Values: [parts[0]]}]"},
            path=f"[{{SecurityGroupRules: {known_rules}, Tags: {known_rules} | [0].Tags}}][?{all_rules}] | [0]",
            paginate=True,
        ),
        delete=Call(f"RevokeSecurityGroup{way}", {"GroupId": "parts[0]", "SecurityGroupRuleIds": "parts[1:]"}),
        before_delete=(_revoke_all(way),),
        adopt=Adopt(
            by="tag",
            first=True,
            find=Call(
                "DescribeSecurityGroupRules",
                {"Filters": "[{Name: 'group-id', Values: [inputs.GroupId]}]"},
                path=f"[{{Tags: {ours}[] | [0].Tags, Rules: {ours}[]}}]",
                paginate=True,
            ),
            id="join('|', [inputs.GroupId, join('|', Rules[].SecurityGroupRuleId)])",
            complete=_add_the_missing(way),
        ),
        not_found=_GONE,
        hidden=_OF_A_SINGLE_RULE,
        required=("GroupId", "IpPermissions"),
        tags=tagged("security-group-rule", "parts[1:]"),
        opaque=("GroupId", "IpPermissions"),
        computed=("SecurityGroupRules",),
    )


def _add_the_missing(way: str) -> Hook:
    """A rule that somebody made by hand in its place is taken over: EC2 allows no second one."""

    def add(client: Any, context: Context) -> None:
        group = context["parts"][0]
        authorize = (
            client.authorize_security_group_egress if way == "Egress" else client.authorize_security_group_ingress
        )
        live = {_key_of_rule(rule): rule for rule in _rules(client, group, way)}
        for permission in single_rules(context["inputs"]["IpPermissions"]):
            rule = live.get(_key_of_permission(permission))
            if rule is None:
                tags = [{"ResourceType": "security-group-rule", "Tags": context["tag_list"]}]
                with _unless_there(client):
                    authorize(GroupId=group, IpPermissions=[permission], TagSpecifications=tags)
            elif not _is_ours(rule, context):
                client.create_tags(Resources=[rule["SecurityGroupRuleId"]], Tags=context["tag_list"])

    return add


def _revoke_all(way: str) -> Hook:
    """Where the rules are others than those of the id, since some are gone: EC2 refuses to revoke a list with them."""

    def revoke(client: Any, context: Context) -> None:
        group, *ids = context["parts"]
        live = [
            rule["SecurityGroupRuleId"]
            for rule in _rules(client, group, way)
            if rule["SecurityGroupRuleId"] in ids or _is_ours(rule, context)
        ]
        if live and set(live) != set(ids):
            call = client.revoke_security_group_egress if way == "Egress" else client.revoke_security_group_ingress
            call(GroupId=group, SecurityGroupRuleIds=live)

    return revoke


def _rules(client: Any, group: str, way: str) -> list[dict[str, Any]]:
    filters = [{"Name": "group-id", "Values": [group]}]
    pages = client.get_paginator("describe_security_group_rules").paginate(Filters=filters)
    return [rule for page in pages for rule in page["SecurityGroupRules"] if rule["IsEgress"] == (way == "Egress")]


@contextmanager
def _unless_there(client: Any) -> Iterator[None]:
    """What somebody else makes at the same time is fine."""
    try:
        yield
    except client.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != "InvalidPermission.Duplicate":
            raise


def _is_ours(rule: Mapping[str, Any], context: Context) -> bool:
    return {"Key": OWNER_TAG, "Value": context["owner"]} in (rule.get("Tags") or [])


def single_rules(permissions: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Permissions of one rule each: EC2 makes a rule for every group, network and prefix list in a permission."""
    for permission in permissions:
        ports = {key: value for key, value in permission.items() if key not in _PEERS}
        for kind in _PEERS:
            for peer in permission.get(kind) or ():
                yield {**ports, kind: [peer]}


def _key_of_permission(permission: Mapping[str, Any]) -> tuple[str, ...]:
    peer = next(permission[kind][0][member] for kind, member in _PEERS.items() if kind in permission)
    return _key(permission, peer)


def _key_of_rule(rule: Mapping[str, Any]) -> tuple[str, ...]:
    group = (rule.get("ReferencedGroupInfo") or {}).get("GroupId")
    return _key(rule, group or rule.get("CidrIpv4") or rule.get("CidrIpv6") or rule.get("PrefixListId"))


def _key(source: Mapping[str, Any], peer: Any) -> tuple[str, ...]:
    """What makes two rules the same for EC2. It describes "no port" as -1, which a permission leaves out."""
    ports = [-1 if source.get(name) is None else int(source[name]) for name in ("FromPort", "ToPort")]
    return (str(source["IpProtocol"]), str(ports), str(peer))


ROWS: tuple[Row, ...] = (security_group_rules("Ingress"), security_group_rules("Egress"))
