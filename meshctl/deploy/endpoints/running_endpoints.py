"""Finds an endpoint as it is up: at the source of a migration, in its environment, or where its DNS record leads. EDGE
(reads only).

Called by `meshctl.project` for endpoints of which the mesh does not say who reaches them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from meshctl.deploy.guards.running.endpoints.access_default import Running, deployed_endpoints, same_endpoint
from meshctl.dns.endpoint_records import EndpointRecords
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.stack_state import StackState
from stacks.edge import DnsRecord


class States(Protocol):
    """What is asked of a `Session`."""

    @property
    def dns_records(self) -> EndpointRecords: ...

    def state(self, environment: str) -> StackState: ...


@dataclass
class RunningEndpoints:
    """`moved_from`: what is deployed at the source of a migration to the environment of `deployment`."""

    states: States
    deployment: Deployment
    moved_from: Deployment | None = None

    def find(self, endpoint: Endpoint) -> Running | None:
        """The endpoint as it is up; None for a new one."""
        if self.moved_from is not None:
            at_source = same_endpoint(endpoint, self.moved_from.endpoints)
            if at_source is not None:
                return Running(at_source, self.moved_from.environment)
        own = same_endpoint(endpoint, self._own)
        return Running(own, self.deployment.environment) if own is not None else self._where_its_record_leads(endpoint)

    def _where_its_record_leads(self, endpoint: Endpoint) -> Running | None:
        """A record whose environment's state is gone counts as one of a public endpoint: it may be in use."""
        hosts = {record.host: record for record in self._records.values()}
        record = self._records.get(endpoint.name) or hosts.get(endpoint.host)
        if record is None:
            return None
        environment = record.environments[0]  # of several, which share it, the one that has it longest
        deployed = deployed_endpoints(self.states.state(environment), self.deployment)
        return Running(same_endpoint(endpoint, deployed) or endpoint, environment)

    @cached_property
    def _own(self) -> tuple[Endpoint, ...]:
        return deployed_endpoints(self.states.state(self.deployment.environment), self.deployment)

    @cached_property
    def _records(self) -> Mapping[str, DnsRecord]:
        return self.states.dns_records.current()
