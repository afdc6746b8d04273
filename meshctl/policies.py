"""The least rights that an environment needs on its platform, as a document to hand to whoever gives them. PURE.

Called by `meshctl doctor --iam-policy`. What is in the document is the platform's own
(`meshctl.platforms.interface.Preflight.policy`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshctl import policy_parts
from meshctl.catalog import load_catalog
from meshctl.deploy.guards import preflight
from meshctl.errors import UsageError
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.questions import PolicyScope
from meshctl.platforms import registry
from meshctl.resolve import resolve
from meshctl.resolve.placement.machine_types import offerings


@dataclass(frozen=True)
class NamedPolicy:
    """One managed policy, with a name to make it under."""

    name: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Policy:
    """`document`: everything. `parts`: the same as managed policies, of which each is short enough. `notes`: what to
    know before they are used."""

    document: Mapping[str, Any]
    parts: tuple[NamedPolicy, ...]
    notes: tuple[str, ...]

    def part(self, number: int) -> NamedPolicy:
        """Raises: UsageError."""
        if not 1 <= number <= len(self.parts):
            raise UsageError(
                f"the policy has no part {number}, as {_count(self.parts)} enough for it",
                hint=f"give a number from 1 to {len(self.parts)}" if len(self.parts) > 1 else "leave `--part` out",
            )
        return self.parts[number - 1]


def least_policy(mesh: Mesh, environments: Environments, environment: str, *, for_expand: bool = False) -> Policy:
    """`for_expand`: of `expand` and `contract` alone, to be attached beside the other one.

    Raises: UsageError for an environment that is unknown or whose platform has no such document; InfeasibleError."""
    catalog = load_catalog()
    resolution = resolve(mesh, environments, environment, catalog, None)
    declared = environments.environments[environment]
    if resolution.deployment is None:  # rights do not depend on where the table of offers lists a machine
        gaps, catalog = resolution.gaps, offerings.anywhere(catalog, declared.provider)
        resolution = resolve(mesh, environments, environment, catalog, None)
        if resolution.deployment is None:
            raise preflight.infeasible(environment, gaps)
    platform = registry.platform(declared.provider)
    if platform.preflight is None or platform.preflight.policy is None:
        raise UsageError(
            f"{environment} is on {declared.provider}, which has no IAM policies",
            hint="name an environment of a platform that has, or check with the cluster's administrator",
        )
    account = platform.cluster.made.account(declared) if platform.cluster.made else ""
    dns_zone = environments.dns.zone if environments.dns else ""
    scope = PolicyScope(
        account=account,
        dns_zone=dns_zone,
        state=environments.state.backend,
        for_expand=for_expand,
    )
    document = platform.preflight.policy(resolution.deployment, scope)
    name = f"{mesh.name}-expand" if for_expand else f"{mesh.name}-{environment}"
    parts = _named(name, policy_parts.parts(document))
    command = f"meshctl doctor --iam-policy {environment}{' --for expand' if for_expand else ''}"
    notes = (*(_of_expand(environments) if for_expand else ()), *_notes(command, document, parts))
    return Policy(document, parts, notes if for_expand else (*notes, *_of_account(scope)))


def _named(name: str, documents: tuple[Mapping[str, Any], ...]) -> tuple[NamedPolicy, ...]:
    if len(documents) == 1:
        return (NamedPolicy(name, documents[0]),)
    return tuple(NamedPolicy(f"{name}-{number}", document) for number, document in enumerate(documents, start=1))


def _of_expand(environments: Environments) -> Iterator[str]:
    dns = environments.dns
    profile = f" (`dns.profile` of environments.yaml: {dns.profile})" if dns is not None and dns.profile else ""
    yield (
        "note: this is what `expand` and `contract` need beside the policy without `--for`: for whoever writes the"
        f" endpoints' names{profile}"
    )


def _notes(command: str, document: Mapping[str, Any], parts: tuple[NamedPolicy, ...]) -> Iterator[str]:
    if len(parts) > 1:
        services = "; ".join(f"{each.name}: {', '.join(policy_parts.services(each.document))}" for each in parts)
        yield (
            f"note: the whole policy has {policy_parts.characters(document)} characters, a managed policy at most"
            f" {policy_parts.MAX_CHARACTERS}: make {len(parts)} of it ({services}) and attach all of them"
        )
    if len(parts) > policy_parts.MAX_ATTACHED:
        yield (
            f"note: a role takes {policy_parts.MAX_ATTACHED} managed policies, unless AWS raises this quota on request"
            " (`aws service-quotas list-service-quotas --service-code iam`)"
        )
    yield "hint: to make a managed policy and attach it to a role:"
    for number, each in enumerate(parts, start=1):
        option = f" --part {number}" if len(parts) > 1 else ""
        yield f"  {command}{option} > {each.name}.json"
        yield (
            "  aws iam attach-role-policy --role-name ROLE --policy-arn $(aws iam create-policy"
            f" --policy-name {each.name} --policy-document file://{each.name}.json --query Policy.Arn --output text)"
        )


def _of_account(scope: PolicyScope) -> Iterator[str]:
    if not scope.account:
        yield "note: environments.yaml names no `account`, so the policy is not narrowed to one"


def _count(parts: tuple[NamedPolicy, ...]) -> str:
    return "one managed policy is" if len(parts) == 1 else f"{len(parts)} managed policies are"
