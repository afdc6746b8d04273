"""Looks endpoints' names up as the world sees them: at the zone's own servers, so that no cache answers. EDGE.

Used by migrations, around a cutover.
"""

from __future__ import annotations

import ipaddress
import os

import dns.exception
import dns.resolver

from meshctl.errors import UnreachableError, UsageError

DNS_SERVER = "MESHCTL_DNS_SERVER"  # "address:port" of the DNS server to ask, for networks with a view of their own
_DNS_TIMEOUT_S = 10  # for all servers together: some of them may be down


def dns_server() -> tuple[str, int] | None:
    """The address and the port of the server that MESHCTL_DNS_SERVER names, if it does. Raises: UsageError."""
    given = os.environ.get(DNS_SERVER, "")
    if not given:
        return None
    address, _, port = given.rpartition(":")
    try:
        parsed = ipaddress.ip_address(address.removeprefix("[").removesuffix("]"))
        number = int(port)
    except ValueError:
        number = 0
    if not 0 < number < 1 << 16:
        raise UsageError(
            f"{DNS_SERVER}={given} names no DNS server",
            why="it must be an IP address and a port, such as 10.0.0.2:53 or [fd00::2]:53",
            hint=f"mend it, or `unset {DNS_SERVER}`: then the zone's own servers are asked",
        )
    return str(parsed), number


def resolve(host: str) -> list[str]:
    """What DNS answers for `host` now: addresses, or the name that it is an alias of; nothing when it has no record.

    Asked are the zone's own servers, one after the other until one answers, so that no cache does; or the server that
    MESHCTL_DNS_SERVER names.
    Raises: UnreachableError when no server answers.
    """
    resolver = _resolver(host)
    for kind in ("CNAME", "A", "AAAA"):
        try:
            answer = resolver.resolve(host, kind, search=False)
        except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
            continue
        except dns.exception.DNSException as error:
            raise UnreachableError(
                f"DNS does not answer for {host}", why=str(error), hint="check the network"
            ) from error
        found = [str(record.target if kind == "CNAME" else record.address) for record in answer]
        return [text.rstrip(".") for text in found]
    return []


def _resolver(host: str) -> dns.resolver.Resolver:
    given = dns_server()
    try:
        resolver = dns.resolver.Resolver(configure=given is None)
        resolver.lifetime = _DNS_TIMEOUT_S
        resolver.cache = None
        if given is not None:
            address, port = given
            resolver.nameservers, resolver.port = [address], port
            return resolver
        zone = dns.resolver.zone_for_name(host, resolver=resolver)
        servers = sorted(str(record.target) for record in resolver.resolve(zone, "NS"))
    except dns.exception.DNSException as error:
        raise UnreachableError(
            f"no name server found for {host}", why=str(error), hint="check the network, and the zone's NS records"
        ) from error
    addresses = [address for server in servers for address in _addresses(resolver, server)]
    if not addresses:
        raise UnreachableError(
            f"no name server found for {host}",
            why=f"{', '.join(servers)}: no address",
            hint="check the network, and the zone's NS records",
        )
    resolver.nameservers = addresses
    return resolver


def _addresses(resolver: dns.resolver.Resolver, server: str) -> list[str]:
    """None where they can't be found out now: a zone has several servers."""
    for kind in ("A", "AAAA"):
        try:
            return [str(record.address) for record in resolver.resolve(server, kind, search=False)]
        except dns.exception.DNSException:
            continue
    return []


def address_of(address: str) -> str:
    """An IP address to connect to: `address` itself, or what its name resolves to."""
    seen = address
    for _ in range(8):  # aliases of aliases
        try:
            parsed = ipaddress.ip_address(seen)
        except ValueError:
            found = _lookup(seen)
            if not found:
                raise UnreachableError(
                    f"{seen} has no address", hint="a new load balancer's name takes a minute"
                ) from None
            seen = found[0]
            continue
        return f"[{parsed}]" if parsed.version == 6 else str(parsed)
    raise UnreachableError(f"{address} is an alias without end")


def _lookup(name: str) -> list[str]:
    """Like `resolve`, but through the machine's own resolver: load balancers' zones are not ours."""
    if dns_server() is not None:
        return resolve(name)
    try:
        return [str(record.address) for record in dns.resolver.resolve(name, "A")]
    except dns.exception.DNSException:
        return []
