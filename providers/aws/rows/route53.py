"""Route 53: record sets and health checks. Source: Route 53 API reference, API version 2013-04-01. PURE.

A name that already answers with something else belongs to someone: taking it over must be asked for
(`Overwrite: true`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from providers.aws.rows_engine.row import Adopt, Call, Context, Poll, Row, Setting, Tags

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
VALUES = (
    "Type",
    "TTL",
    "ResourceRecords",
    "AliasTarget",
    "Weight",
    "Region",
    "Failover",
    "MultiValueAnswer",
    "HealthCheckId",
)


def _batch(action: str, record: dict[str, Any]) -> dict[str, Any]:
    return {"Changes": [{"Action": action, "ResourceRecordSet": record}]}


def _wanted(context: Context) -> dict[str, Any]:
    return {name: context["inputs"][name] for name in MEMBERS if name in context["inputs"]}


def _create(context: Context) -> Any:
    return _batch("UPSERT" if context["inputs"].get("Overwrite") is True else "CREATE", _wanted(context))


def _put(context: Context) -> Any:
    """The record in one batch, which Route 53 applies as a whole: at no moment does the name have no record.

    Where the type changes, the record of the old type goes in the same batch, if it is still as we made it. `answer`:
    the records of that name as they are now, so that a change that went through before an error isn't made twice.
    """
    wanted, present = _wanted(context), context["answer"] or []
    if any(record["Type"] == wanted["Type"] for record in present) and context["old_inputs"]["Type"] == wanted["Type"]:
        return _batch("UPSERT", wanted)
    changes = [
        change for record in present if _is_old(record, context) for change in _batch("DELETE", record)["Changes"]
    ]
    action = "UPSERT" if any(_same_values(record, wanted) for record in present) else "CREATE"
    return {"Changes": [*changes, *_batch(action, wanted)["Changes"]]}


def _is_old(record: dict[str, Any], context: Context) -> bool:
    old = context["old_inputs"]
    return old["Type"] != context["inputs"]["Type"] and _same_values(record, old)


def _same_values(record: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(record.get(member) == wanted.get(member) for member in ("Type", "ResourceRecords", "AliasTarget"))


def _delete(context: Context) -> Any:
    """The record as it is: Route 53 deletes only what it is told exactly."""
    return _batch("DELETE", {name: context["answer"][name] for name in MEMBERS if name in context["answer"]})


def _proves_a_host(inputs: Mapping[str, Any]) -> bool:
    """Whether it is the record by which ACM proves a host. ACM asks for the same one for all certificates of that host
    in an account, whoever wants them, and renews each of them by it (ACM user guide, "DNS validation")."""
    records = inputs.get("ResourceRecords") or ()
    values = [str(each.get("Value", "")) for each in records if isinstance(each, Mapping)]
    return inputs.get("Type") == "CNAME" and any(value.rstrip(".").endswith(".acm-validations.aws") for value in values)


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

# The type in an id is that of the record's first day: it changes in place.
LIST = Call(
    "ListResourceRecordSets",
    {
        "HostedZoneId": "parts[0]",
        "StartRecordName": "parts[1]",
        "StartRecordType": "not_null(inputs.Type, parts[2])",
        "MaxItems": "'100'",
    },
    path="ResourceRecordSets[?Name==${parts[1]} && Type==${not_null(inputs.Type, parts[2])}"
    " && not_null(SetIdentifier, '')==${parts[3]}] | [0]",
)

OF_NAME = Call(
    "ListResourceRecordSets",
    {"HostedZoneId": "parts[0]", "StartRecordName": "parts[1]", "MaxItems": "'100'"},
    path="ResourceRecordSets[?Name==${parts[1]} && not_null(SetIdentifier, '')==${parts[3]}]",
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
        common=_proves_a_host,
        as_found=("TTL",),
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
            (OF_NAME, Call("ChangeResourceRecordSets", {"HostedZoneId": "parts[0]", "ChangeBatch": _put})),
            wait=INSYNC,
        ),
        Setting(("Overwrite",), ()),
    ),
    derived={"full_name": _full_name, "set_identifier": _set_identifier},
    opaque=("HostedZoneId", "Name", "Overwrite"),
    created=INSYNC,
    delete_reads=True,
    delete_first=False,  # what replaces a record is another one: another zone, name or set identifier
)

# What UpdateHealthCheck takes; type and interval stay as they were made.
CHANGEABLE_CHECK = ("IPAddress", "Port", "ResourcePath", "FullyQualifiedDomainName", "FailureThreshold", "EnableSNI")


def _is_of_our_reference(_check: Any, _context: Context) -> bool:
    return True


# `CallerReference` comes from the program: Route 53 never makes two checks for one, and takes none of a check that was
# deleted ("CreateHealthCheck", Route 53 API reference), so each check needs one of its own.
HEALTH_CHECK = Row(
    "meshaws:route53:HealthCheck",
    "route53",
    "Route 53 API CreateHealthCheck",
    create=Call("CreateHealthCheck", forward=True),
    id="answer.HealthCheck.Id",
    read=Call("GetHealthCheck", {"HealthCheckId": "id"}, path="HealthCheck"),
    delete=Call("DeleteHealthCheck", {"HealthCheckId": "id"}),
    adopt=Adopt(
        by="name",
        first=True,
        exists=("HealthCheckAlreadyExists",),
        proof=_is_of_our_reference,
        find=Call(
            "ListHealthChecks",
            path="HealthChecks[?CallerReference==${inputs.CallerReference}]",
            paginate=True,
        ),
        id="Id",
    ),
    not_found=("NoSuchHealthCheck",),
    required=("CallerReference", "HealthCheckConfig"),
    settings=(
        Setting(
            ("HealthCheckConfig",),
            (
                Call(
                    "UpdateHealthCheck",
                    {"HealthCheckId": "id", **{name: f"inputs.HealthCheckConfig.{name}" for name in CHANGEABLE_CHECK}},
                ),
            ),
        ),
    ),
    fixed=("HealthCheckConfig.Type", "HealthCheckConfig.RequestInterval"),
    tags=Tags(
        get=Call(
            "ListTagsForResource",
            {"ResourceType": "'healthcheck'", "ResourceId": "id"},
            path="ResourceTagSet.Tags",
        ),
        put=Call(
            "ChangeTagsForResource", {"ResourceType": "'healthcheck'", "ResourceId": "id", "AddTags": "put_tag_list"}
        ),
        remove=Call(
            "ChangeTagsForResource",
            {"ResourceType": "'healthcheck'", "ResourceId": "id", "RemoveTagKeys": "gone_tag_keys"},
        ),
    ),
    noise=("HealthCheckVersion",),
)

ROWS: tuple[Row, ...] = (RECORD_SET, HEALTH_CHECK)
