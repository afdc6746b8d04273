"""Each endpoint has the address of its own load balancer, also where a workload has an internal and a public one."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.runtime.mocks import MockMonitor

from meshctl import render
from meshctl.model.deployment import Endpoint
from stacks import platform
from stacks.kubernetes import KubernetesProvider
from tests.unit.deployments import deployment
from tests.unit.event_loops import event_loops


class Balancers(pulumi.runtime.Mocks):  # type: ignore[misc]  # pulumi.runtime is not typed
    """Gives each Service an address that is called as its load balancer."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        status = {"loadBalancer": {"ingress": [{"hostname": args.name}]}}
        return f"{args.name}-id", {**args.inputs, "status": status}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:
        raise AssertionError(args.token)


def test_each_endpoint_has_the_address_of_its_own_load_balancer() -> None:
    common = {"workload": "chat", "port": "http"}
    inside = Endpoint(name="inside", host="inside.example.com", access="internal", **common)
    outside = Endpoint(name="outside", host="outside.example.com", **common)
    given = deployment("cw", endpoints=(inside, outside))
    late = dict.fromkeys(render.late_names(render.platform_objects(given)), "late")
    addresses: dict[str, str] = {}

    def program() -> pulumi.Output[Any]:
        provider = KubernetesProvider("kubernetes", {}, "4.34.2")
        declared = platform.declare(given, provider=provider, late=late)
        return pulumi.Output.all(**declared).apply(addresses.update)

    with event_loops():
        pulumi.runtime.set_mocks(Balancers(), monitor=MockMonitor(Balancers()))
        pulumi.runtime.test(program)()
    assert addresses == {
        "inside": "workload/chat:internal-load-balancer",
        "outside": "workload/chat:load-balancer",
    }
