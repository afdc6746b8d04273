"""An environment on a cluster that exists: what makes or marks the nodes of its pools, buckets, the Kubernetes layer.

Run by `meshctl.deploy.session` through the platform, inside a Pulumi inline program. Node pools are waited for: one may
be accepted and never fill (no quota), which its conditions say. Where nodes are given, `meshctl.resolve` has decided
which of them serve which pool; here they only get their labels, which `destroy` takes away again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from meshctl.model.deployment import Deployment
from stacks import kubernetes, platform
from stacks.buckets import declare_buckets
from stacks.exports import export


def declare(
    deployment: Deployment,
    late: Mapping[str, Any],
    ready_timeout_s: int = 0,
    *,
    staying: Mapping[str, Sequence[str]] | None = None,
    cluster_uid: str = "",
) -> None:
    """Declare the whole environment and export `deployment`, `endpoints` and `cluster_uid`. `late`: see
    `stacks.aws.program.declare`; `staying`: see `platform.declare`."""
    provider = kubernetes.provider(deployment, cluster_uid=cluster_uid)
    nodes = platform.declare_nodes(deployment, provider=provider, late=late)
    buckets = declare_buckets(deployment)
    addresses = platform.declare(
        deployment,
        provider=provider,
        late=late,
        depends_on=list(buckets.values()),
        pools=nodes,
        ready_timeout_s=ready_timeout_s,
        staying=staying,
    )
    export(deployment, addresses, cluster_uid=cluster_uid)
