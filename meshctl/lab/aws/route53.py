"""Route 53's ChangeResourceRecordSets: whole batches or nothing, and what a zone can't hold. Served by `service`. EDGE.

Source: Route 53 API reference, API version 2013-04-01. Everything else of Route 53 is moto's, which takes any record
and applies a batch up to the change that it refuses.
"""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import datetime
import secrets
from collections.abc import Mapping
from typing import Any, ClassVar

from moto.core import DEFAULT_ACCOUNT_ID
from moto.route53.models import FakeZone, RecordSet, Route53Backend, route53_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import Service

Object = dict[str, Any]
Key = tuple[str, str, str]  # name, type, set identifier
VALUES = ("TTL", "ResourceRecords", "AliasTarget")


class Route53(Service):
    name: ClassVar[str] = "route53"
    replaces_moto: ClassVar[bool] = False
    invalid: ClassVar[str] = "InvalidInput"

    def __init__(self) -> None:
        self.used_references: set[str] = set()  # of health checks, those that were deleted too
        self.configs: dict[str, Object] = {}  # of health checks by id, as they were created

    def create_health_check(self, call: Call, given: Object) -> Object:
        """Once for a reference: the same call again returns the check that it made."""
        reference, config = given["CallerReference"], given["HealthCheckConfig"]
        for check in _backend().health_checks.values():
            if check.caller_reference == reference and self.configs.get(check.id) == config:
                return _created(check.id, reference, config)
        if reference in self.used_references:
            raise ApiError(
                "HealthCheckAlreadyExists",
                f"A health check with the caller reference {reference} has been created before.",
                status=409,
                rule=rules.CALLER_REFERENCE,
            )
        self.used_references.add(reference)
        names = {"Type": "type", "IPAddress": "ip_address", "Port": "port", "ResourcePath": "resource_path"}
        names |= {"FullyQualifiedDomainName": "fqdn", "RequestInterval": "request_interval"}
        names |= {"FailureThreshold": "failure_threshold", "EnableSNI": "enable_sni"}
        made = _backend().create_health_check(reference, {names[key]: value for key, value in config.items()})
        self.configs[made.id] = config
        return _created(made.id, reference, config)

    def change_resource_record_sets(self, call: Call, given: Object) -> Object:
        """All changes or none: the zone gets its new records once every change is allowed."""
        zone = _zone(given["HostedZoneId"])
        records: dict[Key, Object] = {}
        for each in zone.rrsets:
            described = _described(each)
            records[_key(described)] = described
        for change in given["ChangeBatch"]["Changes"]:
            check = change["ResourceRecordSet"].get("HealthCheckId")
            if check and change["Action"] != "DELETE" and check not in _backend().health_checks:
                raise ApiError("NoSuchHealthCheck", f"No health check exists with the ID {check}", status=404)
        refused = [reason for change in given["ChangeBatch"]["Changes"] if (reason := _change(records, zone, change))]
        if refused:
            raise ApiError("InvalidChangeBatch", f"[{', '.join(refused)}]", status=400)
        zone.rrsets = [RecordSet(_as_moto_has_it(record)) for record in records.values()]
        change_id = f"/change/C{secrets.token_hex(8).upper()}"
        now = datetime.datetime.now(datetime.UTC)
        return {"ChangeInfo": {"Id": change_id, "Status": "INSYNC", "SubmittedAt": now}}


def _backend() -> Route53Backend:
    backend: Route53Backend = route53_backends[DEFAULT_ACCOUNT_ID]["aws"]
    return backend


def _created(id_: str, reference: str, config: Object) -> Object:
    check = {"Id": id_, "CallerReference": reference, "HealthCheckConfig": config, "HealthCheckVersion": 1}
    return {"HealthCheck": check, "Location": f"https://route53.amazonaws.com/2013-04-01/healthcheck/{id_}"}


def _zone(zone_id: str) -> FakeZone:
    zones: Mapping[str, FakeZone] = _backend().zones
    hosted_zone = zones.get(zone_id.removeprefix("/hostedzone/"))
    if hosted_zone is None:
        raise ApiError("NoSuchHostedZone", f"No hosted zone found with ID: {zone_id}", status=404)
    return hosted_zone


def _change(records: dict[Key, Object], zone: FakeZone, change: Object) -> str:
    """Apply one change to `records`; returns why it is refused, or nothing."""
    record = {**change["ResourceRecordSet"], "Name": _full_name(change["ResourceRecordSet"]["Name"])}
    key = _key(record)
    record_text = f"resource record set [name='{record['Name']}', type='{record['Type']}']"
    if change["Action"] == "DELETE":
        if key not in records:
            return f"Tried to delete {record_text} but it was not found"
        if any(records[key].get(member) != record.get(member) for member in VALUES):
            return f"Tried to delete {record_text} but the values provided do not match the current values"
        del records[key]
        return ""
    if change["Action"] == "CREATE" and key in records:
        return f"Tried to create {record_text} but it already exists"
    reason = _misplaced(records, zone, record)
    if not reason:
        records[key] = record
    return reason


def _misplaced(records: Mapping[Key, Object], zone: FakeZone, record: Object) -> str:
    """Why the zone can't hold the record: RFC 1034, 3.6.2 lets nothing stand beside a CNAME."""
    name, kind = record["Name"], record["Type"]
    apex = _full_name(zone.name)
    if name != apex and not name.endswith(f".{apex}"):
        return f"RRSet with DNS name {name} is not permitted in zone {apex}"
    if kind == "CNAME" and name == apex:
        return f"RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {apex}"
    for other_name, other, identifier in records:
        if other_name == name and other == kind and bool(identifier) != bool(record.get("SetIdentifier")):
            return (
                f"RRSet with DNS name {name}, type {kind} can't be both a simple record and one with a set identifier"
            )
        if other_name == name and other != kind and "CNAME" in (other, kind):
            return (
                f"RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type "
                f"{other} with the same DNS name already exists in zone {apex}"
            )
    return ""


def _key(record: Object) -> Key:
    return record["Name"], record["Type"], record.get("SetIdentifier") or ""


def _full_name(name: str) -> str:
    """As Route 53 keeps it: lower case, ending in a dot, `*` escaped."""
    return (name.lower().rstrip(".") + ".").replace("*", "\\052")


def _described(record: RecordSet) -> Object:
    """Moto's record as the API describes it."""
    members = {
        "Name": _full_name(record.name),
        "Type": record.type,
        "TTL": None if record.ttl is None else int(record.ttl),
        "ResourceRecords": record.resource_records,
        "SetIdentifier": record.set_identifier,
        "Weight": record.weight,
        "Region": record.region,
        "HealthCheckId": record.health_check_id,
        "AliasTarget": record.alias_target,
        "Failover": record.failover,
        "GeoLocation": record.geo_location,
        "MultiValueAnswer": record.multi_value_answer,
    }
    return {member: value for member, value in members.items() if value is not None}


def _as_moto_has_it(record: Object) -> Object:
    values = [each["Value"] for each in record.get("ResourceRecords", ())]
    return {**record, "ResourceRecords": values} if values else record
