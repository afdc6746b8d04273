"""An environment moves its own names and new ones, never another's."""

from meshctl.engine.names import after_destroy, after_up, changes, moved
from stacks.edge import Name, record_type
from tests.unit.deployments import deployment

CHAT_EAST = Name("chat.example.com", "aws-east", "10.0.0.1")


def test_a_new_name_points_at_the_first_environment_that_is_up() -> None:
    assert after_up(deployment("aws-east"), {}, {"chat": "10.0.0.1"}) == {"chat": CHAT_EAST}


def test_another_environment_leaves_the_name_alone() -> None:
    assert after_up(deployment("cw"), {"chat": CHAT_EAST}, {"chat": "10.9.9.9"}) == {"chat": CHAT_EAST}


def test_a_cutover_moves_the_name() -> None:
    after = moved(deployment("cw"), {"chat": CHAT_EAST}, {"chat": "10.9.9.9"})
    assert after == {"chat": Name("chat.example.com", "cw", "10.9.9.9")}


def test_destroying_an_environment_takes_only_its_names() -> None:
    assert after_destroy("cw", {"chat": CHAT_EAST}) == {"chat": CHAT_EAST}
    assert after_destroy("aws-east", {"chat": CHAT_EAST}) == {}


def test_a_plan_shows_a_name_that_would_be_set_or_moved() -> None:
    assert [change.action for change in changes(deployment("aws-east"), {}, {})] == ["create"]
    assert changes(deployment("aws-east"), {"chat": CHAT_EAST}, {"chat": "10.0.0.1"}) == ()
    assert changes(deployment("cw"), {"chat": CHAT_EAST}, {"chat": "10.9.9.9"}) == ()
    (change,) = changes(deployment("aws-east"), {"chat": CHAT_EAST}, {"chat": "10.0.0.2"})
    assert (change.fields[0].old, change.fields[0].new) == ("10.0.0.1", "10.0.0.2")


def test_a_load_balancers_name_becomes_a_cname() -> None:
    assert [record_type(a) for a in ("10.0.0.1", "::1", "lb-1.elb.amazonaws.com")] == ["A", "AAAA", "CNAME"]
