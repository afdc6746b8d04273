"""Rules of security groups, of which somebody revokes some, against an AWS API over HTTP (moto's server)."""

from __future__ import annotations

from typing import Any

from providers.plugin.provider import Created
from tests.contract.aws_bench import Bench, network

INGRESS = "meshaws:ec2:SecurityGroupIngress"


def lustre_ports(group: str) -> dict[str, Any]:
    nodes = [{"GroupId": group}]
    ports = ((988, 988), (1018, 1023))
    permissions = [
        {"IpProtocol": "tcp", "FromPort": first, "ToPort": last, "UserIdGroupPairs": nodes} for first, last in ports
    ]
    return {"GroupId": group, "IpPermissions": permissions}


def live_ports(bench: Bench) -> list[int]:
    rules = bench.api("ec2").describe_security_group_rules()["SecurityGroupRules"]
    return sorted(rule["FromPort"] for rule in rules if not rule["IsEgress"])


def revoke(bench: Bench, made: Created, port: int) -> None:
    rules = bench.api("ec2").describe_security_group_rules()["SecurityGroupRules"]
    ids = [rule["SecurityGroupRuleId"] for rule in rules if rule.get("FromPort") == port]
    bench.api("ec2").revoke_security_group_ingress(GroupId=made.id.split("|")[0], SecurityGroupRuleIds=ids)


def test_a_revoked_rule_of_several_comes_back(bench: Bench) -> None:
    wanted = lustre_ports(network(bench)["group"])
    made = bench.create(INGRESS, **wanted)
    revoke(bench, made, 988)

    assert bench.read(INGRESS, made, **wanted).id == ""

    again = bench.create(INGRESS, **wanted)
    assert live_ports(bench) == [988, 1018]
    assert set(made.id.split("|")[1:]) & set(again.id.split("|")), "the rule that was left is kept"
    assert len(again.outputs["SecurityGroupRules"]) == 2
    found = bench.read(INGRESS, again, **wanted)
    assert (found.id, found.inputs) == (again.id, wanted)


def test_a_rule_that_came_back_by_hand_is_no_conflict(bench: Bench) -> None:
    """EC2 allows no second rule like it, so it is taken over."""
    wanted = lustre_ports(network(bench)["group"])
    made = bench.create(INGRESS, **wanted)
    revoke(bench, made, 988)
    by_hand = [permission for permission in wanted["IpPermissions"] if permission["FromPort"] == 988]
    bench.api("ec2").authorize_security_group_ingress(GroupId=wanted["GroupId"], IpPermissions=by_hand)

    again = bench.create(INGRESS, **wanted)

    assert live_ports(bench) == [988, 1018]
    assert len(again.id.split("|")) == 3
    assert bench.read(INGRESS, again, **wanted).id == again.id


def test_each_network_of_a_permission_is_a_rule_of_its_own(bench: Bench) -> None:
    group = network(bench)["group"]
    ranges = [{"CidrIp": "10.1.0.0/16"}, {"CidrIp": "10.2.0.0/16"}]
    wanted = {
        "GroupId": group,
        "IpPermissions": [{"IpProtocol": "tcp", "FromPort": 2049, "ToPort": 2049, "IpRanges": ranges}],
    }
    made = bench.create(INGRESS, **wanted)
    assert len(made.id.split("|")) == 3
    bench.api("ec2").revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=made.id.split("|")[1:2])

    bench.create(INGRESS, **wanted)

    assert live_ports(bench) == [2049, 2049]


def test_the_rest_of_the_rules_is_revoked_where_one_is_gone(bench: Bench) -> None:
    wanted = lustre_ports(network(bench)["group"])
    made = bench.create(INGRESS, **wanted)
    again = bench.create(INGRESS, **wanted)  # moto's first answer names one rule of the two, this one names both
    revoke(bench, made, 988)

    bench.delete(INGRESS, again, **wanted)

    assert live_ports(bench) == []
