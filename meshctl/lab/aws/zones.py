"""The hosted zone that the lab's account has from the start. Called by `server` once. EDGE."""

from __future__ import annotations

from moto.core import DEFAULT_ACCOUNT_ID
from moto.route53.models import FakeZone, route53_backends

NAME = "example.com."
ID = "Z0LAB00EXAMPLE00COM00"


def create() -> None:
    """Make `example.com.` with an id that is the same in every lab."""
    backend = route53_backends[DEFAULT_ACCOUNT_ID]["aws"]
    zone: FakeZone = backend.create_hosted_zone(NAME, private_zone=False, comment="the lab's own")
    backend.zones.pop(zone.resource_id)
    zone.resource_id = ID
    backend.zones[ID] = zone
