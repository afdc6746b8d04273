"""What clients of an endpoint would meet at the target of a migration and not at its source. PURE.

Called by `gaps` for what some of them would lose, which is refused: the names are moved in one step, and nobody would
have said it. Called by `plan` for the rest, which its notes say. `expansion` asks for no difference at all.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from typing import Final

from meshctl.model.deployment import Deployment, Endpoint, Gap
from meshctl.model.keys.source_networks import EVERYWHERE

Pairs = Iterator[tuple[Endpoint, Endpoint]]

_ALL: Final = (EVERYWHERE,)
_EVERY_PATH: Final = ("/",)  # what an endpoint without routes answers


def gaps(source: Deployment, target: Deployment) -> Iterator[Gap]:
    for old, new in _pairs(source, target):
        for what, lost in _losses(source, old, target, new):
            yield Gap(
                subject=f"endpoint/{new.name}",
                wanted=f"all clients that reach {new.host} now",
                best=f"{what}: {lost}",
                hint=f"make the change in {source.environment} first, where its plan shows it:"
                f" `meshctl up {source.environment}`; or take it back in mesh.yaml",
            )


def notes(source: Deployment, target: Deployment) -> Iterator[str]:
    for old, new in _pairs(source, target):
        at_source, at_target = _places(source, target)
        if old.is_internal and not new.is_internal:
            yield (
                f"endpoint {new.name} is internal {at_source}, public {at_target}: clients outside reach it after that"
            )
        elif not _lets_in(old.cidrs, new.cidrs):
            yield (
                f"endpoint {new.name} lets in {_networks(new)} {at_target}, and {_networks(old)} {at_source}: more"
                " clients reach it after that"
            )
        if old.workload != new.workload and not (old.paths or new.paths):
            yield f"endpoint {new.name} leads to {new.workload} {at_target}, and to {old.workload} {at_source}"


def _pairs(source: Deployment, target: Deployment) -> Pairs:
    """The endpoints that both have by one name and host; the others have gaps of their own."""
    at_target = {endpoint.name: endpoint for endpoint in target.endpoints}
    for old in source.endpoints:
        new = at_target.get(old.name)
        if new is not None and new.host == old.host:
            yield old, new


def _losses(source: Deployment, old: Endpoint, target: Deployment, new: Endpoint) -> Iterator[tuple[str, str]]:
    """The differences, and who loses what by them."""
    at_source, at_target = _places(source, target)
    port, old_port = target.listening_port(new), source.listening_port(old)
    if port != old_port:
        what = f"it listens on port {old_port} {at_source}, on port {port} {at_target}"
        yield what, f"clients of port {old_port} lose it"
    if new.is_internal and not old.is_internal:
        yield f"public {at_source}, internal {at_target}", "clients outside lose it"
    elif not _lets_in(new.cidrs, old.cidrs):
        yield f"it lets in {_networks(old)} {at_source}, {_networks(new)} {at_target}", "clients in the others lose it"
    new_paths = new.paths or _EVERY_PATH
    missing = ", ".join(path for path in old.paths or _EVERY_PATH if path not in new_paths)
    if missing:
        yield f"it has no route for {missing} {at_target}", f"requests for {missing} lead elsewhere"


def _places(source: Deployment, target: Deployment) -> tuple[str, str]:
    return f"on {source.environment}", f"on {target.environment}"


def _networks(endpoint: Endpoint) -> str:
    return ", ".join(endpoint.cidrs) or "all networks"


def _lets_in(cidrs: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether all clients in `others` are in `cidrs`, too; without any, all networks are."""
    networks, of_others = (tuple(map(ipaddress.ip_network, each or _ALL)) for each in (cidrs, others))
    return all(_is_within(each, networks) for each in of_others)


def _is_within(network: ipaddress.IPv4Network | ipaddress.IPv6Network, networks: Iterable[object]) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        of_four = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv4Network))
        return any(network.subnet_of(each) for each in of_four)
    of_six = ipaddress.collapse_addresses(each for each in networks if isinstance(each, ipaddress.IPv6Network))
    return any(network.subnet_of(each) for each in of_six)
