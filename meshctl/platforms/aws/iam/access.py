"""Who gets into the cluster: its maker by an access entry, others by `kubernetes.admins`. PURE.

Part of the platform (`meshctl.platforms.aws`): `needs_caller` and `findings` are called by `preflight`, `maker` by
`meshctl.deploy.guards.cluster_maker`. `stacks.aws.cluster` declares the entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from meshctl.model.deployment import Gap
from meshctl.model.questions import NO_ANSWER, ApiAnswer, Findings
from meshctl.model.stack_state import Resource
from meshctl.platforms.aws import words
from meshctl.platforms.aws.iam import caller
from meshctl.platforms.aws.iam.caller import Caller
from meshctl.platforms.aws.preflight.change import Change
from meshctl.platforms.interface import ClusterEntries

_ENTRY: Final = "meshaws:eks:AccessEntry"
ENTRIES: Final = ClusterEntries(service="eks", entry=_ENTRY, policy="meshaws:eks:AccessPolicyAssociation")
_MAKER: Final = "cluster:maker"
_BOOTSTRAP: Final = "bootstrapClusterCreatorAdminPermissions"
_AS_ROLE: Final = "run meshctl as an IAM role or user: name its profile in environments.yaml, or set AWS_PROFILE"


def maker(resources: Iterable[Resource]) -> str | None:
    """See `meshctl.platforms.interface.MadeCluster`. A cluster that was made without a right for its maker, whose entry
    was not made any more, still waits for one."""
    by_name = {resource.name: resource for resource in resources if not resource.is_to_be_deleted}
    cluster = next((each for each in by_name.values() if each.type == words.CLUSTER), None)
    if cluster is None:
        return None
    if _MAKER in by_name:
        return str(by_name[_MAKER].inputs.get("principalArn") or "")
    config = cluster.inputs.get("accessConfig") or {}
    return "" if config.get(_BOOTSTRAP, True) else None


def needs_caller(change: Change) -> bool:
    """Whether somebody gets into the cluster, or out of it, by the run. Where an entry is missing, it may be that of a
    maker whose role or user is gone: whoever runs the command becomes the maker then."""
    made = change.in_place
    entries = {made.maker, *made.admins} - {""}
    is_missing = made.counts.get(_ENTRY, 0) < len(entries)
    return change.makes_cluster or bool(_removed(change)) or is_missing


def findings(change: Change, answers: Mapping[str, ApiAnswer]) -> Findings:
    who = caller.of_answers(answers)
    if not change.makes_cluster:
        return Findings(notes=tuple(_notes(change, who)), maker=_arn(change, who))
    if caller.CALLER not in answers:
        return Findings()
    gap = _no_entry(change, who, answers)
    return Findings(caller_gaps=(gap,)) if gap else Findings(maker=_arn(change, who))


def _removed(change: Change) -> set[str]:
    return set(change.in_place.admins) - set(change.wanted.cluster.admins)


def _arn(change: Change, who: Caller | None) -> str:
    """Where AWS does not say the path of a role, `kubernetes.admins` may."""
    if who is None or who.kind not in ("user", "role"):
        return ""
    if who.has_path:
        return who.arn
    same_role = [arn for arn in change.wanted.cluster.admins if ":role/" in arn and arn.endswith(f"/{who.name}")]
    return same_role[0] if len(same_role) == 1 else ""


def _no_entry(change: Change, who: Caller | None, answers: Mapping[str, ApiAnswer]) -> Gap | None:
    """Why whoever runs the command can't be given an access entry, which is made right after the cluster; None where
    they can."""
    if who is None:
        code = answers[caller.CALLER].code
        best = "AWS did not say in time whose the credentials are" if code == NO_ANSWER else f"AWS refused ({code})"
        return _gap("whoever makes it", best, "`aws sts get-caller-identity` must work; then run the command again")
    if who.kind == "root":
        # "Root user best practices", IAM user guide; "Create access entries", EKS user guide: one IAM principal
        best = (
            "an entry needs an IAM role or user; the root user is neither, and AWS advises against using it for such"
            " tasks"
        )
        return _gap("the account's root user", best, _AS_ROLE)
    if who.kind == "federated-user":  # principalArn of "CreateAccessEntry", EKS API reference
        best = "EKS makes no entry for a session of STS, because it is temporary"
        return _gap(who.arn, best, _AS_ROLE)
    if not _arn(change, who):
        code = answers.get(caller.ROLE, ApiAnswer(code=NO_ANSWER)).code
        best = f"an entry needs the role's path, which AWS did not return ({code})"
        hint = f"allow iam:GetRole on {who.arn}, or write the role's whole ARN into `kubernetes.admins`"
        return _gap(f"the role {who.name}", best, hint)
    return None


def _gap(who: str, best: str, hint: str) -> Gap:
    return Gap(subject="cluster", wanted=f"an access entry for {who}", best=best, hint=hint)


def _notes(change: Change, who: Caller | None) -> Iterator[str]:
    """Of a cluster that is up. Who made one of an older release is not known."""
    arn, made_by = _arn(change, who), change.in_place.maker
    if not arn or arn == made_by or arn in change.wanted.cluster.admins:
        return
    if arn in _removed(change):
        yield (
            f"`kubernetes.admins` no longer has {arn}, whose credentials these are: after this `up` the cluster refuses"
            " them, and so does every later command"
        )
    elif made_by:
        yield (
            f"{arn}, whose credentials these are, has no access entry in the cluster: ask somebody with access to"
            f" add it to `kubernetes.admins` and to run `meshctl up {change.wanted.environment}`"
        )
