"""An environment moves its own names and new ones, never another's."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from meshctl.dns.records import (
    after_cutover,
    after_destroy,
    after_up,
    dns_changes,
    leading_to_splits,
    records_in_state,
    with_splits,
)
from meshctl.model.deployment import Endpoint
from meshctl.model.dns_splits import Side, Split
from meshctl.model.environment import Dns
from meshctl.model.stack_state import STACK_TYPE, StackState
from stacks.edge import DnsRecord, record_type
from tests.unit import states
from tests.unit.deployments import deployment

DNS = Dns.model_validate({"provider": "route53", "zone": "example.com", "ttl": "30s"})
CHAT_EAST = DnsRecord("chat.example.com", "aws-east", "10.0.0.1", 30, "example.com", "Z1")
EAST = {"chat": "10.0.0.1"}
TALK = Endpoint(name="talk", host="chat.example.com", workload="chat", port="http")


def test_a_new_name_points_at_the_first_environment_that_is_up() -> None:
    assert after_up(deployment("aws-east"), {}, EAST, DNS) == {"chat": replace(CHAT_EAST, zone_id="")}


def test_another_environment_leaves_the_name_alone() -> None:
    assert after_up(deployment("cw"), {"chat": CHAT_EAST}, {"chat": "10.9.9.9"}, DNS) == {"chat": CHAT_EAST}
    renamed = deployment("cw", endpoints=(TALK,))
    assert after_up(renamed, {"chat": CHAT_EAST}, {"talk": "10.9.9.9"}, DNS) == {"chat": CHAT_EAST}
    assert after_up(deployment("cw", endpoints=()), {"chat": CHAT_EAST}, {}, DNS) == {"chat": CHAT_EAST}


def test_a_name_of_a_paused_workload_waits_and_the_others_do_not() -> None:
    both = deployment(endpoints=(TALK, Endpoint(name="web", host="web.example.com", workload="site", port="http")))
    paused = both.paused(frozenset({"chat"}))
    addresses = {"talk": "10.0.0.9", "web": "10.0.0.2"}
    assert list(after_up(both, {}, addresses, DNS)) == ["talk", "web"]
    assert list(after_up(paused, {}, addresses, DNS)) == ["web"]
    assert [change.subject for change in dns_changes(paused, {}, addresses, DNS)] == ["endpoint/web"]
    (name, record), _ = after_up(paused, {"chat": CHAT_EAST}, addresses, DNS).items()
    assert (name, record) == ("chat", CHAT_EAST)


def test_a_cutover_moves_the_name() -> None:
    after = after_cutover(deployment("cw"), {"chat": CHAT_EAST}, {"chat": "10.9.9.9"}, DNS)
    assert after == {"chat": replace(CHAT_EAST, environment="cw", address="10.9.9.9")}
    after = after_cutover(deployment("cw", endpoints=(TALK,)), {"chat": CHAT_EAST}, {"talk": "10.9.9.9"}, DNS)
    assert after == {"talk": replace(CHAT_EAST, environment="cw", address="10.9.9.9")}


def test_destroying_an_environment_takes_only_its_names() -> None:
    assert after_destroy("cw", {"chat": CHAT_EAST}) == {"chat": CHAT_EAST}
    assert after_destroy("aws-east", {"chat": CHAT_EAST}) == {}


def test_a_plan_shows_a_name_that_would_be_set_or_moved() -> None:
    current = {"chat": CHAT_EAST}
    assert [change.action for change in dns_changes(deployment("aws-east"), {}, {}, DNS)] == ["create"]
    assert dns_changes(deployment("aws-east"), current, EAST, DNS) == ()
    assert dns_changes(deployment("cw"), current, {"chat": "10.9.9.9"}, DNS) == ()
    (change,) = dns_changes(deployment("aws-east"), current, {"chat": "10.0.0.2"}, DNS)
    assert (change.fields[0].old, change.fields[0].new) == ("10.0.0.1", "10.0.0.2")


def test_a_name_that_the_mesh_no_longer_has_goes_with_the_next_up_of_its_environment() -> None:
    bare = deployment("aws-east", endpoints=())
    assert after_up(bare, {"chat": CHAT_EAST}, {}, DNS) == {}
    (change,) = dns_changes(bare, {"chat": CHAT_EAST}, {}, DNS)
    assert (change.subject, change.action) == ("endpoint/chat", "delete")


def test_a_renamed_endpoint_keeps_its_record() -> None:
    renamed = deployment("aws-east", endpoints=(TALK,))
    for addresses in ({"talk": "10.0.0.1"}, {}):  # not known while a workload is paused
        assert after_up(renamed, {"chat": CHAT_EAST}, addresses, DNS) == {"talk": CHAT_EAST}
        (change,) = dns_changes(renamed, {"chat": CHAT_EAST}, addresses, DNS)
        assert (change.action, [field.path for field in change.fields]) == ("update", ["endpoint"])


def test_two_endpoints_may_change_their_hosts() -> None:
    chat, web = deployment().endpoints[0], Endpoint(name="web", host="web.example.com", workload="chat", port="http")
    swapped = (chat.model_copy(update={"host": web.host}), web.model_copy(update={"host": chat.host}))
    web_east = replace(CHAT_EAST, host=web.host)
    after = after_up(deployment(endpoints=swapped), {"chat": CHAT_EAST, "web": web_east}, {}, DNS)
    assert after == {"chat": web_east, "web": CHAT_EAST}


def test_a_changed_ttl_or_zone_is_an_update() -> None:
    longer = DNS.model_copy(update={"ttl_s": 60})
    assert after_up(deployment(), {"chat": CHAT_EAST}, EAST, longer) == {"chat": replace(CHAT_EAST, ttl_s=60)}
    (change,) = dns_changes(deployment(), {"chat": CHAT_EAST}, EAST, longer)
    assert [(field.path, field.old, field.new) for field in change.fields] == [("ttl", 30, 60)]
    other = DNS.model_copy(update={"zone": "chat.example.com"})
    (name,) = after_up(deployment(), {"chat": CHAT_EAST}, EAST, other).values()
    assert (name.zone, name.zone_id) == ("chat.example.com", "")
    (change,) = dns_changes(deployment(), {"chat": CHAT_EAST}, EAST, other)
    assert [(field.path, field.old, field.new) for field in change.fields] == [
        ("zone", "example.com", "chat.example.com")
    ]


def state(outputs: dict[str, Any], *records: tuple[str, str], **record_outputs: Any) -> StackState:
    """The edge stack's state: outputs, and records as (host, address)."""
    inputs = [
        {"HostedZoneId": "Z1", "Name": host, "TTL": 30, "ResourceRecords": [{"Value": address}]}
        for host, address in records
    ]
    kind = "meshaws:route53:RecordSet"
    records_made = [{"type": kind, "urn": each["Name"], "inputs": each, "outputs": record_outputs} for each in inputs]
    return states.state({"type": STACK_TYPE, "urn": "s", "outputs": outputs}, *records_made)


def test_the_records_say_where_a_name_points_not_what_was_wanted() -> None:
    moved_to = replace(CHAT_EAST, environment="cw", address="10.9.9.9")
    outputs = {"endpoints": {"chat": asdict(moved_to)}, "before": {"chat": asdict(CHAT_EAST)}}
    assert records_in_state(state(outputs, ("chat.example.com", "10.9.9.9"))) == {"chat": moved_to}
    assert records_in_state(state(outputs, ("chat.example.com", "10.0.0.1"))) == {"chat": CHAT_EAST}
    assert records_in_state(state(outputs)) == {}
    unfinished = records_in_state(state(outputs, ("chat.example.com", "10.9.9.9"), meshctlUnfinished=True))
    assert unfinished == {"chat": replace(moved_to, in_service=False)}
    assert after_up(deployment("cw"), unfinished, {}, DNS) == {"chat": moved_to}


def test_a_record_that_could_not_be_deleted_is_still_a_name() -> None:
    outputs = {"endpoints": {}, "before": {"chat": asdict(CHAT_EAST)}}
    assert records_in_state(state(outputs, ("chat.example.com", "10.0.0.1"))) == {"chat": CHAT_EAST}


def test_a_state_from_before_zones_were_told_is_read() -> None:
    outputs = {"endpoints": {"chat": {"host": "chat.example.com", "environment": "aws-east", "address": "10.0.0.1"}}}
    found = records_in_state(state(outputs, ("chat.example.com", "10.0.0.1")))
    assert found == {"chat": replace(CHAT_EAST, zone="")}
    assert dns_changes(deployment(), found, EAST, DNS) == ()


def test_a_load_balancers_name_becomes_a_cname() -> None:
    assert [record_type(a) for a in ("10.0.0.1", "::1", "lb-1.elb.amazonaws.com")] == ["A", "AAAA", "CNAME"]


SPLIT = Split("demo 1", (Side("aws-east", "10.0.0.1", 153), Side("cw", "10.9.9.9", 102)))
SHARED = replace(CHAT_EAST, environment="aws-east+cw", address="_split.chat.example.com", split=SPLIT)


def split_state(
    outputs: dict[str, Any], address: str, addresses: Mapping[str, str] | None = None, /, **weights: int
) -> StackState:
    """As `state`, for one host with weighted records. `addresses`: of the environments' own records."""
    weighted = [
        {
            "type": "meshaws:route53:RecordSet",
            "urn": f"share {environment}",
            "inputs": {
                "HostedZoneId": "Z1",
                "Name": "_split.chat.example.com",
                "SetIdentifier": environment,
                "Weight": weight,
                "TTL": 30,
                "ResourceRecords": [{"Value": f"_{environment}.chat.example.com"}],
            },
        }
        for environment, weight in weights.items()
    ]
    named = {"chat.example.com": address}
    named |= {f"_{environment}.chat.example.com": each for environment, each in (addresses or {}).items()}
    plain = [
        {
            "type": "meshaws:route53:RecordSet",
            "urn": f"own {name}",
            "inputs": {"HostedZoneId": "Z1", "Name": name, "TTL": 30, "ResourceRecords": [{"Value": value}]},
        }
        for name, value in named.items()
    ]
    return states.state({"type": STACK_TYPE, "urn": "s", "outputs": outputs}, *plain, *weighted)


def test_weighted_records_are_written_beside_the_name_which_then_leads_to_them() -> None:
    beside = with_splits({"chat": CHAT_EAST}, {"chat": "chat.example.com"}, {"chat": SPLIT})
    assert beside == {"chat": replace(CHAT_EAST, split=SPLIT)}
    assert leading_to_splits(beside, ["chat"]) == {"chat": SHARED}
    assert SHARED.environments == ("aws-east", "cw")


def test_no_up_and_no_destroy_touches_a_name_that_two_environments_share() -> None:
    for environment, address in (("aws-east", "10.0.0.1"), ("cw", "10.9.9.9"), ("dc1", "10.7.7.7")):
        for addresses in ({"chat": address}, {}):  # not known while a load balancer is being made
            assert after_up(deployment(environment), {"chat": SHARED}, addresses, DNS) == {"chat": SHARED}
            assert dns_changes(deployment(environment), {"chat": SHARED}, addresses, DNS) == ()
        assert after_destroy(environment, {"chat": SHARED}) == {"chat": SHARED}


def test_the_share_of_an_environment_follows_its_load_balancer() -> None:
    """Else its share of the users would be led to the one that is gone."""
    wanted = after_up(deployment("aws-east"), {"chat": SHARED}, {"chat": "10.7.7.7"}, DNS)
    moved = Split("demo 1", (replace(SPLIT.sides[0], address="10.7.7.7"), SPLIT.sides[1]))
    assert wanted == {"chat": replace(SHARED, split=moved)}
    (change,) = dns_changes(deployment("aws-east"), {"chat": SHARED}, {"chat": "10.7.7.7"}, DNS)
    assert (change.subject, change.action) == ("endpoint/chat", "update")
    assert [(f.path, f.old, f.new) for f in change.fields] == [("address", "10.0.0.1", "10.7.7.7")]


def test_the_way_back_keeps_the_weighted_records_until_they_are_removed() -> None:
    """Resolvers may have cached that the name leads to them."""
    back = after_cutover(deployment("aws-east"), {"chat": SHARED}, EAST, DNS)
    assert back == {"chat": replace(CHAT_EAST, split=SPLIT)}
    assert after_up(deployment("aws-east"), back, EAST, DNS) == back
    assert with_splits(back, {"chat": "chat.example.com"}, {}) == {"chat": CHAT_EAST}


def test_weights_and_weighted_records_are_those_of_the_state() -> None:
    """A run may have failed before it wrote or removed what its outputs say."""
    wanted, before = SHARED.document(), CHAT_EAST.document()
    outputs = {"endpoints": {"chat": wanted}, "before": {"chat": before}}
    made = split_state(outputs, "_split.chat.example.com", **{"aws-east": 153, "cw": 102})
    assert records_in_state(made) == {"chat": SHARED}
    none = split_state(outputs, "10.0.0.1")
    assert records_in_state(none) == {"chat": CHAT_EAST}
    other = split_state(outputs, "_split.chat.example.com", **{"aws-east": 255, "cw": 0})
    (record,) = records_in_state(other).values()
    assert record.split is not None
    assert [side.weight for side in record.split.sides] == [255, 0]


def test_a_weighted_record_that_could_not_be_made_is_not_taken_for_one() -> None:
    """Else the next run would find nothing to do, and the environment would never get its share."""
    outputs = {"endpoints": {"chat": SHARED.document()}, "before": {"chat": CHAT_EAST.document()}}
    (record,) = records_in_state(split_state(outputs, "10.0.0.1", **{"aws-east": 153})).values()
    assert record.split == Split("demo 1", SPLIT.sides[:1])


def test_a_weighted_record_leads_where_the_state_has_it() -> None:
    """A run may have failed before it wrote the new address of a load balancer."""
    sides = (replace(SPLIT.sides[0], address="new-lb.example"), SPLIT.sides[1])
    wanted = replace(SHARED, split=Split("demo 1", sides))
    outputs = {"endpoints": {"chat": wanted.document()}, "before": {"chat": SHARED.document()}}
    old = {"cw": "10.9.9.9", "aws-east": "10.0.0.1"}
    state = split_state(outputs, "_split.chat.example.com", old, **{"aws-east": 153, "cw": 102})
    assert records_in_state(state) == {"chat": SHARED}


def test_weighted_records_that_could_not_be_removed_are_known_and_removed_again() -> None:
    left = replace(CHAT_EAST, split=SPLIT)
    outputs = {"endpoints": {"chat": CHAT_EAST.document()}, "before": {"chat": left.document()}}
    assert records_in_state(split_state(outputs, "10.0.0.1", **{"aws-east": 153, "cw": 102})) == {"chat": left}


def test_a_record_without_weighted_ones_is_written_as_older_versions_write_it() -> None:
    assert "split" not in CHAT_EAST.document()
