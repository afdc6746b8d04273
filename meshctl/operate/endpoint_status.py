"""Endpoints in `status`: where their names lead, and how users are shared between environments. EDGE (reads only), but
for `with_counts` and `EndpointStatus` (PURE).

Called by `operate.status`, of which it is a part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from meshctl.deploy.session import Session
from meshctl.model.deployment import Deployment
from meshctl.model.keys import gateway_shares
from meshctl.model.keys.gateway_shares import RequestCount
from meshctl.model.stack_state import StackOutputs
from meshctl.operate.shares import RequestShare, ShareStatus, counted, request_shares, shares


@dataclass(frozen=True)
class EndpointStatus:
    """`points_at`: the environment that the DNS record points at; `name_address`: the address in the record; `address`:
    this environment's own address."""

    name: str
    host: str
    address: str
    points_at: str
    name_address: str = ""
    shares: tuple[ShareStatus, ...] = ()  # of a host that several environments share
    requests: tuple[RequestShare, ...] = ()  # where its gateway gives each of them a part

    def line(self, environment: str, width: int) -> str:
        return f"  endpoint  {self.name:<{width}}  {self.host} {self._where(environment)}"

    def _where(self, environment: str) -> str:
        """Where the DNS record points, and this environment's own address if that differs."""
        own_address = self.address or "no address"
        if self.shares:
            resolutions = "; ".join(share.text for share in self.shares)
            requests = "; ".join(share.text for share in self.requests)
            return f"-> {resolutions}{'; of its requests here: ' * bool(requests)}{requests}  ({own_address} here)"
        if not self.points_at:
            return f"(no DNS record)  {own_address} here"
        pointing = f"-> {self.points_at}  {self.name_address}"
        if self.points_at == environment and self.name_address == self.address:
            return pointing
        return f"{pointing}  ({own_address} here)"


def endpoint_statuses(session: Session, deployment: Deployment, outputs: StackOutputs) -> tuple[EndpointStatus, ...]:
    """As the records of DNS and the state have them; the cluster is not asked."""
    by_host = {record.host: record for record in session.dns_records.current().values()}
    endpoints, led_elsewhere = [], gateway_shares.shares(deployment)
    for endpoint in deployment.endpoints:
        address, record = outputs.addresses.get(endpoint.name, ""), by_host.get(endpoint.host)
        environment, name_address = (record.environment, record.address) if record else ("", "")
        split = record.split if record is not None and len(record.environments) > 1 else None
        shared = shares(endpoint.host, split) if split is not None else ()
        requests = request_shares(deployment.environment, led_elsewhere.get(endpoint.name))
        endpoints.append(
            EndpointStatus(endpoint.name, endpoint.host, address, environment, name_address, shared, requests)
        )
    return tuple(endpoints)


def with_counts(
    endpoints: Iterable[EndpointStatus], by_endpoint: Mapping[str, RequestCount]
) -> tuple[EndpointStatus, ...]:
    """With what the gateways have counted."""
    return tuple(
        replace(each, requests=counted(each.requests, by_endpoint[each.name])) if each.name in by_endpoint else each
        for each in endpoints
    )
