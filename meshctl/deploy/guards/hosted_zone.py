"""Asks Route 53, before anything is made, whether the zone of new endpoints is there and is the right one. EDGE.

Called by `runs` at the same time as `preflight`. Names are written last, so that a mistake in `dns.zone` would show
only once everything else is up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshctl.clients.aws import aws_questions
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Endpoint, Gap
from meshctl.model.environment import Dns
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings

_NAME: Final = "hosted-zone"
_ABOUT: Final = "the DNS zone of the endpoints"
_REGION: Final = "us-east-1"  # where Route 53's API is
_MISSING: Final = "NoSuchHostedZone"
_CORRECT: Final = "create the zone, or correct `dns.zone` in environments.yaml"


def ask(deployment: Deployment, up: Deployment | None, dns: Dns | None) -> Findings:
    """`up`: what the last run declared. Only names and certificates that it did not have are asked about."""
    before = up.endpoints if up else ()
    new_hosts = sorted({each.host for each in deployment.endpoints} - {each.host for each in before})
    unproven = sorted(_proven(deployment.endpoints) - _proven(before))
    if dns is None or not (new_hosts or unproven):
        return Findings()
    question = question_of(dns.zone)
    try:
        answer = aws_questions.ask((question,), profile=dns.profile or "", region=_REGION)[_NAME]
    except MeshError as error:
        return Findings(notes=(f"not checked with Route 53: {_ABOUT} ({error.what})",))
    if question.is_unanswered(answer):
        return Findings(notes=(f"Route 53 did not say whether {_ABOUT} is there ({answer.code})",))
    return Findings(gaps=(*gaps(dns.zone, new_hosts, answer), *_unproven(dns.zone, unproven, answer)))


def _proven(endpoints: Iterable[Endpoint]) -> set[str]:
    """The hosts for which the platform makes a certificate."""
    return {endpoint.host for endpoint in endpoints if endpoint.certificate is not None}


def question_of(zone: str) -> ApiQuestion:
    """`zone`: a domain name, or already an id."""
    if "." in zone:
        arguments = {"DNSName": _domain(zone)}
        return ApiQuestion(_NAME, "route53", "list_hosted_zones_by_name", _ABOUT, arguments)
    zone_id = zone.removeprefix("/hostedzone/")
    codes = (_MISSING,)
    return ApiQuestion(_NAME, "route53", "get_hosted_zone", _ABOUT, {"Id": zone_id}, telling_codes=codes)


def _zones(zone: str, answer: ApiAnswer) -> list[Mapping[str, Any]]:
    if "HostedZone" in answer.content:
        return [answer.content["HostedZone"]]
    return [each for each in answer.content.get("HostedZones", []) if each["Name"] == _domain(zone)]


def _unproven(zone: str, hosts: list[str], answer: ApiAnswer) -> Iterator[Gap]:
    """`hosts`: those that get a certificate of the platform, which is issued only if their record can be seen in public
    DNS."""
    zones = _zones(zone, answer)
    if len(zones) != 1 or not (zones[0].get("Config") or {}).get("PrivateZone"):
        return
    for host in hosts:
        yield Gap(
            subject="dns",
            wanted=f"a certificate for {host}, made by the platform",
            best=f"the zone {zone} is private, and a host is proven in public DNS",
            hint="name a public zone as `dns.zone`, or write `tls: {secret: NAME}` with a certificate of your own",
        )


def gaps(zone: str, hosts: list[str], answer: ApiAnswer) -> Iterator[Gap]:
    zones = _zones(zone, answer)
    wanted = f"the DNS zone {zone} in Route 53"
    if not zones:
        yield Gap(subject="dns", wanted=wanted, best="there is none", hint=_CORRECT)
    elif len(zones) > 1:
        ids = ", ".join(str(each["Id"]).removeprefix("/hostedzone/") for each in zones)
        yield Gap(
            subject="dns", wanted=wanted, best=f"{len(zones)} have this name", hint=f"set `dns.zone` to one of {ids}"
        )
    else:
        name = zones[0]["Name"].rstrip(".")
        for host in hosts:
            if host != name and not host.endswith(f".{name}"):
                best = f"the zone {zone} is that of {name}"
                yield Gap(subject="dns", wanted=f"a record for {host}", best=best, hint=_CORRECT)


def _domain(zone: str) -> str:
    return zone.rstrip(".") + "."
