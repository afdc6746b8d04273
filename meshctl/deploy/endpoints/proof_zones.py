"""The ids of the DNS zones in which the hosts of certificates are proven. EDGE (asks Route 53 for those of new ones).

Called by `session` inside a run, for the deferred values `id of the zone …` of `meshctl.render`. A zone is asked for
once: after that the state has its id, and a run that changes nothing needs no access to the zone's account.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.dns.endpoint_records import hosted_zone_id
from meshctl.errors import CredentialsError, UnreachableError
from meshctl.model.deployment import Deployment
from meshctl.model.resource_types import RECORD_SET
from meshctl.model.stack_state import StackState
from meshctl.render import zone_id_name


def deferred_values(deployment: Deployment, state: StackState, *, is_preview: bool) -> dict[str, str]:
    """By the names that the programs use. A preview that can't ask goes on with the zone's name.

    Raises: MeshError, CredentialsError, UnreachableError, BusyError as `hosted_zone_id`.
    """
    zones = {each.certificate.zone: each.certificate.profile for each in deployment.endpoints if each.certificate}
    in_state = dict(_ids_in_state(state))
    return {
        zone_id_name(zone): in_state.get(zone) or _id_from_route53(zone, profile, is_preview=is_preview)
        for zone, profile in zones.items()
    }


def _id_from_route53(zone: str, profile: str, *, is_preview: bool) -> str:
    try:
        return hosted_zone_id(zone, profile)
    except (CredentialsError, UnreachableError):
        if not is_preview:
            raise
        return zone


def _ids_in_state(state: StackState) -> Iterator[tuple[str, str]]:
    endpoints = state.deployment.endpoints if state.deployment else ()
    zones = {f"endpoint/{each.name}": each.certificate.zone for each in endpoints if each.certificate}
    for resource in state.of_type(RECORD_SET):
        if resource.subject in zones and resource.is_real:
            yield zones[resource.subject], str(resource.inputs["HostedZoneId"])
