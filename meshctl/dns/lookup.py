"""Looks up host names in DNS at the zone's authoritative servers, so that no cache answers. EDGE.

Used by migrations, around a cutover.
"""

from __future__ import annotations

import ipaddress
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.resolver

from meshctl.errors import UnreachableError, UsageError

DNS_SERVER = "MESHCTL_DNS_SERVER"  # "address:port" of the DNS server to ask, for networks with a DNS view of their own
_DNS_TIMEOUT_S = 10  # for all servers together: some of them may be down
_AT_ONCE = 16  # questions under way at a time, where one name is asked for many times


def dns_server() -> tuple[str, int] | None:
    """The address and port in MESHCTL_DNS_SERVER; None when it is not set. Raises: UsageError."""
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
            f"{DNS_SERVER}={given} is not the address of a DNS server",
            why="it must be an IP address and a port, such as 10.0.0.2:53 or [fd00::2]:53",
            hint=f"correct it, or run `unset {DNS_SERVER}` to ask the zone's own servers",
        )
    return str(parsed), number


def resolve(host: str) -> list[str]:
    """What DNS answers for `host` now: the target of its CNAME, or its addresses; empty when it has no record.

    The zone's authoritative servers are asked, one after the other until one answers, so that no cache is involved; or
    the server that MESHCTL_DNS_SERVER names. Raises: UnreachableError when no server answers.
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
        values = [str(record.target if kind == "CNAME" else record.address) for record in answer]
        return [value.rstrip(".") for value in values]
    return []


def cnames(name: str, resolutions: int) -> Counter[str]:
    """Where the CNAME of `name` leads, each target with how often, when the zone's name servers are asked so often.

    Raises: UnreachableError when no server answers."""
    resolver = _resolver(name)
    targets = Counter(_cname_targets(resolver, name))
    if not targets:
        return targets
    with ThreadPoolExecutor(_AT_ONCE) as pool:  # after an error the questions that wait are not asked any more
        for answer in pool.map(lambda _: _cname_targets(resolver, name), range(resolutions - 1)):
            targets.update(answer)
    return targets


def _cname_targets(resolver: dns.resolver.Resolver, name: str) -> tuple[str, ...]:
    try:
        answer = resolver.resolve(name, "CNAME", search=False)
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        return ()
    except dns.exception.DNSException as error:
        raise UnreachableError(f"DNS does not answer for {name}", why=str(error), hint="check the network") from error
    return tuple(str(record.target).rstrip(".") for record in answer)


def _resolver(host: str) -> dns.resolver.Resolver:
    server = dns_server()
    try:
        resolver = dns.resolver.Resolver(configure=server is None)
        resolver.lifetime = _DNS_TIMEOUT_S
        resolver.cache = None
        if server is not None:
            address, port = server
            resolver.nameservers, resolver.port = [address], port
            return resolver
        zone = dns.resolver.zone_for_name(host, resolver=resolver)
        servers = sorted(str(record.target) for record in resolver.resolve(zone, "NS"))
    except dns.exception.DNSException as error:
        raise UnreachableError(
            f"no name server found for {host}", why=str(error), hint="check the network, and the zone's NS records"
        ) from error
    addresses = [address for name in servers for address in _addresses(resolver, name)]
    if not addresses:
        raise UnreachableError(
            f"no name server found for {host}",
            why=f"no address for {', '.join(servers)}",
            hint="check the network, and the zone's NS records",
        )
    resolver.nameservers = addresses
    return resolver


def _addresses(resolver: dns.resolver.Resolver, server: str) -> list[str]:
    """The addresses of a name server; empty when they can't be looked up, since a zone has several servers."""
    for kind in ("A", "AAAA"):
        try:
            return [str(record.address) for record in resolver.resolve(server, kind, search=False)]
        except dns.exception.DNSException:
            continue
    return []


def address_of(address: str) -> str:
    """An IP address to connect to, one of IPv6 in brackets: `address` itself, or what the host name resolves to,
    following CNAMEs. Raises: UnreachableError."""
    first = addresses_of(address)[0]
    return f"[{first}]" if ":" in first else first


def addresses_of(address: str) -> list[str]:
    """All IP addresses of a load balancer that has this address or this name, following CNAMEs.

    Raises: UnreachableError."""
    current = [address]
    for _ in range(8):  # a CNAME may point to another CNAME
        try:
            return [str(ipaddress.ip_address(each)) for each in current]
        except ValueError:
            answers = _lookup(current[0])
            if not answers:
                raise UnreachableError(
                    f"{current[0]} has no address", hint="the name of a new load balancer takes a minute: try again"
                ) from None
            current = answers
    raise UnreachableError(f"{address} is a CNAME that leads through more than 8 others, or back to itself")


def _lookup(name: str) -> list[str]:
    """As `resolve`, but through this machine's resolver, since the zones of load balancers belong to the cloud."""
    if dns_server() is not None:
        return resolve(name)
    try:
        return [str(record.address) for record in dns.resolver.resolve(name, "A")]
    except dns.exception.DNSException:
        return []
