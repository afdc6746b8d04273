"""Whether the caller has the rights that a run needs: IAM simulates the printed policy's actions. PURE.

Called by `preflight`. A new environment needs what its rows call (`iam_policy`), one that is up what its new parts
call. Not simulated: what is in buckets and the roles that services make for themselves, since other policies may grant
the one, and the account may have the others; what is only asked beforehand, which may be refused; and the state, which
was read before.

Sources: IAM API reference, SimulatePrincipalPolicy (ActionNames has no limit of its own, MaxItems is at most 1000; a
result names the policy of the organization and the permissions boundary where they decide). One call takes only
actions that "require different authorization information" from none of the others; the error lists the groups.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings, PolicyScope
from meshctl.platforms.aws.iam import simulated
from meshctl.platforms.aws.iam.caller import Caller
from meshctl.platforms.aws.preflight.change import Change

PREFIX: Final = "rights "
_NOT_SIMULATED: Final = ("Lists", "Objects", "Link")
_GROUPS: Final = re.compile(r"\[([^\]]+)\]")
_PAGE: Final = {"PageSize": 1000}

# What ends something: an `up` that adds does not call it, and a guard rail may well forbid it.
_ENDS: Final = ("Delete", "Detach", "Disassociate", "Release", "Remove", "Untag")
# What `up` calls for a part that it adds to an environment that is up, by the Pulumi type of its row.
_OF_POOLS: Final = ("meshaws:ec2:LaunchTemplate", "meshaws:ec2:PlacementGroup", "meshaws:eks:Nodegroup")
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "meshaws:s3:Bucket": ("meshaws:s3:Bucket",),
    "meshaws:fsx:FileSystem": ("meshaws:fsx:FileSystem",),
    "meshaws:efs:FileSystem": ("meshaws:efs:FileSystem", "meshaws:efs:MountTarget"),
}
# Kinds of resources that a narrower policy than the printed one may name (Service Authorization Reference).
_KINDS: Final[dict[str, tuple[str, ...]]] = {
    "ec2": (
        *("elastic-ip", "instance", "internet-gateway", "launch-template", "natgateway", "network-interface"),
        *("placement-group", "route-table", "security-group", "security-group-rule", "subnet", "volume", "vpc"),
        "vpc-endpoint",
    ),
    "elasticfilesystem": ("file-system",),
    "fsx": ("file-system",),
    "eks": ("cluster", "nodegroup", "addon", "access-entry", "podidentityassociation"),
}


@dataclass(frozen=True)
class _Group:
    """Actions on one resource, asked together. `kinds`: other resources on which a narrower policy may allow them."""

    name: str
    actions: tuple[str, ...]
    resource: str
    kinds: tuple[str, ...]
    context: tuple[Mapping[str, Any], ...]


def questions(change: Change, caller: Caller) -> tuple[ApiQuestion, ...]:
    """None for the root user or for sessions that IAM can't simulate."""
    if not caller.can_be_simulated:
        return ()
    return tuple(_question(caller, group, group.actions) for group in _groups(change, caller))


def findings(
    change: Change, caller: Caller | None, answers: Mapping[str, ApiAnswer], allowed: frozenset[str] = frozenset()
) -> Findings:
    """`allowed`: actions that EC2 allows in dry runs (`dry_runs`)."""
    named = {name: answer for name, answer in answers.items() if name.startswith(PREFIX)}
    if caller is None or not named:
        return Findings()
    return simulated.findings(run(change), caller.arn, named, allowed)


def run(change: Change) -> simulated.Run:
    """What the rights are for."""
    environment = change.wanted.environment
    return simulated.Run("up", f"--iam-policy {environment}", _circumstances(change), environment)


def _circumstances(change: Change) -> str:
    """What the questions say of the run's calls (`_context`), in words."""
    from stacks.resources import aws_tags

    boundary = change.wanted.cluster.permissions_boundary
    texts = [change.wanted.region, f"with the tags {', '.join(sorted(aws_tags(change.wanted)))}"]
    return ", ".join([*texts, *([f"and the permissions boundary {boundary}"] if boundary else [])])


def _question(caller: Caller, group: _Group, actions: Sequence[str], suffix: str = "") -> ApiQuestion:
    arguments = {
        "PolicySourceArn": caller.arn,
        "ActionNames": sorted(actions),
        "ResourceArns": list(group.kinds if suffix.endswith(":kinds") else (group.resource,)),
        "ContextEntries": list(group.context),
        "PaginationConfig": _PAGE,
    }
    then = partial(_more, caller, group, tuple(actions), suffix)
    name = f"{PREFIX}{group.name}{suffix}"
    return ApiQuestion(name, "iam", "simulate_principal_policy", "your rights", arguments, then=then)


def _more(
    caller: Caller, group: _Group, actions: tuple[str, ...], suffix: str, answer: ApiAnswer
) -> tuple[ApiQuestion, ...]:
    """The actions that one call does not take together, and those that a narrower policy may allow."""
    if answer.code.startswith("InvalidInput") and ":" not in suffix:
        texts = _GROUPS.findall(answer.message)
        parts = [[name for name in actions if name in re.split(r",\s*", text)] for text in texts]
        if len(parts) > 1 and sum(map(len, parts)) == len(actions):
            return tuple(_question(caller, group, part, f":{number}") for number, part in enumerate(parts))
        return ()
    denied = simulated.not_allowed(answer)
    if not denied or not group.kinds or suffix.endswith(":kinds"):
        return ()
    return (_question(caller, group, denied, f"{suffix}:kinds"),)


def _groups(change: Change, caller: Caller) -> Iterator[_Group]:
    """The statements of the policy that are about the same resources, as one."""
    by_resources: dict[tuple[str, ...], list[Any]] = {}
    for statement in _statements(change, caller):
        by_resources.setdefault(statement.resources, []).append(statement)
    for resources, statements in by_resources.items():
        actions = tuple(sorted({action for each in statements for action in each.actions}))
        conditions = [condition for each in statements for condition in each.conditions.values()]
        examples = [_example(resource, caller) for resource in resources]
        services = {action.partition(":")[0] for action in actions}
        kinds = (*examples[1:], *(each for name in sorted(services) for each in _of_kinds(change, caller, name)))
        yield _Group(statements[0].sid, actions, examples[0], kinds, tuple(_context(change, conditions)))


def _statements(change: Change, caller: Caller) -> Iterator[Any]:
    from meshctl.platforms.aws.iam import iam_policy  # with botocore, by the rows: only where something is asked

    scope = PolicyScope(account=caller.account)
    needed = _needed_by_all(change) if change.makes_cluster else _needed_by_parts(change)
    for statement in iam_policy.statements(change.wanted, scope, change.machines):
        actions = frozenset(action for action in statement.actions if action in needed and not _ends(action))
        if actions and statement.sid not in _NOT_SIMULATED:
            yield replace(statement, actions=actions)


def _ends(action: str) -> bool:
    return action.partition(":")[2].startswith(_ENDS)


def _needed_by_all(change: Change) -> frozenset[str]:
    """Of a new environment. What is only asked beforehand, such as quotas, may be refused: notes say so."""
    from meshctl.platforms.aws.iam import iam_policy

    types = [row.token for row in iam_policy.rows(change.wanted, PolicyScope())]
    return iam_policy.actions_of(types) | {"iam:PassRole"}


def _needed_by_parts(change: Change) -> frozenset[str]:
    """Of an environment that is up: what is called for its new parts."""
    from meshctl.platforms.aws.iam import iam_policy

    types = list(_OF_POOLS if change.new_pools else _OF_POOLS[-1:] if change.growing_pools else ())
    wanted = {
        "meshaws:s3:Bucket": sum(not each.is_adopted for each in change.wanted.object_stores),
        "meshaws:fsx:FileSystem": _made(change, "fsx-lustre"),
        "meshaws:efs:FileSystem": _made(change, "efs"),
    }
    types += [each for name, count in wanted.items() if change.missing(name, count) for each in _PARTS[name]]
    return iam_policy.actions_of(types) | ({"iam:PassRole"} if change.new_pools else set())


def _made(change: Change, service: str) -> int:
    """How many file systems of a service are to be there that meshctl makes."""
    return sum(each.service == service and each.existing is None for each in change.wanted.file_systems)


def _context(change: Change, conditions: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """What a call of ours says of itself, which policies may ask for."""
    from stacks.resources import aws_tags  # with the Pulumi SDK, as the rows

    cluster, tags = change.wanted.cluster, aws_tags(change.wanted)
    values: dict[str, str] = {"aws:RequestedRegion": change.wanted.region}
    for condition in conditions:
        for key, value in condition.items():
            first = value if isinstance(value, str) else next(iter(value))
            values[key] = first.replace("*", "AmazonEKSClusterPolicy")
    if cluster.permissions_boundary:
        values["iam:PermissionsBoundary"] = cluster.permissions_boundary
    values |= {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    for key, value in values.items():
        yield {"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]}
    yield {"ContextKeyName": "aws:TagKeys", "ContextKeyType": "stringList", "ContextKeyValues": sorted(tags)}


def _example(resource: str, caller: Caller) -> str:
    """A resource as a run will have it, of a pattern in the policy."""
    if resource == "*":
        return resource
    parts = resource.split(":", 5)
    parts[4] = caller.account if parts[4] == "*" else parts[4]
    rest = parts[5]
    ending = "nodes" if ":role/" in resource else "x"
    parts[5] = rest[:-1] + ending if rest.endswith("*") else rest
    return ":".join(parts).replace("*", "x")


def _of_kinds(change: Change, caller: Caller, service: str) -> Iterator[str]:
    region, partition = change.wanted.region, caller.arn.split(":")[1]
    for kind in _KINDS.get(service, ()):
        name = f"{change.wanted.cluster.name}/x/x" if service == "eks" else "x"
        name = change.wanted.cluster.name if kind == "cluster" else name
        yield f"arn:{partition}:{service}:{region}:{caller.account}:{kind}/{name}"
