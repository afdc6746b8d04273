"""What an endpoint is asked, in the words of its workload's `health`. PURE.

Called by `meshctl.deploy.endpoints.endpoint_answers` after an `up`, and by the steps of a migration.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.clients.endpoints.health_checks import Question
from meshctl.model.deployment import Deployment, Endpoint

_REDIRECTS_END = 400  # a kubelet takes a redirect for health, too


def questions(deployment: Deployment, endpoint: Endpoint) -> Iterator[Question]:
    """The question for its health, then one as a user would ask it, for each of its routes. Where health is not asked
    on the endpoint's own port, nobody knows what is spoken there."""
    health = deployment.workload(endpoint.workload).health
    if health is None or health.port != endpoint.port:
        yield Question("any")
        return
    if health.protocol in ("grpc", "tcp"):
        yield Question(health.protocol)
        return
    # a load balancer that ends TLS is asked by HTTPS, whatever the pods behind it speak
    protocol = "https" if endpoint.certificate is not None else health.protocol
    yield Question(protocol, health.path, below=_REDIRECTS_END)
    for path in endpoint.paths or ("/",):
        yield Question(protocol, path)
