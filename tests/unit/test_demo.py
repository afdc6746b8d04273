"""What the demo claims, where that can be seen without a lab."""

from __future__ import annotations

from examples import demo


def test_a_plan_with_what_others_changed_is_not_as_declared() -> None:
    """A job that somebody deleted is in `outside` alone."""
    assert demo.is_as_declared({"changes": [], "outside": []})
    assert not demo.is_as_declared({"changes": [], "outside": [{"subject": "workload/chat"}]})
    assert not demo.is_as_declared({"changes": [{"subject": "workload/chat"}], "outside": []})
