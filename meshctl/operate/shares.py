"""How the users of a shared host are split, as its weights say and as is measured: resolutions at its name servers,
requests at its gateway. EDGE (reads only), but for requests (PURE).

Called by `endpoint_status` for hosts that lead to several environments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from meshctl.dns.lookup import cnames
from meshctl.errors import MeshError
from meshctl.model.deployment import Elsewhere
from meshctl.model.dns_splits import WHOLE, Split, side_name, split_name
from meshctl.model.keys.gateway_shares import RequestCount

RESOLUTIONS: Final = 200


@dataclass(frozen=True)
class ShareStatus:
    """One environment's share. `measured`: how many of `resolutions` led there; both 0 where no server answered."""

    environment: str
    weight: int  # of 255
    has_check: bool
    measured: int = 0
    resolutions: int = 0

    @property
    def text(self) -> str:
        seen = f", {self.measured} of {self.resolutions} resolutions" if self.resolutions else ""
        return f"{self.environment} {self.weight * 100 / WHOLE:.1f}%{seen}"


@dataclass(frozen=True)
class RequestShare:
    """What part of the requests that arrive here the gateway gives to an environment. `measured`: how many of its last
    `requests` went there; both 0 where none was counted."""

    environment: str
    weight: int  # of 255
    measured: int = 0
    requests: int = 0

    @property
    def text(self) -> str:
        seen = f", {self.measured} of the last {self.requests}" if self.requests else ""
        return f"{self.environment} {self.weight * 100 / WHOLE:.1f}%{seen}"


def request_shares(environment: str, elsewhere: Elsewhere | None) -> tuple[RequestShare, ...]:
    """Of the gateway of an endpoint of `environment`; none where it keeps all requests."""
    if elsewhere is None:
        return ()
    own = RequestShare(environment, WHOLE - elsewhere.weight)
    return own, RequestShare(elsewhere.environment, elsewhere.weight)


def counted(request_shares: tuple[RequestShare, ...], count: RequestCount) -> tuple[RequestShare, ...]:
    """The shares of a gateway, as `request_shares` has them, with what it has counted."""
    if not request_shares:
        return ()
    own, other = request_shares
    return (
        replace(own, measured=count.own, requests=count.total),
        replace(other, measured=count.passed_on, requests=count.total),
    )


def shares(host: str, split: Split) -> tuple[ShareStatus, ...]:
    """The shares of a host, its name servers asked `RESOLUTIONS` times."""
    try:
        counted: Mapping[str, int] = cnames(split_name(host), RESOLUTIONS)
    except MeshError:
        counted = {}
    total = sum(counted.values())
    return tuple(
        ShareStatus(
            side.environment,
            side.weight,
            side.check is not None,
            counted.get(side_name(host, side).rstrip("."), 0),
            total,
        )
        for side in split.sides
    )
