"""Which nodes a load balancer of an endpoint asks: as it is up, and where it is new, those with its pods."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.deploy.guards.running import running_pods
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState
from tests.unit import states
from tests.unit.deployments import deployment

SERVICE = "kubernetes:core/v1:Service"
NAME = "workload/chat:load-balancer"


def up(**spec: object) -> StackState:
    """A state in which the load balancer is up with this spec."""
    urn = f"urn:pulumi:e::m::{SERVICE}::{NAME}"
    return states.state({"urn": urn, "type": SERVICE, "id": "m/chat-public", "custom": True, "inputs": {"spec": spec}})


def balancer(made: Deployment, name: str = NAME) -> dict[str, Any]:
    return {item.name: item.manifest for item in render.platform_objects(made)}[name]


def test_b3_a_new_endpoint_on_aws_asks_only_nodes_with_its_pods() -> None:
    declared = running_pods.with_running_pods(deployment("aws-east"), states.NOTHING)
    assert balancer(declared)["spec"]["externalTrafficPolicy"] == "Local"


def test_b3_a_load_balancer_that_is_up_keeps_its_nodes() -> None:
    """No version before wrote the field; the same holds for one that is to have it, in every later run."""
    declared = running_pods.with_running_pods(deployment("aws-east"), up(type="LoadBalancer"))
    assert "externalTrafficPolicy" not in balancer(declared)["spec"]
    declared = running_pods.with_running_pods(declared, up(type="LoadBalancer", externalTrafficPolicy="Local"))
    assert balancer(declared)["spec"]["externalTrafficPolicy"] == "Local"


def test_b3_an_endpoint_that_becomes_internal_has_a_new_load_balancer() -> None:
    made = deployment("aws-east")
    internal = tuple(endpoint.model_copy(update={"access": "internal"}) for endpoint in made.endpoints)
    declared = running_pods.with_running_pods(made.model_copy(update={"endpoints": internal}), up(type="LoadBalancer"))
    assert balancer(declared, "workload/chat:internal-load-balancer")["spec"]["externalTrafficPolicy"] == "Local"


@pytest.mark.parametrize("environment", ["cw", "dc1"])
def test_b3_other_platforms_decide_themselves(environment: str) -> None:
    made = deployment(environment)
    declared = running_pods.with_running_pods(made, states.NOTHING)
    assert "externalTrafficPolicy" not in balancer(declared)["spec"]
    assert declared.endpoints == made.endpoints
