"""`meshctl lab up|down|status|env`: the local twin. No logic: see `meshctl.lab`."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import typer

from meshctl.cli.context import Context
from meshctl.errors import UsageError

lab_app = typer.Typer(
    no_args_is_help=True, help="A local twin of every environment, as ordinary processes on loopback."
)


@lab_app.command("up")
def lab_up(
    ctx: typer.Context,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--group-controller",
            metavar="CLUSTER",
            help="Run the controller of LeaderWorkerSets on this cluster (aws-east, cw, dc1); may be repeated.",
        ),
    ] = None,
    kueue: Annotated[
        list[str] | None,
        typer.Option(
            "--kueue", metavar="CLUSTER", help="Run Kueue on this cluster (aws-east, cw, dc1); may be repeated."
        ),
    ] = None,
    kai: Annotated[
        list[str] | None,
        typer.Option("--kai", metavar="CLUSTER", help="Play KAI Scheduler on this cluster (cw, dc1); may be repeated."),
    ] = None,
) -> None:
    """Start the lab: an AWS API, three Kubernetes control planes, object stores and DNS."""
    from meshctl.lab import up  # psutil, the clients: not for `meshctl --help`
    from meshctl.lab.controllers import kai as kai_scheduler
    from meshctl.lab.state import Lab, default_root
    from meshctl.lab.webhooks import real_controllers

    _check_clusters([*(groups or ()), *(kueue or ())], real_controllers.CLUSTERS)
    _check_clusters(kai or (), kai_scheduler.CLUSTERS)
    context: Context = ctx.obj
    lab = Lab(default_root())
    context.withhold_secrets()
    started = up.up(lab, context.say, groups or (), kueue or (), kai or ())
    if context.output == "json":
        context.print_json({"root": str(lab.root), **started})
    else:
        context.print(
            f'lab: {lab.root}\n  clusters: {", ".join(started["clusters"])}\n  next: eval "$(meshctl lab env)"'
        )


def _check_clusters(names: Iterable[str], choices: Collection[str]) -> None:
    unknown = [name for name in names if name not in choices]
    if unknown:
        hint = f"choose from: {', '.join(choices)}"
        raise UsageError(f"no cluster {', '.join(unknown)} of the lab can run it", hint=hint)


@lab_app.command("down")
def lab_down(ctx: typer.Context) -> None:
    """Stop the lab and remove its files."""
    from meshctl.lab import up
    from meshctl.lab.state import Lab, default_root

    lab = Lab(default_root())
    up.down(lab)
    ctx.obj.say(f"nothing left of the lab at {lab.root}")


@lab_app.command("status")
def lab_status(ctx: typer.Context) -> None:
    """Show which parts of the lab run, why others do not, and where they listen."""
    from meshctl.lab import programs
    from meshctl.lab.parts import document, lines, states
    from meshctl.lab.state import Lab, default_root

    context: Context = ctx.obj
    lab = Lab(default_root())
    parts = states(lab)
    ports = lab.read()["ports"] if parts else {}
    if context.output == "json":
        context.print_json({"root": str(lab.root), **document(parts), "ports": ports, "programs": programs.played()})
        return
    if not parts:
        context.print("no lab here")
    for state in parts:
        for line in lines(state):
            context.print(f"  {line}")
    for name, port in ports.items():
        context.print(f"  127.0.0.1:{port}  {name}")
    for name, what in programs.played().items():
        context.print(f"  {name}: {what}")
    if any(not state.up for state in parts):
        context.say("hint: `meshctl lab up` starts the parts that have stopped")


@lab_app.command("env")
def lab_env(ctx: typer.Context) -> None:
    """Print the variables that point aws, kubectl and meshctl at the lab: eval "$(meshctl lab env)"."""
    from meshctl.lab.environment import exports
    from meshctl.lab.state import Lab, default_root

    lab = Lab(default_root())
    lab.read()
    ctx.obj.print(exports(lab, Path.cwd()))
