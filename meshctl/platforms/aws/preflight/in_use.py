"""What an account runs and has reserved in a region, in vCPUs of its quotas: by whom, beside the environment. PURE.

Called by `vcpu_room`. DescribeInstances is asked, not the metric of CloudWatch that Service Quotas names for each quota
(`UsageMetric`): the metric is minutes behind, counts the mesh's own nodes with all others, and names nobody. The one
needs ec2:DescribeInstances, the other cloudwatch:GetMetricData (ADR 0083).

Counted are instances that run or are about to, and what reservations on demand have free. Not counted, as they have
quotas of their own: instances in capacity blocks, and those on dedicated hosts. "Capacity Reservations count toward
your On-Demand Instance quotas, even if they are unused" ("On-Demand Instance quotas", EC2 user guide).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.model.deployment import Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws.iam import caller
from meshctl.platforms.aws.preflight import vcpu_quotas
from meshctl.platforms.aws.preflight.change import Change

_INSTANCES: Final = "instances"
_RESERVATIONS: Final = "reservations-in-use"
_PAGE: Final = {"PageSize": 1000}  # the most that both take (EC2 API reference, MaxResults)
_SHOWN: Final = 3
# Tags by which a node says whose it is ("Tag your Amazon EKS resources", EKS user guide); nodes of Karpenter and those
# that somebody starts by hand have the last one alone.
_CLUSTER_TAGS: Final = ("eks:cluster-name", "aws:eks:cluster-name", "eks:eks-cluster-name")
_CLUSTER_OWNED: Final = "kubernetes.io/cluster/"
_NODE_GROUP: Final = "eks:nodegroup-name"


@dataclass(frozen=True)
class Use:
    """So many machines of a type that count for a quota. `owner`: who has them, in words. `cluster`, `node_group`: of
    nodes of EKS, "" for all else. `reservation`: the one that it runs in, "" for none."""

    quota: str
    machine: str
    vcpus: int
    owner: str
    cluster: str = ""
    node_group: str = ""
    machines: int = 1
    reservation: str = ""


def questions(change: Change) -> Iterator[ApiQuestion]:
    """Only of types that count for a quota of which the run takes more."""
    codes = change.growing_quotas
    if not codes:
        return
    beginnings = sorted({beginning for code in codes for beginning in vcpu_quotas.families(code)})
    of_types = {"Name": "instance-type", "Values": [f"{beginning}*" for beginning in beginnings]}
    states = {"Name": "instance-state-name", "Values": ["pending", "running"]}
    about = "what the account runs already"
    arguments = {"Filters": [states, of_types], "PaginationConfig": _PAGE}
    yield ApiQuestion(_INSTANCES, "ec2", "describe_instances", about, arguments)
    active = {"Filters": [{"Name": "state", "Values": ["active"]}], "PaginationConfig": _PAGE}
    about = "what the account has reserved already"
    yield ApiQuestion(_RESERVATIONS, "ec2", "describe_capacity_reservations", about, active)


def by_others(change: Change, code: str, answers: Mapping[str, ApiAnswer]) -> tuple[Use, ...]:
    """What counts for the quota, but for the environment's own nodes and the reservations that they start in."""
    own = change.wanted.cluster.name
    running = [use for use in _running(answers) if use.quota == code and use.cluster != own]
    reserved = [use for use in _reserved(change, answers) if use.quota == code]
    return (*running, *reserved)


def own_nodes(change: Change, pool: Pool, answers: Mapping[str, ApiAnswer]) -> int:
    """How many nodes of the pool's machines run."""
    return sum(1 for _ in _own(change, pool, answers))


def _own(change: Change, pool: Pool, answers: Mapping[str, ApiAnswer]) -> Iterator[Use]:
    machines = {pool.machine, *pool.equal_machines}
    place = (change.wanted.cluster.name, pool.name)
    for use in _running(answers):
        if (use.cluster, use.node_group) == place and use.machine in machines:
            yield use


def words(uses: Iterable[Use]) -> str:
    """`EKS cluster other (2 x p5.48xlarge), instance build (1 x p5.4xlarge)`: those with the most first."""
    vcpus: Counter[str] = Counter()
    machines: dict[str, Counter[str]] = {}
    for use in uses:
        vcpus[use.owner] += use.vcpus
        machines.setdefault(use.owner, Counter())[use.machine] += use.machines
    owners = sorted(vcpus, key=lambda owner: (-vcpus[owner], owner))
    texts = [f"{owner} ({_counted(machines[owner])})" for owner in owners[:_SHOWN]]
    rest = owners[_SHOWN:]
    return ", ".join([*texts, *([f"and {len(rest)} more"] if rest else [])])


def _counted(machines: Counter[str]) -> str:
    return ", ".join(f"{machines[name]} x {name}" for name in sorted(machines))


def _running(answers: Mapping[str, ApiAnswer]) -> Iterator[Use]:
    reservations = answers.get(_INSTANCES, ApiAnswer()).content.get("Reservations", [])
    for instance in (each for reservation in reservations for each in reservation.get("Instances", [])):
        quota = _quota(instance)
        if quota:
            tags = {each["Key"]: each["Value"] for each in instance.get("Tags", [])}
            cluster = _cluster(tags)
            owner = f"EKS cluster {cluster}" if cluster else _owner(instance, tags)
            machine, node_group = instance["InstanceType"], tags.get(_NODE_GROUP, "")
            reservation = instance.get("CapacityReservationId", "")
            yield Use(quota, machine, _vcpus(instance), owner, cluster, node_group, reservation=reservation)


def _quota(instance: Mapping[str, Any]) -> str:
    machine, lifecycle = instance.get("InstanceType", ""), instance.get("InstanceLifecycle", "")
    if lifecycle == "spot":
        return vcpu_quotas.spot(machine)
    is_on_host = instance.get("Placement", {}).get("Tenancy") == "host"
    return "" if lifecycle or is_on_host else vcpu_quotas.on_demand(machine)


def _vcpus(instance: Mapping[str, Any]) -> int:
    options = instance.get("CpuOptions", {})
    return int(options.get("CoreCount", 0)) * int(options.get("ThreadsPerCore", 1))


def _cluster(tags: Mapping[str, str]) -> str:
    """The name of the EKS cluster that the instance is a node of; "" for none."""
    named = [tags[name] for name in _CLUSTER_TAGS if name in tags]
    owned = [name.removeprefix(_CLUSTER_OWNED) for name in tags if name.startswith(_CLUSTER_OWNED)]
    return next(iter((*named, *owned)), "")


def _owner(instance: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    group = tags.get("aws:autoscaling:groupName", "")
    if group:
        return f"Auto Scaling group {group}"
    return f"instance {tags.get('Name') or instance.get('InstanceId', '')}"


def _reserved(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Use]:
    """What reservations of the account have free, but for what the environment's own nodes take of it. Of types that
    the catalog does not have, the vCPUs are not known."""
    account = caller.of_answers(answers)
    described = answers.get(_RESERVATIONS, ApiAnswer()).content.get("CapacityReservations", [])
    for reservation in described:
        is_own = account is not None and reservation.get("OwnerId") == account.account
        machine = change.machines.get(reservation.get("InstanceType", ""))
        if not is_own or machine is None or reservation.get("ReservationType", "default") != "default":
            continue
        takers = [pool for pool in change.wanted.pools if _takes(pool, reservation)]
        to_start = sum(_to_start(change, pool, answers) for pool in takers)
        free = max(reservation.get("AvailableInstanceCount", 0) - to_start, 0)
        if free:
            owner = f"free in reservation {reservation['CapacityReservationId']}"
            quota = vcpu_quotas.on_demand(machine.name)
            yield Use(quota, machine.name, free * machine.cpu_cores, owner, machines=free)


def _to_start(change: Change, pool: Pool, answers: Mapping[str, ApiAnswer]) -> int:
    """How many nodes of the pool start in its reservation. Those that run outside of the one that it names are replaced
    by nodes in it; a pool that names none keeps its nodes, wherever they run."""
    stay = [use for use in _own(change, pool, answers) if pool.reservation in ("", use.reservation)]
    return max(pool.nodes_now - len(stay), 0)


def _takes(pool: Pool, reservation: Mapping[str, Any]) -> bool:
    """Whether nodes of the pool start in the reservation: one that they name, or one that takes all that fits."""
    if pool.reservation or pool.market != "on-demand":
        return pool.reservation == str(reservation["CapacityReservationId"])
    is_open = reservation.get("InstanceMatchCriteria") == "open"
    is_alike = pool.machine == reservation["InstanceType"] and reservation["AvailabilityZone"] in pool.zones
    return is_open and is_alike
