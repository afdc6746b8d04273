"""Route 53: record sets. Source: Route 53 API reference, API version 2013-04-01. PURE.

A name that already answers with something else belongs to someone: taking it over must be asked for
(`Overwrite: true`).
"""

from __future__ import annotations

from typing import Any

from providers.base.row import Adopt, Call, Context, Poll, Row, Setting

MEMBERS = (
    "Name",
    "Type",
    "SetIdentifier",
    "Weight",
    "Region",
    "Failover",
    "MultiValueAnswer",
    "TTL",
    "ResourceRecords",
    "AliasTarget",
    "HealthCheckId",
)
VALUES = ("TTL", "ResourceRecords", "AliasTarget", "Weight", "HealthCheckId")


def _batch(action: str, record: dict[str, Any]) -> dict[str, Any]:
    return {"Changes": [{"Action": action, "ResourceRecordSet": record}]}


def _wanted(context: Context) -> dict[str, Any]:
    return {name: context["inputs"][name] for name in MEMBERS if name in context["inputs"]}


def _create(context: Context) -> Any:
    return _batch("UPSERT" if context["inputs"].get("Overwrite") is True else "CREATE", _wanted(context))


def _upsert(context: Context) -> Any:
    return _batch("UPSERT", _wanted(context))


def _delete(context: Context) -> Any:
    """The record as it is: Route 53 deletes only what it is told exactly."""
    return _batch("DELETE", {name: context["answer"][name] for name in MEMBERS if name in context["answer"]})


def _full_name(context: Context) -> Any:
    """As Route 53 answers it: lower case, ending in a dot, `*` escaped."""
    name = str(context["inputs"]["Name"]).lower().rstrip(".") + "."
    return name.replace("*", "\\052", 1) if name.startswith("*") else name


def _set_identifier(context: Context) -> Any:
    return context["inputs"].get("SetIdentifier") or ""


INSYNC = Poll(
    "Status",
    ok=("INSYNC",),
    every_s=5,
    timeout_s=600,
    call=Call("GetChange", {"Id": "answer.ChangeInfo.Id"}, path="ChangeInfo"),
)

LIST = Call(
    "ListResourceRecordSets",
    {"HostedZoneId": "parts[0]", "StartRecordName": "parts[1]", "StartRecordType": "parts[2]", "MaxItems": "'100'"},
    path="ResourceRecordSets[?Name==${parts[1]} && Type==${parts[2]}"
    " && not_null(SetIdentifier, '')==${parts[3]}] | [0]",
)

RECORD_SET = Row(
    "meshaws:route53:RecordSet",
    "route53",
    "Route 53 API ChangeResourceRecordSets",
    create=Call(
        "ChangeResourceRecordSets",
        {"HostedZoneId": "inputs.HostedZoneId", "ChangeBatch": _create},
    ),
    id="join('|', [inputs.HostedZoneId, full_name, inputs.Type, set_identifier])",
    read=LIST,
    delete=Call(
        "ChangeResourceRecordSets",
        {"HostedZoneId": "parts[0]", "ChangeBatch": _delete},
        tolerate=("InvalidChangeBatch:not found",),
    ),
    adopt=Adopt(
        by="same",
        first=True,
        exists=("InvalidChangeBatch:already exists",),
        find=Call(
            "ListResourceRecordSets",
            {
                "HostedZoneId": "inputs.HostedZoneId",
                "StartRecordName": "full_name",
                "StartRecordType": "inputs.Type",
                "MaxItems": "'100'",
            },
            path="ResourceRecordSets[?Name==${full_name} && Type==${inputs.Type}"
            " && not_null(SetIdentifier, '')==${set_identifier}] | [0]",
            when="inputs.Overwrite != `true`",
        ),
    ),
    not_found=("NoSuchHostedZone",),
    extra_inputs=("HostedZoneId", *MEMBERS, "Overwrite"),
    required=("HostedZoneId", "Name", "Type"),
    settings=(
        Setting(
            VALUES,
            (Call("ChangeResourceRecordSets", {"HostedZoneId": "parts[0]", "ChangeBatch": _upsert}),),
            wait=INSYNC,
        ),
        Setting(("Overwrite",), ()),
    ),
    derived={"full_name": _full_name, "set_identifier": _set_identifier},
    opaque=("HostedZoneId", "Name", "Overwrite"),
    created=INSYNC,
    delete_reads=True,
)

ROWS: tuple[Row, ...] = (RECORD_SET,)
