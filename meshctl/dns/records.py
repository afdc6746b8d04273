"""Which DNS records of endpoints an environment may change, and what `up`, `destroy` and a cutover do to them. PURE.

Called by `session` and `endpoint_records`. A record belongs to the environment that it points at. `up` writes records
that belong to nobody or to its own environment, and removes its own ones that the mesh no longer has. It never touches
those of another environment: only the cutover of a migration moves a record. A record that leads to the weighted
records of an expansion belongs to both environments together (`DnsRecord.environments`), so no `up` touches it either;
the weighted record of an environment follows its load balancer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from meshctl.changes import Change, FieldChange, ResourceChange
from meshctl.changes.steps import Action
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.dns_splits import SHARED_BY, Side, Split, split_name
from meshctl.model.environment import Dns
from meshctl.model.files.environment_references import NAMES_STACK
from meshctl.model.persisted import Format
from meshctl.model.resource_types import RECORD_SET
from meshctl.model.stack_state import StackState
from meshwire.marks import UNFINISHED
from stacks.edge import DnsRecord

EDGE = NAMES_STACK  # the name of the stack that holds the records
_PLACE = f"the state of {EDGE}"

# The only reader of persisted records.
DNS_RECORD: Final[Format[DnsRecord]] = Format(TypeAdapter(DnsRecord).validate_python)


def records_in_state(state: StackState) -> dict[str, DnsRecord]:
    """The records by endpoint, as the state of their stack has them.

    The outputs say what was to be written. A record counts only if the state also has its Route 53 resource, because a
    run may have failed before it wrote the record.
    """
    outputs = state.outputs.values
    listed = [*(outputs.get("endpoints") or {}).items(), *(outputs.get("before") or {}).items()]
    candidates = [(endpoint, DNS_RECORD.read(value, state.outputs.stamp, _PLACE)) for endpoint, value in listed]
    by_endpoint: dict[str, DnsRecord] = {}
    weighted = _weighted_records(state)
    for resource in state.of_type(RECORD_SET):
        if resource.is_to_be_deleted:
            continue
        endpoint, record = _matching(resource.inputs, candidates, weighted)
        if record is not None:
            in_service = not resource.outputs.get(UNFINISHED)
            # An endpoint has two records where its host was changed and the old record could not be deleted: the second
            # one is listed by its host.
            key = record.host if endpoint in by_endpoint else endpoint
            by_endpoint[key] = replace(record, in_service=in_service)
    return by_endpoint


class Weighted(NamedTuple):
    """A weighted record as the state has it. `leads_to`: a load balancer's name, or an address."""

    weight: int
    leads_to: str
    is_checked: bool


WeightedRecords = Mapping[str, Mapping[str, Weighted]]  # their name -> environment -> the record


def _weighted_records(state: StackState) -> WeightedRecords:
    record_sets = [each.inputs for each in state.of_type(RECORD_SET) if not each.is_to_be_deleted]
    values = {inputs["Name"]: inputs["ResourceRecords"][0]["Value"] for inputs in record_sets}
    weighted: dict[str, dict[str, Weighted]] = {}
    for inputs in record_sets:
        environment = inputs.get("SetIdentifier")
        if environment:
            target = inputs["ResourceRecords"][0]["Value"]
            record = Weighted(int(inputs["Weight"]), values.get(target, target), bool(inputs.get("HealthCheckId")))
            weighted.setdefault(inputs["Name"], {})[environment] = record
    return weighted


def _matching(
    inputs: Mapping[str, Any], candidates: list[tuple[str, DnsRecord]], weighted: WeightedRecords
) -> tuple[str, DnsRecord | None]:
    """Match a Route 53 record in the state to its endpoint, by host and then by address. A run that failed may have
    left weighted records that its outputs no longer list, or not yet: those of the state count."""
    host = inputs.get("Name")
    of_host = [(endpoint, record) for endpoint, record in candidates if record.host == host]
    present = weighted.get(split_name(str(host)), {})
    with_split = [each for each in of_host if (each[1].split is not None) == bool(present)]
    of_host = [(endpoint, _as_written(record, present)) for endpoint, record in with_split or of_host]
    if not of_host:
        return "", None
    address, zone_id = inputs["ResourceRecords"][0]["Value"], inputs["HostedZoneId"]
    endpoint, record = next((each for each in of_host if each[1].address == address), of_host[0])
    zone = record.zone if record.zone_id == zone_id else ""
    return endpoint, replace(record, address=address, ttl_s=int(inputs["TTL"]), zone=zone, zone_id=zone_id)


def _as_written(record: DnsRecord, present: Mapping[str, Weighted]) -> DnsRecord:
    """The record with those of its weighted records that the state has, as it has them."""
    if record.split is None:
        return record
    if not present:
        return replace(record, split=None)
    sides = tuple(_side_as_written(s, present[s.environment]) for s in record.split.sides if s.environment in present)
    return replace(record, split=replace(record.split, sides=sides))


def _side_as_written(side: Side, record: Weighted) -> Side:
    is_named = record.leads_to.startswith("_")  # the state lacks the record of the address that this name is made for
    address = side.address if is_named else record.leads_to
    return replace(side, weight=record.weight, address=address, check=side.check if record.is_checked else None)


def with_splits(
    current: Mapping[str, DnsRecord], hosts: Mapping[str, str], splits: Mapping[str, Split]
) -> dict[str, DnsRecord]:
    """The records with these weighted records beside those of the endpoints, which lead where they did. `hosts`: of the
    endpoints, all of which have a record; an endpoint without a split loses its weighted records."""
    return {
        name: replace(record, split=splits.get(name)) if name in hosts and record.host == hosts[name] else record
        for name, record in current.items()
    }


def leading_to_splits(current: Mapping[str, DnsRecord], endpoints: Collection[str]) -> dict[str, DnsRecord]:
    """The records, those of `endpoints` leading to their weighted records."""
    return {
        name: _to_split(record, record.split) if name in endpoints and record.split is not None else record
        for name, record in current.items()
    }


def _to_split(record: DnsRecord, split: Split) -> DnsRecord:
    environments = [side.environment for side in split.sides]
    return replace(record, environment=SHARED_BY.join(environments), address=split_name(record.host))


def after_up(
    deployment: Deployment, current: Mapping[str, DnsRecord], addresses: Mapping[str, str], dns: Dns | None
) -> dict[str, DnsRecord]:
    """The records by endpoint once `deployment` is up at `addresses` (endpoint -> address).

    Records of nobody and of this environment are set, its own that the mesh no longer has are left out, and those of
    other environments stay as they are. Where it shares a name, its weighted record follows its load balancer. A name
    of a paused workload waits until something can answer: its record stays as it is, and none is made.
    """
    wanted = {
        endpoint: _with_own_side_at(record, deployment, addresses)
        for endpoint, record in current.items()
        if record.environment != deployment.environment
    }
    for endpoint in _settable(deployment, current):
        previous_name, old = _previous(endpoint, deployment, current)
        if _is_paused(endpoint, deployment):
            wanted |= {previous_name: old} if old is not None else {}
            continue
        address = addresses.get(endpoint.name) or (old.address if old else "")
        if address:
            wanted[endpoint.name] = _pointing_at(deployment, endpoint.host, address, dns, old)
    return wanted


def _is_paused(endpoint: Endpoint, deployment: Deployment) -> bool:
    return any(each.paused for each in deployment.workloads if each.name == endpoint.workload)


def _with_own_side_at(record: DnsRecord, deployment: Deployment, addresses: Mapping[str, str]) -> DnsRecord:
    """A shared record, the environment's weighted record leading to its load balancer as it is now."""
    endpoint = next((each for each in deployment.endpoints if each.host == record.host), None)
    address = addresses.get(endpoint.name, "") if endpoint is not None else ""
    if record.split is None or not address:
        return record
    sides = tuple(
        replace(side, address=address) if side.environment == deployment.environment else side
        for side in record.split.sides
    )
    return replace(record, split=replace(record.split, sides=sides))


def after_destroy(environment: str, current: Mapping[str, DnsRecord]) -> dict[str, DnsRecord]:
    """The records without those that point at `environment`."""
    return {endpoint: record for endpoint, record in current.items() if record.environment != environment}


def after_cutover(
    deployment: Deployment, current: Mapping[str, DnsRecord], addresses: Mapping[str, str], dns: Dns | None
) -> dict[str, DnsRecord]:
    """The records after a cutover to `deployment`: all its endpoints that have an address point at it."""
    by_host = {record.host: record for record in current.values()}
    hosts = {endpoint.name: endpoint.host for endpoint in deployment.endpoints if endpoint.name in addresses}
    new = {
        endpoint: _pointing_at(deployment, host, addresses[endpoint], dns, by_host.get(host))
        for endpoint, host in hosts.items()
    }
    return {endpoint: record for endpoint, record in current.items() if record.host not in hosts.values()} | new


def _pointing_at(deployment: Deployment, host: str, address: str, dns: Dns | None, old: DnsRecord | None) -> DnsRecord:
    """A record of `host` for the deployment. The zone's id is kept from `old` in the same zone, and otherwise left
    empty: `endpoint_records` looks it up when it writes the record."""
    zone, ttl_s = (dns.zone, int(dns.ttl_s)) if dns is not None else ("", 0)
    zone_id = old.zone_id if old is not None and old.zone == zone else ""
    split = old.split if old is not None else None  # the weighted records stay until resolvers have forgotten them
    return DnsRecord(host, deployment.environment, address, ttl_s, zone, zone_id, split=split)


def _settable(deployment: Deployment, current: Mapping[str, DnsRecord]) -> list[Endpoint]:
    """The endpoints whose record belongs to no other environment, neither by endpoint name nor by host."""
    of_others = {
        endpoint: record.host for endpoint, record in current.items() if record.environment != deployment.environment
    }
    return [e for e in deployment.endpoints if e.name not in of_others and e.host not in of_others.values()]


def _previous(
    endpoint: Endpoint, deployment: Deployment, current: Mapping[str, DnsRecord]
) -> tuple[str, DnsRecord | None]:
    """The endpoint's previous name and record: matched by host, or by endpoint name if the host changed."""
    for name, record in current.items():
        if record.host == endpoint.host:
            return name, record
    same_name = current.get(endpoint.name)
    is_of_another_endpoint = same_name is not None and same_name.host in {each.host for each in deployment.endpoints}
    return (endpoint.name, None) if is_of_another_endpoint else (endpoint.name, same_name)


def dns_changes(
    deployment: Deployment, current: Mapping[str, DnsRecord], addresses: Mapping[str, str], dns: Dns | None
) -> tuple[Change, ...]:
    """What `up` would do to the records, for a plan. An address that isn't known yet is shown as "known after up"."""
    wanted = after_up(deployment, current, addresses, dns)
    changes: list[Change] = []
    still_declared: set[str] = set()
    for endpoint in _settable(deployment, current):
        previous_name, old = _previous(endpoint, deployment, current)
        still_declared.add(previous_name)
        if _is_paused(endpoint, deployment):
            continue
        fields = _fields(endpoint.name, previous_name, old, wanted.get(endpoint.name))
        if fields:
            summary = f"{endpoint.host} -> {deployment.environment}"
            changes.append(_change(endpoint.name, "create" if old is None else "update", summary, fields))
    for name, record in current.items():
        if record.environment == deployment.environment and name not in still_declared:
            changes.append(_change(name, "delete", f"{record.host} is no longer in the mesh", ()))
        elif record.split is not None and record.environment != deployment.environment and record != wanted[name]:
            own = [
                FieldChange("address", old.address, new.address)
                for old, new in zip(record.split.sides, _sides(wanted[name]), strict=True)
                if old != new
            ]
            changes.append(_change(name, "update", f"share of {record.host} -> {deployment.environment}", tuple(own)))
    return tuple(changes)


def _sides(record: DnsRecord) -> tuple[Side, ...]:
    return record.split.sides if record.split is not None else ()


def _fields(endpoint: str, previous_name: str, old: DnsRecord | None, new: DnsRecord | None) -> tuple[FieldChange, ...]:
    if old is None or new is None:
        return (FieldChange("address", None, new.address if new else "known after up"),)
    compared = [
        ("endpoint", previous_name, endpoint),
        ("host", old.host, new.host),
        ("address", old.address, new.address),
        ("ttl", old.ttl_s, new.ttl_s),
        ("zone", old.zone or new.zone, new.zone),
    ]
    return tuple(FieldChange(path, before, after) for path, before, after in compared if before != after)


def _change(endpoint: str, action: Action, summary: str, fields: tuple[FieldChange, ...]) -> Change:
    resource = ResourceChange(f"{EDGE}::{RECORD_SET}::endpoint/{endpoint}:record", RECORD_SET, action)
    return Change(f"endpoint/{endpoint}", action, summary, fields, (resource,))
