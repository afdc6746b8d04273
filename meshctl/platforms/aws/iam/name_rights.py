"""Whether the caller has the rights that shared names in Route 53 need: IAM simulates them before `expand`. PURE.

Part of the platform (`meshctl.platforms.aws`); called through `meshctl.deploy.guards.name_rights`. What is asked are
the actions of the policy that `doctor --iam-policy ENV --for expand` prints, and the change of records in the zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Final

from meshctl.model.questions import ApiAnswer, ApiQuestion, Findings
from meshctl.platforms.aws.iam import caller, simulated
from meshctl.platforms.aws.iam.caller import Caller

DNS: Final = "route53"  # `dns.provider` of environments.yaml
_PREFIX: Final = "name rights "
_PAGE: Final = {"PageSize": 1000}


def questions(zone: str) -> tuple[ApiQuestion, ...]:
    """`zone`: where the names live, an id or a name."""
    return (caller.question(partial(_rights, zone)),)


def _rights(zone: str, who: Caller) -> tuple[ApiQuestion, ...]:
    """None for the root user or for sessions that IAM can't simulate."""
    return tuple(_questions(zone, who)) if who.can_be_simulated else ()


def _questions(zone: str, who: Caller) -> Iterator[ApiQuestion]:
    from meshctl.platforms.aws.iam import iam_policy  # with botocore, by the rows: only where something is asked

    start = f"arn:{who.arn.split(':')[1]}:route53:::"
    unnamed, checks = (each.actions for each in iam_policy.expand_statements())
    wanted = {"*": unnamed, f"{start}healthcheck/x": checks}
    if "." not in zone:  # of a zone that is given by its name nobody here knows the id
        wanted[f"{start}hostedzone/{zone.removeprefix('/hostedzone/')}"] = ("route53:ChangeResourceRecordSets",)
    for resource, actions in wanted.items():
        arguments = {
            "PolicySourceArn": who.arn,
            "ActionNames": sorted(actions),
            "ResourceArns": [resource],
            "PaginationConfig": _PAGE,
        }
        name = f"{_PREFIX}{resource.rpartition(':')[2]}"
        yield ApiQuestion(name, "iam", "simulate_principal_policy", "your rights to shared names", arguments)


def findings(environment: str, answers: Mapping[str, ApiAnswer]) -> Findings:
    """`environment`: one whose policies are printed."""
    who = caller.of_answers(answers)
    named = {name: answer for name, answer in answers.items() if name.startswith(_PREFIX)}
    if who is None or not named:
        return Findings()
    run = simulated.Run("expand", f"--iam-policy {environment} --for expand", "names in Route 53")
    return simulated.findings(run, who.arn, named)
