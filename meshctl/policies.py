"""The least rights that an environment needs on its platform, as a document to hand to whoever gives them. PURE.

Called by `meshctl doctor --iam-policy`. What is in the document is the platform's own
(`meshctl.platforms.interface.Preflight.policy`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.catalog import load_catalog
from meshctl.deploy.guards import preflight
from meshctl.errors import UsageError
from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh
from meshctl.model.questions import PolicyScope
from meshctl.platforms import registry
from meshctl.resolve import offerings, resolve

_MAX_CHARACTERS: Final = 6144  # of a managed policy, without white space ("IAM and AWS STS quotas")


@dataclass(frozen=True)
class Policy:
    """`notes`: what to know of the document before it is used."""

    document: Mapping[str, Any]
    notes: tuple[str, ...]


def least_policy(mesh: Mesh, environments: Environments, environment: str) -> Policy:
    """Raises: UsageError for an environment that is unknown or whose platform has no such document; InfeasibleError."""
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
    scope = PolicyScope(account=account, dns_zone=dns_zone, state=environments.state.backend)
    document = platform.preflight.policy(resolution.deployment, scope)
    return Policy(document, tuple(_notes(document, scope)))


def _notes(document: Mapping[str, Any], scope: PolicyScope) -> list[str]:
    notes: list[str] = []
    length = len(json.dumps(document, separators=(",", ":")))
    if length > _MAX_CHARACTERS:
        notes.append(
            f"note: the policy has {length} characters, a managed policy at most {_MAX_CHARACTERS}: attach it to a role"
            " as an inline policy, or split it by its statements"
        )
    if not scope.account:
        notes.append("note: environments.yaml names no `account`, so the policy is not narrowed to one")
    return notes
