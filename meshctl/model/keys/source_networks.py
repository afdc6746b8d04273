"""The networks that a public endpoint is reached from, as mesh.yaml writes them. PURE. Read by `meshctl.model.mesh`."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator, Field


def _network(text: str) -> str:
    if "/" not in text and _is_address(text):
        raise ValueError(f'"{text}" is one address, not a network; write "{text}/32"')
    try:
        network = ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        raise ValueError(f'"{text}" is not an IPv4 network like 203.0.113.0/24') from None
    if str(network) != text:
        raise ValueError(f'"{text}" is not a network in its usual form; write "{network}"')
    return text


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _some(networks: tuple[str, ...]) -> tuple[str, ...]:
    if not networks:
        raise ValueError("the list is empty; leave `cidrs` out to let all in, or name networks like 203.0.113.0/24")
    return networks


SourceNetwork = Annotated[str, AfterValidator(_network), Field(json_schema_extra={"pattern": r"^[0-9.]+/[0-9]+$"})]
SourceNetworks = Annotated[tuple[SourceNetwork, ...], AfterValidator(_some), Field(json_schema_extra={"minItems": 1})]
EVERYWHERE = "0.0.0.0/0"
