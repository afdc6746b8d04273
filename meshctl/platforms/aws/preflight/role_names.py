"""Whether the names of the roles that a new environment makes are free, in all regions of the account. PURE.

Called by `account`. A cluster's name is taken in one region, a role's in the whole account. A role is taken over by its
tag with the name of the resource, in which there is no region: of two environments of the same name in two regions the
second one would take over the roles of the first, and take them away from it with its `destroy`. Since then roles carry
a tag with their region, too (`meshwire.marks.REGION_TAG`), and the provider takes over none of another one. What is
asked here is told before anything is made, and knows roles of older versions, as far as IAM does:

- Role names are unique in an account, on whatever path (IAM API reference, CreateRole, RoleName).
- `RoleLastUsed` says in which region a role was last used; it takes up to four hours to show (IAM API reference,
  RoleLastUsed; IAM user guide, "Refine permissions using last accessed information"). EKS uses a cluster's role in the
  region of the cluster. A node's role is also used elsewhere, where its images come from, so that it says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import Gap
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws.preflight.change import Change
from meshwire.marks import REGION_TAG

_CLUSTER: Final = "cluster"
_ROLES: Final = (_CLUSTER, "nodes")  # that every environment has
_FREE: Final = "NoSuchEntity"


def questions(change: Change) -> Iterator[ApiQuestion]:
    if not change.makes_cluster:
        return
    about = "whether the names of the cluster's roles are free"
    for role in _ROLES:
        arguments = {"RoleName": _name(change, role)}
        yield ApiQuestion(_question(role), "iam", "get_role", about, arguments, telling_codes=(_FREE,))


def gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    """At most one: roles of one environment are in each other's company."""
    if not change.makes_cluster:
        return
    for role in _ROLES:
        answer = answers.get(_question(role))
        described = answer.content.get("Role") if answer else None
        best, hint = _in_the_way(change, role, described) if described else ("", "")
        if best:
            name = _name(change, role)
            yield Gap(subject="cluster", wanted=f"an IAM role named {name}", best=best, hint=hint)
            return


def _question(role: str) -> str:
    return f"role-{role}"


def _name(change: Change, role: str) -> str:
    from stacks.aws.cluster import role_name  # with the Pulumi SDK: only where something is to be made

    return role_name(f"{change.wanted.cluster.name}-{role}")


def _in_the_way(change: Change, role: str, described: Mapping[str, Any]) -> tuple[str, str]:
    """What is there instead of a free name, and what to do about it; empty for what a first `up` of this environment
    has left, which the next one takes over."""
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags") or ()}
    if not change.is_own(tags):
        hint = "give the mesh or the environment another name, or delete the role if nobody needs it"
        return "there is one, which meshctl did not make for this environment", hint
    region = tags.get(REGION_TAG) or (_last_used_in(described) if role == _CLUSTER else "")
    if region in ("", change.wanted.region):
        return "", ""
    hint = (
        f"role names hold for all regions of an account: give this environment another name than that in {region}, or"
        f" delete the role if nothing in {region} needs it any more"
    )
    return f"an environment of the same name in {region} has it", hint


def _last_used_in(described: Mapping[str, Any]) -> str:
    return str((described.get("RoleLastUsed") or {}).get("Region") or "")
