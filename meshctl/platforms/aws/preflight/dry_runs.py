"""Whether the policies of account and organization let the caller make what a run would make: EC2's dry runs. PURE.

Called by `preflight`. A dry run makes nothing, needs no right that the run does not need, and knows the policies of the
organization with all their conditions, which IAM's simulation (`rights`) does not. It does not look for machines.

Asked are calls as the run makes them: of a VPC, an address and a launch template. A refusal of these is a gap. Of
instances EKS asks the same with the caller's rights when a node group is made (eksctl issue 1603); without the launch
template, which is not there yet, the question says what the template would of instance, volumes and market. It lacks
keys that the launch by EKS has (ec2:LaunchTemplate, ec2:IsLaunchTemplateResource, ec2:InstanceProfile), for which a
policy may exempt it. So a refusal of these is a gap only where IAM's simulation (`rights`) denies ec2:RunInstances,
too; all others are notes.

Sources: EC2 API reference, DryRun; karpenter-provider-aws issues 7834 (without a subnet, EC2 looks for one in the
default VPC and refuses where there is none), 9018 and 8190 (what a dry run does not say of an instance, a policy can
deny). The texts of refusals: IAM user guide, "Troubleshoot access denied error messages".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from meshctl.model.deployment import Deployment, Gap, Pool
from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings
from meshctl.platforms.aws import releases
from meshctl.platforms.aws.iam import rights, simulated
from meshctl.platforms.aws.iam.caller import Caller
from meshctl.platforms.aws.preflight.change import Change

PREFIX: Final = "dry run "
_VPC: Final = f"{PREFIX}vpc"
_ADDRESS: Final = f"{PREFIX}address"
_TEMPLATE: Final = f"{PREFIX}launch template"
_SUBNETS: Final = f"{PREFIX}subnets"
_IMAGE: Final = f"{PREFIX}image "
_INSTANCE: Final = f"{PREFIX}instance "
# exact, as the run makes them, by the name of the question
_ACTIONS: Final = {_VPC: "ec2:CreateVpc", _ADDRESS: "ec2:AllocateAddress", _TEMPLATE: "ec2:CreateLaunchTemplate"}
_RUN: Final = "ec2:RunInstances"

_ALLOWED: Final = "DryRunOperation"
_DENIED: Final = "UnauthorizedOperation"
# of quotas and names that are taken other questions tell
_TELLING: Final = (_ALLOWED, _DENIED, "AddressLimitExceeded", "VpcLimitExceeded", "InvalidLaunchTemplateName")
_ABOUT: Final = "whether policies let you make a network and nodes"
_ABOUT_INSTANCES: Final = "whether policies let you start its instances"

_REFUSED: Final = re.compile(r"not authorized to perform: (?P<action>\S+)(?: on resource: (?P<resource>\S+))?")
_REASONS: Final[tuple[tuple[str, simulated.Reason], ...]] = (
    ("control policy", "organization"),  # service control policies, resource control policies
    ("permissions boundary", "boundary"),
    ("explicit deny", "deny"),
    ("no identity-based policy", "nothing"),
)
# what the question of an instance says as the launch template would (Service Authorization Reference, RunInstances)
_DESCRIBED: Final = (":instance/", ":volume/")


@dataclass(frozen=True)
class _Denial:
    """`action`: what EC2 refused, of the pool where it was an instance. `is_explicit`: a policy denies it; else none
    allows it."""

    action: str
    resource: str
    reason: simulated.Reason
    is_explicit: bool
    pool: Pool | None = None

    def is_certain(self, *, is_simulated: bool) -> bool:
        """Whether the run would be refused, too. Who may start instances of a launch template alone, may not start the
        one of the question. `is_simulated`: IAM's simulation denies instances as well."""
        if self.pool is None:
            return True
        return is_simulated and self.is_explicit and any(kind in self.resource for kind in _DESCRIBED)

    @property
    def text(self) -> str:
        return self.action if self.pool is None else f"{self.action} of {self.pool.machine} (pool {self.pool.name})"


def questions(change: Change) -> Iterator[ApiQuestion]:
    wanted = change.wanted
    if change.missing_vpcs and wanted.network is not None:
        arguments = {"CidrBlock": wanted.network.cidr, **_tags(wanted, "vpc")}
        yield _dry_run(_VPC, "create_vpc", arguments)
    if change.missing_addresses:
        yield _dry_run(_ADDRESS, "allocate_address", {"Domain": "vpc", **_tags(wanted, "elastic-ip")})
    for pool in change.pools_to_make[:1]:  # one stands for all
        arguments = {
            "LaunchTemplateName": _name(wanted, pool),
            "LaunchTemplateData": _instance(wanted, pool),
            **_tags(wanted, "launch-template"),
        }
        yield _dry_run(_TEMPLATE, "create_launch_template", arguments)
    if not change.new_pools:
        return
    zones = sorted({zone for each in change.new_pools for zone in each.zones})
    filters = [{"Name": "availability-zone", "Values": zones}, {"Name": "state", "Values": ["available"]}]
    then = partial(_images, change)
    yield ApiQuestion(_SUBNETS, "ec2", "describe_subnets", _ABOUT_INSTANCES, {"Filters": filters}, then=then)


def _dry_run(name: str, operation: str, arguments: Mapping[str, Any], about: str = _ABOUT) -> ApiQuestion:
    return ApiQuestion(name, "ec2", operation, about, {**arguments, "DryRun": True}, telling_codes=_TELLING)


def _tags(wanted: Deployment, kind: str) -> dict[str, Any]:
    """As the rows tag what they make."""
    from stacks.resources import aws_tags  # with the Pulumi SDK, as the rows

    tags = [{"Key": key, "Value": value} for key, value in {"Name": wanted.cluster.name, **aws_tags(wanted)}.items()]
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]}


def _name(wanted: Deployment, pool: Pool) -> str:
    from stacks.aws import pools  # with the Pulumi SDK

    return pools.resource_name(wanted, pool)


def _instance(wanted: Deployment, pool: Pool) -> dict[str, Any]:
    from stacks.aws import pools  # with the Pulumi SDK

    return pools.instance_settings(wanted, pool)


def _images(change: Change, subnets: ApiAnswer) -> tuple[ApiQuestion, ...]:
    """An instance needs a subnet of its zone, whichever, and an image."""
    by_place: dict[str, list[tuple[Pool, str]]] = {}
    for pool in change.new_pools:
        place = releases.image_place(change.wanted.cluster.version, pool.ami_type)
        subnet = _subnet(change, pool, subnets)
        if place and subnet:
            by_place.setdefault(place, []).append((pool, subnet))
    return tuple(
        ApiQuestion(
            f"{_IMAGE}{place}",
            "ssm",
            "get_parameter",
            _ABOUT_INSTANCES,
            {"Name": releases.parameter(place, "image_id")},
            then=partial(_instances, change.wanted, tuple(placed)),
        )
        for place, placed in by_place.items()
    )


def _subnet(change: Change, pool: Pool, answer: ApiAnswer) -> str:
    """Of the environment itself where it has one, else any of the account; "" where its zones have none."""
    listed = [each for each in answer.content.get("Subnets", ()) if each["AvailabilityZone"] in pool.zones]

    def order(subnet: Mapping[str, Any]) -> tuple[bool, bool, str]:
        tags = {tag["Key"]: tag["Value"] for tag in subnet.get("Tags", ())}
        return (not change.is_own(tags), not subnet.get("DefaultForAz", False), subnet["SubnetId"])

    return next((str(each["SubnetId"]) for each in sorted(listed, key=order)), "")


def _instances(wanted: Deployment, placed: Sequence[tuple[Pool, str]], image: ApiAnswer) -> tuple[ApiQuestion, ...]:
    """One instance of each pool. `placed`: the pools, with a subnet each."""
    image_id = image.content.get("Parameter", {}).get("Value", "")
    if not image_id:
        return ()
    return tuple(
        _dry_run(
            f"{_INSTANCE}{pool.name}",
            "run_instances",
            {
                "ImageId": image_id,
                "InstanceType": pool.machine,
                "MinCount": 1,
                "MaxCount": 1,
                "SubnetId": subnet,
                **_instance(wanted, pool),
                **_market(pool),
            },
            _ABOUT_INSTANCES,
        )
        for pool, subnet in placed
    )


def _market(pool: Pool) -> dict[str, Any]:
    """How EKS buys the pool's instances, at which guard rails look (ec2:InstanceMarketType). A capacity block has to be
    named with it."""
    if pool.market == "on-demand":
        return {}
    market: dict[str, Any] = {"InstanceMarketOptions": {"MarketType": pool.market}}
    if pool.market == "capacity-block":
        target = {"CapacityReservationTarget": {"CapacityReservationId": pool.reservation}}
        market["CapacityReservationSpecification"] = target
    return market


def allowed(answers: Mapping[str, ApiAnswer]) -> frozenset[str]:
    """The actions that EC2 itself allows the caller, for all that the run makes with them."""
    exact = {action for name, action in _ACTIONS.items() if _code(answers, name) == _ALLOWED}
    codes = {answer.code for name, answer in answers.items() if name.startswith(_INSTANCE)}
    return frozenset(exact | ({_RUN} if codes == {_ALLOWED} else set()))


def findings(change: Change, who: Caller | None, answers: Mapping[str, ApiAnswer], by_rights: Findings) -> Findings:
    """`by_rights`: of `rights`, whose gaps name actions that need no second one."""
    if who is None:
        return Findings()
    named = {action for gap in by_rights.caller_gaps for action in gap.wanted.replace(",", " ").split()}
    denials = [each for each in _denials(change, answers) if each.action not in named]
    simulations = {name: answer for name, answer in answers.items() if name.startswith(rights.PREFIX)}
    is_simulated = simulated.is_denied(_RUN, simulations)
    certain = [each for each in denials if each.is_certain(is_simulated=is_simulated)]
    run = rights.run(change)
    gaps: list[Gap] = []
    for reason in simulated.HINTS:
        texts = sorted({each.text for each in certain if each.reason == reason})
        gaps += [simulated.gap(run, who.arn, reason, texts)] if texts else []
    uncertain = [each for each in denials if each not in certain]
    return Findings(caller_gaps=tuple(gaps), notes=(*_uncertain(who, uncertain), *_unasked(change, answers)))


def _code(answers: Mapping[str, ApiAnswer], name: str) -> str:
    return answers[name].code if name in answers else ""


def _denials(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[_Denial]:
    tries: list[tuple[str, str, Pool | None]] = [(name, action, None) for name, action in _ACTIONS.items()]
    tries += [(f"{_INSTANCE}{pool.name}", _RUN, pool) for pool in change.new_pools]
    for name, action, pool in tries:
        if _code(answers, name) == _DENIED:
            message = answers[name].message
            match = _REFUSED.search(message)
            reasons = (reason for text, reason in _REASONS if text in message)
            reason: simulated.Reason = next(reasons, "coded")
            refused, resource = (match["action"], match["resource"] or "") if match else (action, "")
            yield _Denial(refused, resource, reason, "explicit deny" in message, pool)


def _uncertain(who: Caller, denials: Sequence[_Denial]) -> Iterator[str]:
    if denials:
        texts = ", ".join(sorted({each.text for each in denials}))
        yield (
            f"EC2's dry run does not let {who.arn} call {texts}; it can be wrong where policies ask for the launch"
            " template, the subnet or other things that are not there yet, so `up` goes on: if EKS refuses a node group"
            " then, whoever manages these policies has to allow it"
        )


def _unasked(change: Change, answers: Mapping[str, ApiAnswer]) -> Iterator[str]:
    """Instances that EC2 was not asked about, or of which it said something else."""
    if _SUBNETS not in answers or answers[_SUBNETS].is_refused:
        return  # as all questions of the first round, `preflight` tells it
    without = [pool for pool in change.new_pools if not _subnet(change, pool, answers[_SUBNETS])]
    if without:
        zones = ", ".join(sorted({zone for pool in without for zone in pool.zones}))
        pools = ", ".join(pool.name for pool in without)
        yield (
            f"EC2 was not asked {_ABOUT_INSTANCES} (pool {pools}): its dry run needs a subnet, and the account has none"
            f" in {zones} yet"
        )
    later = {name: answer.code for name, answer in answers.items() if name.startswith((_IMAGE, _INSTANCE))}
    codes = sorted({code for code in later.values() if code and code not in (_ALLOWED, _DENIED)})
    if codes:
        yield f"EC2 did not say {_ABOUT_INSTANCES}: {', '.join(codes)}"
