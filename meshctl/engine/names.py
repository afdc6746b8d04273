"""Which endpoint names an environment may move, and where the names' zone is. PURE but for `hosted_zone_id` (EDGE).

Called by `session`. A name belongs to whichever environment it points at: `up` sets new names and its own, never those
of another environment; only a cutover moves them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
import botocore.exceptions

from meshctl.changes.grouping import Change, FieldChange, ResourceChange
from meshctl.errors import CredentialsError, MeshError, UnreachableError
from meshctl.model.deployment import Deployment
from stacks.edge import Name

EDGE = "edge"  # the stack's name
_RECORD = "meshaws:route53:RecordSet"


def names_of(edge_outputs: Mapping[str, Any]) -> dict[str, Name]:
    """The names as the edge stack left them."""
    return {endpoint: Name(**value) for endpoint, value in (edge_outputs.get("endpoints") or {}).items()}


def after_up(deployment: Deployment, current: Mapping[str, Name], addresses: Mapping[str, str]) -> dict[str, Name]:
    """The names once `deployment` is up at `addresses` (endpoint -> address): unowned and own names are set,
    others kept."""
    wanted = dict(current)
    for endpoint in deployment.endpoints:
        owner = current.get(endpoint.name)
        address = addresses.get(endpoint.name)
        if address and (owner is None or owner.environment == deployment.environment):
            wanted[endpoint.name] = Name(endpoint.host, deployment.environment, address)
    return wanted


def after_destroy(environment: str, current: Mapping[str, Name]) -> dict[str, Name]:
    return {endpoint: name for endpoint, name in current.items() if name.environment != environment}


def moved(deployment: Deployment, current: Mapping[str, Name], addresses: Mapping[str, str]) -> dict[str, Name]:
    """The names after a cutover to `deployment`: every endpoint it has points at it."""
    hosts = {endpoint.name: endpoint.host for endpoint in deployment.endpoints}
    new = {
        name: Name(hosts[name], deployment.environment, address) for name, address in addresses.items() if name in hosts
    }
    return {**current, **new}


def changes(deployment: Deployment, current: Mapping[str, Name], addresses: Mapping[str, str]) -> tuple[Change, ...]:
    """What `up` would do to the names, for a plan. An address that isn't known yet shows as such."""
    found = []
    for endpoint in deployment.endpoints:
        owner = current.get(endpoint.name)
        address = addresses.get(endpoint.name, "")
        if owner is not None and owner.environment != deployment.environment:
            continue
        if owner is not None and (not address or (owner.address == address and owner.host == endpoint.host)):
            continue
        action: Any = "create" if owner is None else "update"
        field = FieldChange("address", owner.address if owner else None, address or "known after up")
        resource = ResourceChange(f"{EDGE}::{_RECORD}::endpoint/{endpoint.name}:record", _RECORD, action)
        summary = f"{endpoint.host} -> {deployment.environment}"
        found.append(Change(f"endpoint/{endpoint.name}", action, summary, (field,), (resource,)))
    return tuple(found)


def hosted_zone_id(zone: str, profile: str) -> str:
    """The Route 53 id of `zone`, which is an id already or a domain name.

    Raises: MeshError when there is no such zone or more than one, CredentialsError, UnreachableError.
    """
    if "." not in zone:
        return zone.removeprefix("/hostedzone/")
    name = zone.rstrip(".") + "."
    try:
        route53 = boto3.Session(profile_name=profile or None, region_name="us-east-1").client("route53")
        found = route53.list_hosted_zones_by_name(DNSName=name)["HostedZones"]
    except (botocore.exceptions.NoCredentialsError, botocore.exceptions.ProfileNotFound) as error:
        raise CredentialsError("no AWS credentials for the DNS zone", why=str(error), hint="set AWS_PROFILE") from error
    except botocore.exceptions.HTTPClientError as error:
        raise UnreachableError("Route 53 does not answer", why=str(error), hint="check the network") from error
    except botocore.exceptions.ClientError as error:
        raise MeshError(f"Route 53: {error}", hint="check the credentials' rights on the zone") from error
    ids = [str(item["Id"]).removeprefix("/hostedzone/") for item in found if item["Name"] == name]
    if len(ids) == 1:
        return ids[0]
    if ids:
        raise MeshError(
            f'{len(ids)} DNS zones are named "{zone}"', hint=f"set dns.zone to one of the ids: {', '.join(ids)}"
        )
    raise MeshError(f'no DNS zone "{zone}" in Route 53', hint="create the zone, or set dns.zone to one that exists")
