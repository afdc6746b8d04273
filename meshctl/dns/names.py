"""Which endpoint names an environment may move, and what `up`, `destroy` and a cutover make of them. PURE.

Called by `session` and `endpoint_names`. A name belongs to whichever environment it points at: `up` sets new names and
its own, and removes its own that the mesh no longer has, never those of another environment; only a cutover moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter

from meshctl.changes import Change, FieldChange, ResourceChange
from meshctl.changes.steps import Action
from meshctl.model.deployment import Deployment, Endpoint
from meshctl.model.environment import Dns
from meshctl.model.persisted import Format
from meshctl.model.references import NAMES_STACK
from meshctl.model.resource_types import RECORD_SET
from meshctl.model.stack_state import StackState
from meshwire.marks import UNFINISHED
from stacks.edge import Name

EDGE = NAMES_STACK  # the stack's name
_PLACE = f"the state of {EDGE}"

NAME: Final[Format[Name]] = Format(TypeAdapter(Name).validate_python)  # the only reader of persisted names


def names_of(state: StackState) -> dict[str, Name]:
    """The names by endpoint, as the edge stack's records have them: a record that was never written is not
    taken for one that is.
    """
    outputs = state.outputs.values
    told = [*(outputs.get("endpoints") or {}).items(), *(outputs.get("before") or {}).items()]
    candidates = [(endpoint, NAME.read(value, state.outputs.stamp, _PLACE)) for endpoint, value in told]
    found: dict[str, Name] = {}
    for record in state.of_type(RECORD_SET):
        if record.is_to_be_deleted:
            continue
        endpoint, name = _told(record.inputs, candidates)
        if name is not None:
            in_service = not record.outputs.get(UNFINISHED)
            # the key is taken where a host was changed and the record of the old one could not be deleted
            found[name.host if endpoint in found else endpoint] = replace(name, in_service=in_service)
    return found


def _told(record: Mapping[str, Any], candidates: list[tuple[str, Name]]) -> tuple[str, Name | None]:
    """The endpoint and the name that a record's inputs stand for: what the outputs tell of that host and address."""
    of_host = [(endpoint, name) for endpoint, name in candidates if name.host == record.get("Name")]
    if not of_host:
        return "", None
    address, zone_id = record["ResourceRecords"][0]["Value"], record["HostedZoneId"]
    endpoint, name = next((each for each in of_host if each[1].address == address), of_host[0])
    zone = name.zone if name.zone_id == zone_id else ""
    return endpoint, replace(name, address=address, ttl_s=int(record["TTL"]), zone=zone, zone_id=zone_id)


def after_up(
    deployment: Deployment, current: Mapping[str, Name], addresses: Mapping[str, str], dns: Dns | None
) -> dict[str, Name]:
    """The names once `deployment` is up at `addresses` (endpoint -> address): unowned and own names are set, own names
    that the mesh no longer has are left out, others' are kept.
    """
    wanted = {endpoint: name for endpoint, name in current.items() if name.environment != deployment.environment}
    for endpoint in _settable(deployment, current):
        _, old = _before(endpoint, deployment, current)
        address = addresses.get(endpoint.name) or (old.address if old else "")
        if address:
            wanted[endpoint.name] = _written(endpoint.host, deployment, address, dns, old)
    return wanted


def after_destroy(environment: str, current: Mapping[str, Name]) -> dict[str, Name]:
    return {endpoint: name for endpoint, name in current.items() if name.environment != environment}


def moved(
    deployment: Deployment, current: Mapping[str, Name], addresses: Mapping[str, str], dns: Dns | None
) -> dict[str, Name]:
    """The names after a cutover to `deployment`: every endpoint it has points at it."""
    by_host = {name.host: name for name in current.values()}
    hosts = {endpoint.name: endpoint.host for endpoint in deployment.endpoints if endpoint.name in addresses}
    new = {name: _written(host, deployment, addresses[name], dns, by_host.get(host)) for name, host in hosts.items()}
    return {endpoint: name for endpoint, name in current.items() if name.host not in hosts.values()} | new


def _written(host: str, deployment: Deployment, address: str, dns: Dns | None, old: Name | None) -> Name:
    """The zone's id is looked up (by `session`) only where it is not known yet."""
    zone, ttl_s = (dns.zone, int(dns.ttl_s)) if dns is not None else ("", 0)
    zone_id = old.zone_id if old is not None and old.zone == zone else ""
    return Name(host, deployment.environment, address, ttl_s, zone, zone_id)


def _settable(deployment: Deployment, current: Mapping[str, Name]) -> list[Endpoint]:
    """The endpoints whose names no other environment has, whatever they are called there."""
    others = {endpoint: name.host for endpoint, name in current.items() if name.environment != deployment.environment}
    return [e for e in deployment.endpoints if e.name not in others and e.host not in others.values()]


def _before(endpoint: Endpoint, deployment: Deployment, current: Mapping[str, Name]) -> tuple[str, Name | None]:
    """What an endpoint was called and how its name stood: by its host, else by its own name with another host."""
    for known, name in current.items():
        if name.host == endpoint.host:
            return known, name
    found = current.get(endpoint.name)
    taken = found is not None and found.host in {each.host for each in deployment.endpoints}
    return (endpoint.name, None) if taken else (endpoint.name, found)


def changes(
    deployment: Deployment, current: Mapping[str, Name], addresses: Mapping[str, str], dns: Dns | None
) -> tuple[Change, ...]:
    """What `up` would do to the names, for a plan. An address that isn't known yet shows as such."""
    wanted = after_up(deployment, current, addresses, dns)
    found: list[Change] = []
    kept: set[str] = set()
    for endpoint in _settable(deployment, current):
        known, old = _before(endpoint, deployment, current)
        kept.add(known)
        fields = _fields(endpoint.name, known, old, wanted.get(endpoint.name))
        if fields:
            summary = f"{endpoint.host} -> {deployment.environment}"
            found.append(_change(endpoint.name, "create" if old is None else "update", summary, fields))
    for known, name in current.items():
        if name.environment == deployment.environment and known not in kept:
            found.append(_change(known, "delete", f"{name.host} is no longer in the mesh", ()))
    return tuple(found)


def _fields(endpoint: str, known: str, old: Name | None, new: Name | None) -> tuple[FieldChange, ...]:
    if old is None or new is None:
        return (FieldChange("address", None, new.address if new else "known after up"),)
    compared = [
        ("endpoint", known, endpoint),
        ("host", old.host, new.host),
        ("address", old.address, new.address),
        ("ttl", old.ttl_s, new.ttl_s),
        ("zone", old.zone or new.zone, new.zone),
    ]
    return tuple(FieldChange(path, before, after) for path, before, after in compared if before != after)


def _change(endpoint: str, action: Action, summary: str, fields: tuple[FieldChange, ...]) -> Change:
    resource = ResourceChange(f"{EDGE}::{RECORD_SET}::endpoint/{endpoint}:record", RECORD_SET, action)
    return Change(f"endpoint/{endpoint}", action, summary, fields, (resource,))
