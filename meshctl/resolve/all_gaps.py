"""All that forbids a deployment: what the mesh asks for and the environment does not have. PURE."""

from __future__ import annotations

from meshctl.model.deployment import Deployment, Gap
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.resolve.data import existing_file_systems
from meshctl.resolve.drafts import Draft, Inputs
from meshctl.resolve.placement.machine_types import racks
from meshctl.resolve.work import gateways, queues, running, scaling, workloads
from meshctl.resolve.work.lending import lending


def gaps(inputs: Inputs, draft: Draft) -> tuple[Gap, ...]:
    mesh, environment, facts = inputs.mesh, inputs.environment, inputs.facts
    carried, made = draft.workloads, draft.pools.made
    unchanged = running.unchanged(carried, inputs.up)
    return (
        *inputs.platform.words.gaps(environment),
        *_dns_gaps(mesh, inputs.environments),
        *gateways.gaps(mesh, environment, facts),
        *draft.pools.gaps,
        *draft.storage.gaps,
        *draft.weka.gaps,
        *existing_file_systems.zone_gaps(draft.storage.file_systems, carried, made),
        *workloads.gaps(lending.fixed(carried, draft.waiting), made, draft.room, unchanged),
        *lending.gaps(mesh, carried, made, draft.usable, facts, draft.counter),
        *queues.gaps(carried, facts),
        *scaling.gaps(carried, facts, inputs.served, nodes_are_made=inputs.nodes_are_made),
        *scaling.shortages(carried, made, draft.room),
        *racks.gaps(carried, made, inputs.platform.name, inputs.catalog, facts),
    )


def over_limit(mesh: Mesh, deployment: Deployment | None) -> tuple[Gap, ...]:
    limit = mesh.limits.hourly_usd
    cost = deployment.hourly_usd if deployment else None
    if limit is None or cost is None or cost <= limit:
        return ()
    hint = "raise limits.hourly, or ask for fewer or smaller nodes"
    return (Gap(subject="limits/hourly", wanted=f"at most {limit:g} USD/h", best=f"{cost:.2f} USD/h", hint=hint),)


def _dns_gaps(mesh: Mesh, environments: Environments) -> list[Gap]:
    """Whether the hosts fit the zone is found when the files are read: `environment_references.check_hosts`."""
    if environments.dns is not None:
        return []
    hint = "add dns: {provider: route53, zone: …} to environments.yaml"
    return [
        Gap(subject=f"endpoint/{name}", wanted=f"DNS for {endpoint.host}", best="no dns section", hint=hint)
        for name, endpoint in mesh.endpoints.items()
    ]
