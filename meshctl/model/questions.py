"""What a platform is asked before anything is made, as data: API calls that only read, their answers, findings. PURE.

A platform says what to ask (`meshctl.platforms.interface.Preflight`), `meshctl.clients` asks it, and the platform turns
the answers into findings. Called through `meshctl.deploy.guards.preflight`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from meshctl.model.deployment import Deployment, Gap, Pool, ReservedCapacity, Subnet

NO_ANSWER: Final = "no answer"


@dataclass(frozen=True)
class ApiQuestion:
    """One call that changes nothing. `name`: what the answer is kept under. `service`, `operation`, `arguments`: as
    boto3 has them ("ec2", "describe_vpcs"). `about`: what is asked, for people ("which zones have which machines").
    `region`: where it is asked, "" for the deployment's own. `telling_codes`: beginnings of the codes of errors that
    are an answer ("there is no such role"), and no refusal to give one. `then`: further questions that only its answer
    makes possible; they are asked at once."""

    name: str
    service: str
    operation: str
    about: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    region: str = ""
    telling_codes: tuple[str, ...] = ()
    then: Callable[[ApiAnswer], tuple[ApiQuestion, ...]] | None = None

    def is_unanswered(self, answer: ApiAnswer) -> bool:
        return answer.is_refused and not answer.code.startswith(self.telling_codes or ("\0",))


@dataclass(frozen=True)
class ApiAnswer:
    """What the API said: `content`, all pages together, or the error `code` with which it refused; `NO_ANSWER` where it
    said nothing in time. `asked_at_s`: when, since 1970, where that is known."""

    content: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    message: str = ""
    asked_at_s: float | None = None

    @property
    def is_refused(self) -> bool:
        return bool(self.code)

    def seconds_until(self, moment: Any) -> float:
        """From when it was asked to a date of `content`; without end where that is not known."""
        return float(moment.timestamp()) - self.asked_at_s if self.asked_at_s is not None else float("inf")


@dataclass(frozen=True)
class InPlace:
    """What of an environment is there already. `pools`: those whose nodes came up. `begun`: those whose nodes are there
    in part, or not yet. `counts`: of the resources in the state, by their Pulumi type; they count also where the run
    that made them was interrupted. `subnets`: of a network that meshctl made. `maker` and `admins`: the principals that
    the environment let into its cluster so far."""

    pools: tuple[Pool, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    subnets: tuple[Subnet, ...] = ()
    maker: str = ""
    admins: tuple[str, ...] = ()
    begun: tuple[Pool, ...] = ()

    def made_pool(self, name: str) -> Pool | None:
        """The pool that is there, whether or not all of its nodes have come up."""
        return next((pool for pool in (*self.pools, *self.begun) if pool.name == name), None)

    def pool(self, name: str) -> Pool | None:
        return next((pool for pool in self.pools if pool.name == name), None)


@dataclass(frozen=True)
class PolicyScope:
    """What a policy is narrowed to, beside the deployment. `account`: "" where environments.yaml names none.
    `dns_zone`: where the endpoints' names live, an id or a name; "" for none. `state`: the Pulumi backend's URL.
    `for_expand`: only what `expand` and `contract` need beside what the environment needs."""

    account: str = ""
    dns_zone: str = ""
    state: str = ""
    for_expand: bool = False


@dataclass(frozen=True)
class Findings:
    """`zones`: where pools go that are not up yet, by pool; those that are missing stay as they were resolved.
    `file_systems`: the zones of those that go with a pool. `reserved`: what is known of the reservations of pools, by
    pool. `equal_machines`: machine types that new pools may have beside their own. `gaps`: what keeps the environment
    from coming up. `notes`: what a user should know, and what could not be asked. `maker`: the principal whose
    credentials these are, which is let into a cluster that the run makes; "" where that is not known. `caller_gaps`:
    what keeps this principal from bringing it up; another one may."""

    zones: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    file_systems: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()
    reserved: Mapping[str, ReservedCapacity] = field(default_factory=dict)
    equal_machines: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    maker: str = ""
    caller_gaps: tuple[Gap, ...] = ()

    def __or__(self, other: Findings) -> Findings:
        """Both, one after the other; of a pool or file system in both, the zones of `other`."""
        return Findings(
            {**self.zones, **other.zones},
            {**self.file_systems, **other.file_systems},
            (*self.gaps, *other.gaps),
            (*self.notes, *other.notes),
            {**self.reserved, **other.reserved},
            {**self.equal_machines, **other.equal_machines},
            other.maker or self.maker,
            (*self.caller_gaps, *other.caller_gaps),
        )

    def of_a_plan(self) -> Findings:
        """The findings for a command that brings nothing up: whoever runs it may be another than whoever does."""
        notes = tuple(f"{gap.wanted}, which `up` needs: {gap.best}; {gap.hint}" for gap in self.caller_gaps)
        return replace(self, caller_gaps=(), notes=(*self.notes, *notes))

    def placed(self, deployment: Deployment) -> Deployment:
        """The deployment with its pools in these zones, with what is known of their reservations and machines, and
        with the maker of its cluster."""
        if self.maker:
            cluster = deployment.cluster.model_copy(update={"maker": self.maker})
            deployment = deployment.model_copy(update={"cluster": cluster})
        if not (self.zones or self.reserved or self.equal_machines):
            return deployment
        pools = (self._placed_pool(pool) for pool in deployment.pools)
        systems = (
            system.model_copy(update={"zone": self.file_systems[system.name]})
            if system.name in self.file_systems
            else system
            for system in deployment.file_systems
        )
        return deployment.model_copy(update={"pools": tuple(pools), "file_systems": tuple(systems)})

    def _placed_pool(self, pool: Pool) -> Pool:
        zones, reserved = self.zones.get(pool.name, pool.zones), self.reserved.get(pool.name, pool.reserved)
        equal = self.equal_machines.get(pool.name, pool.equal_machines)
        return pool.model_copy(update={"zones": zones, "reserved": reserved, "equal_machines": equal})
