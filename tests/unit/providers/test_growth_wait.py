"""What a wait for the nodes of a group says (finding A7), where EKS goes on calling it active."""

from __future__ import annotations

from typing import Any

import pytest

from providers.aws.client import AwsClients, Settings
from providers.aws.rows.eks import NODEGROUP
from providers.aws.rows_engine import live
from providers.aws.rows_engine.calls import Caller
from providers.plugin.provider import ProviderError
from tests.unit.providers.provider_clock import Time

GROUP = {
    "status": "ACTIVE",
    "scalingConfig": {"minSize": 8, "maxSize": 8, "desiredSize": 8},
    "resources": {"autoScalingGroups": [{"name": "eks-a"}]},
}
SEVEN = {"AutoScalingGroups": [{"Instances": [{"LifecycleState": "InService"}] * 7 + [{"LifecycleState": "Pending"}]}]}


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of progress, over an EKS and an Auto Scaling that answer the same for ever."""
    clock = Time()
    monkeypatch.setattr(live, "time", clock)
    monkeypatch.setattr(Caller, "pause", lambda _self, seconds, _what: clock.wait(seconds))

    def run(_self: Caller, service: str, *_: Any, **__: Any) -> Any:
        return SEVEN if service == "autoscaling" else GROUP

    monkeypatch.setattr(Caller, "run", run)
    return []


def group(lines: list[str]) -> live.Live:
    clients = AwsClients(Settings(region="us-east-1"))
    caller = Caller(clients, Time(), lines.append)  # type: ignore[arg-type]
    return live.Live(NODEGROUP, clients, owner="o", caller=caller, say=lines.append, deadline=4800)


def test_a7_a_wait_that_is_too_long_says_how_many_nodes_there_are_and_what_to_do(lines: list[str]) -> None:
    nodes = group(lines)
    assert NODEGROUP.ready is not None
    with pytest.raises(ProviderError) as late:
        nodes.poll(NODEGROUP.ready, nodes.context("c|a", {}))
    assert "Nodegroup c|a is still ACTIVE after 48" in late.value.message
    assert "; 7 of 8 nodes in service; the activity history of its Auto Scaling group says why" in late.value.message
    assert lines[0] == "waiting for Nodegroup c|a: ACTIVE, 7 of 8 nodes in service (0 s)"


def test_who_asked_for_no_more_nodes_does_not_wait_for_them(lines: list[str]) -> None:
    nodes = group(lines)
    assert NODEGROUP.ready is not None
    assert nodes.poll(NODEGROUP.ready, nodes.context("c|a", {}), counted=False) == GROUP
    assert lines == []
