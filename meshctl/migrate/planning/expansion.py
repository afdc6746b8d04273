"""Makes the plan of an expansion: one workload in a second environment, which answers a share of its requests. PURE.

An expansion is a migration that ends before the cutover: the same plan, journal and steps, with weighted DNS records in
place of moved ones. `migration` calls `plan_expansion` with both deployments, of which the target has one workload;
`step_plan` makes the steps from the plan's `share`.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshctl.migrate.planning.check_costs import check_cost
from meshctl.migrate.planning.gaps import infeasible
from meshctl.migrate.planning.gateway_shares import gateway_gaps, share_notes
from meshctl.migrate.planning.inputs import Options, Share, StoreFacts
from meshctl.migrate.planning.plan import Cost, MigrationPlan, move_of, read_stores, runs_alone, written_stores
from meshctl.model.deployment import Deployment, Endpoint, Gap, Workload
from meshctl.model.dns_splits import (
    CHECK_FAILURES,
    CHECK_INTERVAL_S,
    LONGEST_NAME,
    LONGEST_PATH,
    HealthCheck,
    names_beside,
)
from meshctl.model.keys import gateway_shares
from meshctl.model.questions import Findings
from meshctl.resolve.placement import fabric_expectation
from meshctl.words import pluralize

_PLACE_OF_CHECKERS = "the health checkers of Route 53 ask from the internet"


def plan_expansion(
    source: Deployment,
    target: Deployment,
    share: Share,
    facts: tuple[StoreFacts, ...],
    options: Options,
    ttl_s: int,
    rights: Findings,
) -> MigrationPlan:
    """`rights`: those of whoever runs it to share names.

    Raises: InfeasibleError that lists everything that prevents the expansion."""
    by_gateway = gateway_gaps(source, target) if share.by == "gateway" else ()
    gaps = (*_gaps(source, target, share.workload, facts, options), *by_gateway, *rights.caller_gaps)
    if gaps:
        raise infeasible(f"{share.workload} can't be expanded", source, target, gaps)
    by_store = {fact.store: fact for fact in facts}
    copied = [each for each in source.object_stores if each.name in by_store and not by_store[each.name].shared]
    moves = tuple(move_of(source, each, target.object_store(each.name), by_store[each.name]) for each in copied)
    return MigrationPlan(
        source=source,
        target=(gateway_shares.saying_unsent(target) if share.by == "gateway" else target).bare,
        moves=moves,
        stays=(),
        stopped=(),
        warm=(),
        costs=(_running_cost(source, target), *_check_costs(source, target)),
        notes=(
            *share_notes(source, target, share),
            *_notes(source, target, share, ttl_s),
            *rights.notes,
            *fabric_expectation.unjudged(target.pools),
        ),
        options=options,
        share=share,
    )


def _running_cost(source: Deployment, target: Deployment) -> Cost:
    unknown = target.unpriced_pools
    return Cost(
        subject=target.environment,
        what=f"each hour beside {source.environment}, until `meshctl contract`",
        usd=target.hourly_usd,
        source=f"the price of pool {unknown[0]} is unknown" if unknown else "prices as in `meshctl check`",
    )


def _check_costs(source: Deployment, target: Deployment) -> Iterator[Cost]:
    shared = {endpoint.name for endpoint in target.endpoints}
    checks = [
        check
        for side in (source, target)
        for endpoint in side.endpoints
        if endpoint.name in shared and (check := check_of(side, endpoint)) is not None
    ]
    cost = check_cost(tuple(checks))
    if cost is not None:
        yield cost


def _gaps(
    source: Deployment, target: Deployment, name: str, facts: tuple[StoreFacts, ...], options: Options
) -> Iterator[Gap]:
    workload = next((each for each in source.workloads if each.name == name), None)
    if workload is None or workload.paused:
        state = "is not deployed" if workload is None else "is paused"
        yield Gap(
            subject=f"workload/{name}",
            wanted=f"it runs in {source.environment}",
            best=f"{name} {state} there",
            hint=f"`meshctl up {source.environment}`",
        )
        return
    if runs_alone(source, workload):
        yield Gap(
            subject=f"workload/{name}",
            wanted="a workload that only reads",
            best="it writes data or is a job, so two of them would write the same data",
            hint=f"mount its storage with `readOnly: true`, or move it whole: "
            f"`meshctl migrate {source.environment} {target.environment}`",
        )
    if workload.sleeps:
        yield Gap(
            subject=f"workload/{name}",
            wanted="a workload that always has a pod",
            best="load may bring it to no replicas; the checks of a shared name would fail then, and wake it for ever",
            hint=f"write `min: 1` in its `replicas`, and `meshctl up {source.environment}`",
        )
    yield from _endpoint_gaps(source, target, workload)
    yield from _length_gaps(source, target)
    yield from _volume_gaps(source, workload)
    yield from _store_gaps(source, facts, options)


def _endpoint_gaps(source: Deployment, target: Deployment, workload: Workload) -> Iterator[Gap]:
    if not target.endpoints:
        yield Gap(
            subject=f"workload/{workload.name}",
            wanted="an endpoint whose requests can be shared",
            best="no endpoint leads to it",
            hint="add one to `endpoints` of mesh.yaml",
        )
    at_source = {endpoint.name: endpoint for endpoint in source.endpoints}
    for endpoint in target.endpoints:
        other = at_source.get(endpoint.name)
        if other is None or other.host != endpoint.host:
            wanted, best = f"the name {endpoint.host} in {source.environment}", other.host if other else ""
        else:
            wanted = "the same port and access in both environments"
            best = _difference(source, other, target, endpoint)
            if not best:
                continue
        yield Gap(
            subject=f"endpoint/{endpoint.name}",
            wanted=wanted,
            best=best or "no such endpoint",
            hint=f"update the source first: `meshctl up {source.environment}`",
        )


def _length_gaps(source: Deployment, target: Deployment) -> Iterator[Gap]:
    """What Route 53 would refuse once the target is up: names and paths of checks that are too long."""
    for endpoint in target.endpoints:
        longest = max(map(len, names_beside(endpoint.host, (source.environment, target.environment))))
        if longest > LONGEST_NAME:
            yield Gap(
                subject=f"endpoint/{endpoint.name}",
                wanted=f"a host of at most {len(endpoint.host) - longest + LONGEST_NAME} characters",
                best=f"{endpoint.host} has {len(endpoint.host)}, and its weighted records get longer names",
                hint="give the endpoint a shorter host",
            )
        check = check_of(target, endpoint)
        if check is not None and len(check.path) > LONGEST_PATH:
            yield Gap(
                subject=f"workload/{endpoint.workload}",
                wanted=f"a health path of at most {LONGEST_PATH} characters",
                best=f"`health.path` has {len(check.path)}, which the health checks of Route 53 do not take",
                hint="give the workload a shorter path",
            )


def _difference(source: Deployment, old: Endpoint, target: Deployment, new: Endpoint) -> str:
    """In what clients who know the source's load balancer would not reach the target's, in words; "" if in nothing."""
    at_target, at_source = f"in {target.environment}", f"in {source.environment}"
    port, other_port = target.listening_port(new), source.listening_port(old)
    if port != other_port:
        return f"{new.host} listens on port {port} {at_target}, and on port {other_port} {at_source}"
    if new.is_internal != old.is_internal:
        access, other_access = ("internal" if each.is_internal else "public" for each in (new, old))
        return f"{new.host} is {access} {at_target}, and {other_access} {at_source}"
    if set(new.cidrs) != set(old.cidrs):
        networks, others = (f"only {', '.join(each.cidrs)}" if each.cidrs else "all networks" for each in (new, old))
        return f"{new.host} lets in {networks} {at_target}, and {others} {at_source}"
    return ""


def _volume_gaps(source: Deployment, workload: Workload) -> Iterator[Gap]:
    """File systems and volumes can't be copied; a scratch of its own each pod has everywhere."""
    volumes = {*(each.name for each in source.file_systems), *(each.name for each in source.blocks)}
    for mount in workload.mounts:
        if mount.storage in volumes and not source.ephemeral[mount.storage]:
            yield Gap(
                subject=f"storage/{mount.storage}",
                wanted="data that can be copied",
                best=f"a {mount.kind} volume, whose content stays in {source.environment}",
                hint=f"keep what {workload.name} reads in object storage; or set `ephemeral: true`, where it can do "
                "without the content",
            )


def _store_gaps(source: Deployment, facts: tuple[StoreFacts, ...], options: Options) -> Iterator[Gap]:
    ephemeral = {each.name for each in source.object_stores if each.ephemeral}
    for fact in facts:
        if fact.foreign_objects and not (options.replace_target_data or fact.shared or fact.store in ephemeral):
            yield Gap(
                subject=f"storage/{fact.store}",
                wanted="a target store without other objects",
                best=f"the target has {pluralize(fact.foreign_objects, 'object')} that the source does not have",
                hint="copy the objects that you need elsewhere and empty the target's bucket; or delete them with "
                "--replace-target-data",
            )


def _notes(source: Deployment, target: Deployment, share: Share, ttl_s: int) -> Iterator[str]:
    unchecked = [each for each in target.endpoints if check_of(target, each) is None]
    if len(unchecked) < len(target.endpoints):
        limit_s = CHECK_INTERVAL_S * CHECK_FAILURES + ttl_s
        who = "an environment" if share.by == "dns" else f"the gateway of {source.environment}"
        leads = "" if share.by == "dns" else f": they point at {target.environment} then"
        yield (
            f"if {who} does not answer, DNS answers leave it out after about {limit_s} s"
            f" ({CHECK_FAILURES} checks, one every {CHECK_INTERVAL_S} s, and the records' TTL of {ttl_s} s){leads}"
        )
    for endpoint in unchecked:
        reason = "it is internal" if endpoint.is_internal else "it lets in only its own networks (`cidrs`)"
        yield (
            f"{endpoint.host} has no health check, because {reason} and {_PLACE_OF_CHECKERS}:"
            f" {_unwatched(source, target, share)}"
        )
    written = _written_by_others(source, target)
    for store in sorted(written):
        yield (
            f"workloads in {source.environment} go on writing to {store}, and the changes are not copied automatically:"
            f" run `meshctl expand {source.environment} {target.environment} --workload {share.workload}` to copy them,"
            " by hand or from a timer of your own"
        )


def _unwatched(source: Deployment, target: Deployment, share: Share) -> str:
    """What happens where an environment fails and no checker asks."""
    to_target = f"`meshctl expand {source.environment} {target.environment} --workload {share.workload} --share 100%`"
    if share.by == "gateway":
        return (
            f"if the gateway of {source.environment} fails, its requests fail until you, or the command with `--watch`,"
            f" send all users to {target.environment}: {to_target}"
        )
    return (
        "an environment that fails keeps its share, and those requests fail until you, or the command with `--watch`,"
        f" send all users to the other one: `meshctl contract` sends them to {source.environment}, {to_target} to"
        f" {target.environment}"
    )


def _written_by_others(source: Deployment, target: Deployment) -> set[str]:
    written = {store for each in source.workloads for store in written_stores(each)}
    return {store for each in target.workloads for store in read_stores(each)} & written


def unchanging(plan: MigrationPlan) -> frozenset[str]:
    """The copied stores to which nothing writes at the source, so that both sides can be compared."""
    written = _written_by_others(plan.source, plan.target)
    return frozenset(move.store for move in plan.moves if move.store not in written)


def check_of(deployment: Deployment, endpoint: Endpoint) -> HealthCheck | None:
    """What the checkers of Route 53 ask at an endpoint; None where they can't reach it. They know no gRPC, and take
    the health path only on the port that users reach."""
    if endpoint.is_internal or endpoint.cidrs:
        return None
    health = deployment.workload(endpoint.workload).health
    port = deployment.listening_port(endpoint)
    if health is None or health.port != endpoint.port or health.protocol not in ("http", "https"):
        return HealthCheck("TCP", port)
    # a load balancer that ends TLS is asked by HTTPS, whatever the pods behind it speak
    is_https = health.protocol == "https" or endpoint.certificate is not None
    return HealthCheck("HTTPS" if is_https else "HTTP", port, health.path or "/")
