"""Which gateways of a deployment lead a share of their requests to another environment, and deployments with and
without. PURE.

A share is a part of the source's deployment, and so of its state: an `up` or a `plan` of the source keeps what is up,
and only the steps of an expansion change it. See ADR 0061.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from meshctl.model.deployment import Deployment, Elsewhere, Endpoint, Workload
from meshctl.model.keys import gateways

HERE: Final = "here"  # what a gateway writes of a request that its own environment had, and of one that another had
ELSEWHERE: Final = "elsewhere"
_LINE: Final = "meshctl-share"
_PROXY_PASS: Final = re.compile(r"proxy_pass ([^;]+);")


def has_gateway(endpoint: Endpoint) -> bool:
    """Whether a gateway stands between the endpoint's load balancer and its pods."""
    return bool(endpoint.paths)


def shares(deployment: Deployment) -> dict[str, Elsewhere]:
    """By endpoint: where its gateway leads a share."""
    by_gateway = {each.name: each.elsewhere for each in deployment.workloads if each.elsewhere is not None}
    return {each.name: by_gateway[each.workload] for each in deployment.endpoints if each.workload in by_gateway}


def with_shares(deployment: Deployment, by_endpoint: Mapping[str, Elsewhere | None]) -> Deployment:
    """The deployment with these shares; None = all requests stay here. Other endpoints keep what they have."""
    by_gateway = {each.workload: by_endpoint[each.name] for each in deployment.endpoints if each.name in by_endpoint}
    return _with_workloads(
        deployment,
        {
            each.name: each.model_copy(update={"elsewhere": by_gateway[each.name]})
            for each in deployment.workloads
            if each.name in by_gateway
        },
    )


def shares_up(deployment: Deployment, up: Deployment | None) -> dict[str, Elsewhere]:
    """The shares of what is up, of endpoints that the deployment has a gateway for. `up`: what the last run
    declared."""
    present = shares(up) if up is not None else {}
    names = {each.name for each in deployment.endpoints if has_gateway(each)}
    return {name: each for name, each in present.items() if name in names}


def as_they_are_up(deployment: Deployment, up: Deployment | None) -> Deployment:
    """The deployment with the shares of what is up."""
    return with_shares(deployment, shares_up(deployment, up))


def saying_unsent(deployment: Deployment) -> Deployment:
    """The target of an expansion by a gateway: its own gateways say of a request that no pod has got it."""
    names = {each.workload for each in deployment.endpoints if has_gateway(each)}
    return _with_workloads(
        deployment,
        {
            each.name: each.model_copy(update={"says_unsent": True})
            for each in deployment.workloads
            if each.name in names
        },
    )


def _with_workloads(deployment: Deployment, changed: Mapping[str, Workload]) -> Deployment:
    workloads = tuple(changed.get(each.name, each) for each in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads}) if changed else deployment


def pod_urls(gateway: Workload) -> list[str]:
    """Where a gateway asks the pods that it stands before, as its configuration has it."""
    return _PROXY_PASS.findall(gateway.files.get(gateways.CONFIG, ""))


@dataclass(frozen=True)
class RequestCount:
    """How many requests a gateway has led to its own environment, and how many it has passed on to the other one."""

    own: int = 0
    passed_on: int = 0

    @property
    def total(self) -> int:
        return self.own + self.passed_on

    def __add__(self, other: RequestCount) -> RequestCount:
        return RequestCount(self.own + other.own, self.passed_on + other.passed_on)


def request_line(weight: int, side: str) -> str:
    """What a gateway writes to its log of a request. `side`: `HERE` or `ELSEWHERE`. `weight`: of the share in force."""
    return f"{_LINE} {weight} {side}"


def counted(log: str, weight: int) -> RequestCount:
    """The requests in a part of a gateway's log. Those that were shared by another weight, and all else that nginx has
    written, are no part of it."""
    lines = Counter(log.splitlines())
    return RequestCount(lines[request_line(weight, HERE)], lines[request_line(weight, ELSEWHERE)])
