"""`meshctl doctor`: what meshctl needs and finds on this machine, and what to do. No logic: see `diagnosis`."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl.cli.context import Context
from meshctl.errors import UsageError
from meshctl.printable import one_line

if TYPE_CHECKING:
    from meshctl.diagnosis import Finding

_EXPAND = "expand"
_SIGNS = {"ok": "ok", "missing": "MISSING", "optional": "-"}


def doctor(
    ctx: typer.Context,
    iam_policy: Annotated[
        str,
        typer.Option(
            "--iam-policy",
            metavar="ENV",
            help="Print the least IAM policy with which this environment is planned, brought up, migrated and destroyed"
            " instead.",
        ),
    ] = "",
    purpose: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="COMMAND",
            help="With --iam-policy: `expand` prints what `expand` and `contract` need beside that policy.",
        ),
    ] = "",
    part: Annotated[
        int,
        typer.Option(
            "--part",
            metavar="N",
            help="With --iam-policy: print the N-th of the managed policies that it takes, where one is too long.",
        ),
    ] = 0,
) -> None:
    """Show which programs, packages, plugins and credentials meshctl uses here, and how to get missing ones."""
    from meshctl.diagnosis import diagnose  # boto3 and Pulumi: too slow to import for `meshctl --help`

    context: Context = ctx.obj
    if iam_policy:
        _print_policy(context, iam_policy, purpose, part)
        return
    if part or purpose:
        option = "--part" if part else "--for"
        raise UsageError(f"`{option}` can only be used with `--iam-policy`", hint="add `--iam-policy ENV`")
    context.withhold_secrets()
    findings = diagnose()
    missing = [finding for finding in findings if finding.state == "missing"]
    if context.output == "json":
        context.print_json({"ok": not missing, "findings": [dataclasses.asdict(finding) for finding in findings]})
    else:
        context.print(human(findings))
    if missing:
        raise typer.Exit(1)


def _print_policy(context: Context, environment: str, purpose: str, part: int) -> None:
    """On stdout one document alone, so that it can be given to the platform's own tool as it is."""
    from meshctl.policies import least_policy

    if purpose not in ("", _EXPAND):
        raise UsageError(
            f"--for {purpose}: only `{_EXPAND}` has a policy of its own",
            hint="leave `--for` out: the environment's policy covers all other commands",
        )
    mesh, environments = context.load()
    policy = least_policy(mesh, environments, environment, for_expand=purpose == _EXPAND)
    document = policy.part(part).document if part else policy.document
    if context.output == "json":
        policies = [{"name": each.name, "document": each.document} for each in policy.parts]
        context.print_json({"environment": environment, "policy": document, "policies": policies})
        return
    context.print(json.dumps(document, indent=2))
    for note in () if part else policy.notes:
        context.say(note)


def human(findings: tuple[Finding, ...]) -> str:
    """One line for each finding, by group; below it the programs that were rejected, and a hint."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines: list[str] = []
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            lines.append(group)
        where = " ".join(part for part in (finding.version, finding.source, finding.path) if part)
        lines.append(f"  {_SIGNS[finding.state]:<8}{finding.name:<{width}}  {where}".rstrip())
        lines += [f"{'':10}{finding.detail}"] if finding.detail else []
        lines += [f"{'':10}hint: {finding.hint}"] if finding.hint else []
    count = sum(finding.state == "missing" for finding in findings)
    lines.append(f"{count} missing" if count else "everything needed is here")
    return "\n".join(map(one_line, lines)) + "\n"
