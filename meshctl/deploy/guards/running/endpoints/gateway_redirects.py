"""Gateways that are up without a redirect from HTTP keep to that until something else of them changes. PURE.

Called by `running_pods`. Versions up to 0.2 left port 80 closed where a gateway ends TLS. The redirect is a part of the
gateway's configuration, so that it would replace the pods of every gateway with the next `up`.
"""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Workload
from meshctl.resolve.work import gateways


def as_it_is_up(deployment: Deployment, up: Deployment | None) -> Deployment:
    """`up`: what the last run declared."""
    running = {each.name: each for each in (up.workloads if up else ())}
    closed = {
        each.name
        for each in deployment.workloads
        if gateways.redirects(each)
        and each.name in running
        and _same(gateways.without_redirect(each), running[each.name])
    }
    if not closed:
        return deployment
    workloads = tuple(gateways.without_redirect(each) if each.name in closed else each for each in deployment.workloads)
    endpoints = tuple(
        each.model_copy(update={"redirect": ""}) if each.workload in closed else each for each in deployment.endpoints
    )
    return deployment.model_copy(update={"workloads": workloads, "endpoints": endpoints})


def _same(workload: Workload, running: Workload) -> bool:
    """In what a gateway is made of. Its replicas change no pod that is up."""
    return all(
        getattr(workload, field) == getattr(running, field)
        for field in ("image", "args", "env", "files", "secret_files", "ports", "certificate", "cpu", "memory_gib")
    )
