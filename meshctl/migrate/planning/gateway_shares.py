"""What an expansion needs whose requests the source's gateway shares, and where that leads them. PURE.

Called by `expansion` for the plan, and by the step that sets a share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from meshctl.migrate.planning.inputs import Share
from meshctl.model.deployment import Deployment, Elsewhere, Endpoint, Gap
from meshctl.model.keys import gateway_shares
from meshctl.render.controllers.gateway_shares import CONNECT_S, FAILURES, LEFT_S


def gateway_gaps(source: Deployment, target: Deployment) -> Iterator[Gap]:
    """What forbids that the source's gateway leads requests to the target."""
    by_name = {each.name: each for each in source.endpoints}
    for endpoint in target.endpoints:
        own = by_name.get(endpoint.name)
        if own is not None:  # else there is a gap already
            yield from _endpoint_gaps(source, own, endpoint)


def _endpoint_gaps(source: Deployment, own: Endpoint, target: Endpoint) -> Iterator[Gap]:
    subject = f"endpoint/{target.name}"
    if not (gateway_shares.has_gateway(own) and gateway_shares.has_gateway(target)):
        yield Gap(
            subject=subject,
            wanted="a gateway, which shares the requests",
            best="its load balancer leads straight to the pods",
            hint=f"leave out --by gateway; or write `routes: {{/: {target.workload}/{target.port}}}` in"
            f" endpoints.{target.name}, in place of `workload` and `port`, then `meshctl up {source.environment}`:"
            " users reach it on port 80 from then on",
        )
    elif any(url.startswith("https://") for url in _pod_urls(source, own)):
        yield Gap(
            subject=subject,
            wanted="pods that speak HTTP behind the gateway",
            best="the gateway asks them by HTTPS, whose certificate it does not verify",
            hint="leave out --by gateway; or end TLS at the gateway alone: `tls` in the endpoint",
        )


def _pod_urls(source: Deployment, endpoint: Endpoint) -> list[str]:
    return gateway_shares.pod_urls(source.workload(endpoint.workload))


def elsewhere(
    target: Deployment, endpoint: Endpoint, weight: int, addresses: Sequence[str], present: Elsewhere | None = None
) -> Elsewhere:
    """The target's load balancer, as the source's gateway is told of it. `addresses`: IP addresses. `present`: what the
    gateway was told before. The same share given again is left as it is, also where an older release had it count
    nothing: the gateway's pods are not replaced for that."""
    is_https = endpoint.port == "https" or endpoint.certificate is not None
    wanted = Elsewhere(
        environment=target.environment,
        weight=weight,
        addresses=tuple(sorted(addresses)),
        port=target.listening_port(endpoint),
        certified_host=endpoint.host if is_https else "",
        is_counted=True,
    )
    is_same = present is not None and present == wanted.model_copy(update={"is_counted": present.is_counted})
    return present if present and is_same else wanted


def share_notes(source: Deployment, target: Deployment, share: Share) -> Iterator[str]:
    """What the share is a share of."""
    if share.by == "dns":
        yield (
            f"{share.text} of the resolutions of its names lead to {target.environment}: a share of resolutions, not of"
            " requests, since clients keep an answer and their connections for a while"
        )
        return
    yield (
        f"the gateway of {source.environment} passes {share.text} of the requests on to {target.environment}, request"
        f" by request: requests and answers go through {source.environment}, which pays for the traffic between the"
        " two"
    )
    yield (
        f"a request that {target.environment} does not accept within {CONNECT_S} s is answered in {source.environment};"
        f" after {FAILURES} failed connections to an address of its load balancer, that address gets no request for"
        f" {LEFT_S} s. A request that was accepted is not sent a second time"
    )
    for endpoint in target.endpoints:
        if endpoint.is_internal or endpoint.cidrs:
            yield (
                f"{endpoint.host} is not open to all networks: the gateway's pods in {source.environment} must reach"
                f" its load balancer in {target.environment}, which is tried before the share counts"
            )
    yield f"each new share replaces the pods of the gateway in {source.environment}, one by one"
