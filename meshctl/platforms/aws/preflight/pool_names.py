"""Whether the names of a new pool's launch template and placement group are free in the region. PURE.

Called by `account`. Both are named `CLUSTER-POOL`, so that they can be another environment's: the pool `b-web` of the
cluster `llm-a` and the pool `web` of the cluster `llm-a-b` want the same name. EC2 says so only when it makes them,
after the cluster. Both names are unique in a region (EC2 API reference, CreateLaunchTemplate and CreatePlacementGroup).
They are asked for by filters: a call with names that do not exist fails, one with filters has an empty answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl.model.deployment import Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion
from meshctl.platforms.aws.preflight.change import Change


@dataclass(frozen=True)
class _Kind:
    """Something that each of some pools has one of. `content`, `name`: the members of the answer that list them, and
    that name one."""

    noun: str
    operation: str
    filter: str
    content: str
    name: str

    def question(self, names: list[str]) -> ApiQuestion:
        about = f"whether the names of the pools' {self.noun}s are free"
        filters = [{"Name": self.filter, "Values": names}]
        return ApiQuestion(f"{self.noun} names", "ec2", self.operation, about, {"Filters": filters})


_TEMPLATE: Final = _Kind(
    "launch template",
    "describe_launch_templates",
    "launch-template-name",
    "LaunchTemplates",
    "LaunchTemplateName",
)
_GROUP: Final = _Kind("placement group", "describe_placement_groups", "group-name", "PlacementGroups", "GroupName")
_KINDS: Final = (_TEMPLATE, _GROUP)


def questions(change: Change) -> Iterator[ApiQuestion]:
    for kind in _KINDS:
        names = sorted(_pools(change, kind))
        if names:
            yield kind.question(names)


def gaps(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[Gap]:
    for kind in _KINDS:
        pools = _pools(change, kind)
        described = answers.get(f"{kind.noun} names", ApiAnswer()).content.get(kind.content, [])
        taken = {each[kind.name] for each in described if not change.is_own(_tags(each))}
        for name in sorted(taken & pools.keys()):
            yield _gap(pools[name], kind, name)


def _pools(change: Change, kind: _Kind) -> dict[str, Pool]:
    """The pools that a run makes with one of this kind, by the name that it would have."""
    if not change.pools_to_make:
        return {}
    from stacks.aws.pools import has_own_placement_group, resource_name  # with the Pulumi SDK

    made = [pool for pool in change.pools_to_make if kind is _TEMPLATE or has_own_placement_group(pool)]
    return {resource_name(change.wanted, pool): pool for pool in made}


def _tags(described: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags") or ()}


def _gap(pool: Pool, kind: _Kind, name: str) -> Gap:
    return Gap(
        subject=f"pool/{pool.name}",
        wanted=f"a {kind.noun} named {name}",
        best="there is one, which meshctl did not make for this environment",
        hint=f"give the pool or the environment another name, or delete the {kind.noun} if nobody needs it",
    )
