"""What IAM's simulations of a caller's policies say: gaps for missing rights, notes for what is not known. PURE.

Called by `rights`, with the answers of SimulatePrincipalPolicy by the names of its questions, `rights GROUP[:PART]`.

What policies of the organization deny is a note, never a gap: the simulation evaluates their conditions without keys
that nobody gave it, such as the caller or its organization, and "MissingContextValues doesn't include context keys
referenced by service control policies" (IAM API reference, EvaluationResult, 2026-08). It so answers `explicitDeny` of
calls that an exemption lets through (aws-cli issue 10525), and `implicitDeny` of all that administrators may do
(aws-sdk issue 102, aws-toolkit-vscode pull request 3106, amazon-ecs-exec-checker issue 70).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from meshctl.model.deployment import Gap
from meshctl.model.questions import NO_ANSWER, ApiAnswer, Findings

# `organization` and `coded`: of EC2's dry runs alone (`dry_runs`)
Reason = Literal["boundary", "deny", "nothing", "organization", "coded"]

# Keys whose absence is no lack of knowledge: a call of ours has them or not, as the question says.
_OURS: Final = ("iam:PermissionsBoundary", "aws:RequestTag/", "aws:TagKeys")


def not_allowed(answer: ApiAnswer) -> tuple[str, ...]:
    """The actions that the policies allow on no resource of the question."""
    results = answer.content.get("EvaluationResults", ())
    return tuple(sorted(each["EvalActionName"] for each in results if "allowed" not in _decisions(each)))


def is_denied(action: str, answers: Mapping[str, ApiAnswer]) -> bool:
    """Whether the simulation denies the action whatever a call says; False where it was not asked, and where it
    depends on keys that the question does not have."""
    of_action = (results for name, results in _by_action(answers) if name == action)
    return any(_denies(results) for results in of_action)


def _denies(results: Sequence[Mapping[str, Any]]) -> bool:
    return not any("allowed" in _decisions(each) or any(_missing_keys(each)) for each in results)


@dataclass(frozen=True)
class Run:
    """What the rights are for. `command`: as users call it. `printed`: the options of `doctor` that print them.
    `circumstances`: what the questions said of the run's calls, in words. `environment`: whose keys say what guard
    rails ask for; "" where none does."""

    command: str
    printed: str
    circumstances: str
    environment: str = ""


def findings(run: Run, who: str, answers: Mapping[str, ApiAnswer], allowed: frozenset[str] = frozenset()) -> Findings:
    """`who`: whose policies were simulated. `allowed`: actions that the service itself allows."""
    refused = [answer.code for answer in answers.values() if answer.is_refused and not _is_split(answer)]
    missing: dict[Reason, set[str]] = {}
    unknown: dict[str, set[str]] = {}
    by_organization: set[str] = set()
    for action, results in _by_action(answers):
        if action in allowed or any("allowed" in _decisions(each) for each in results):
            continue
        keys = {key for each in results for key in _missing_keys(each)}
        if not _allowed_by_organization(results[0]):
            by_organization.add(action)
        elif keys:
            unknown.setdefault(", ".join(sorted(keys)), set()).add(action)
        else:
            missing.setdefault(_reason(results[0]), set()).add(action)
    gaps = tuple(gap(run, who, reason, sorted(missing[reason])) for reason in HINTS if reason in missing)
    of_organization = _of_organization(run, who, by_organization)
    notes = (*_refusals(run, who, refused), *_unknown(who, unknown), *of_organization)
    return Findings(caller_gaps=gaps, notes=notes)


def _is_split(answer: ApiAnswer) -> bool:
    """Whether the question was asked again in parts."""
    return "require different authorization information" in answer.message


def _by_action(answers: Mapping[str, ApiAnswer]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """Of each action in each group: its results, those of the first question first."""
    results: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for name in sorted(answers):
        for each in answers[name].content.get("EvaluationResults", ()):
            results.setdefault((name.partition(":")[0], each["EvalActionName"]), []).append(each)
    for (_, action), of_action in results.items():
        yield action, of_action


def _decisions(result: Mapping[str, Any]) -> set[str]:
    single = result.get("ResourceSpecificResults", ())
    return {each["EvalResourceDecision"] for each in single} or {result["EvalDecision"]}


def _missing_keys(result: Mapping[str, Any]) -> Iterator[str]:
    for each in (result, *result.get("ResourceSpecificResults", ())):
        yield from (key for key in each.get("MissingContextValues", ()) if not key.startswith(_OURS))


def _allowed_by_organization(result: Mapping[str, Any]) -> bool:
    return bool(result.get("OrganizationsDecisionDetail", {}).get("AllowedByOrganizations", True))


def _reason(result: Mapping[str, Any]) -> Reason:
    """What a user has to have changed, from what nobody here can change on."""
    parts = (result, *result.get("ResourceSpecificResults", ()))
    boundaries = (each.get("PermissionsBoundaryDecisionDetail", {}) for each in parts)
    if any(not each.get("AllowedByPermissionsBoundary", True) for each in boundaries):
        return "boundary"
    return "deny" if "explicitDeny" in _decisions(result) else "nothing"


HINTS: Final[dict[Reason, tuple[str, str]]] = {
    "boundary": (
        "the permissions boundary of {who} does not allow it",
        "ask whoever manages the boundary to add what `meshctl doctor {printed}` prints",
    ),
    "deny": (
        "a policy of {who} denies it",
        "ask whoever manages that policy to remove the Deny, or run meshctl as another role",
    ),
    "nothing": (
        "no policy of {who} allows it",
        "attach the policy that `meshctl doctor {printed}` prints",
    ),
    "organization": (
        "a policy of the organization denies it to {who}",
        "ask whoever manages the organization's policies to allow it, or choose a region, `tags` and machines for"
        " {environment} that they allow",
    ),
    "coded": (
        "EC2 refuses it to {who}, and gives the reason in encoded form",
        "run the same call with `--dry-run` of the AWS CLI, and decode its message with `aws sts"
        " decode-authorization-message`; `meshctl doctor {printed}` prints the policy that is needed",
    ),
}


def gap(run: Run, who: str, reason: Reason, actions: Sequence[str]) -> Gap:
    """`actions`: with what they are for, where that matters ("ec2:RunInstances of p5.48xlarge")."""
    values = {"who": who, "printed": run.printed, "environment": run.environment}
    best, hint = (text.format(**values) for text in HINTS[reason])
    return Gap(subject="account", wanted=f"the right to {', '.join(actions)}", best=best, hint=hint)


def _refusals(run: Run, who: str, codes: list[str]) -> Iterator[str]:
    if not codes:
        return
    answered = "AWS did not say in time" if set(codes) == {NO_ANSWER} else f"AWS did not say ({codes[0]})"
    yield (f"{answered} whether {who} has all rights that this needs: `meshctl doctor {run.printed}` prints them")


def _unknown(who: str, unknown: Mapping[str, set[str]]) -> Iterator[str]:
    for keys, actions in unknown.items():
        yield (
            f"not known whether {who} has the right to {', '.join(sorted(actions))}: that depends on {keys}, which"
            " meshctl can't give to IAM's simulation"
        )


def _of_organization(run: Run, who: str, actions: set[str]) -> Iterator[str]:
    if actions:
        keys = f", or `permissionsBoundary`, `rolePath` and `tags` of {run.environment} have to give what they ask for"
        yield (
            f"IAM's simulation finds that policies of the organization do not let {who} call"
            f" {', '.join(sorted(actions))} (asked for {run.circumstances}); it can be wrong where these policies have"
            f" conditions, such as one on regions or on who calls, so `{run.command}` goes on: if AWS refuses a call"
            f" then, whoever manages these policies has to allow it{keys if run.environment else ''}"
        )
