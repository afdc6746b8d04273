"""`meshctl bench`: measure a model server, read what other programs have measured, and show it beside what is expected.
No logic: see `meshctl.bench`, `meshctl.measure` and `advise.comparison`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl import __version__
from meshctl.cli.advise import lengths_of, resolution_of
from meshctl.cli.context import Context
from meshctl.errors import FileError, UsageError

if TYPE_CHECKING:
    from meshctl.advise.comparison import Expectations
    from meshctl.bench.load import Plan, Server
    from meshctl.measure.results import Result, Taken
    from meshctl.model.deployment import Deployment
    from meshctl.project import Project

_LARGEST_FILE = 64 * 2**20
_MOST_REQUESTS = 10_000
_LONGEST_S = 600
_OTHERS = {
    "fabric": "run nccl-tests' all_reduce_perf on the pool's nodes, and read it with --from FILE --of pool/NAME",
    "storage": "run fio with --output-format=json on the mount, and read it with --from FILE --of storage/NAME",
    "gpu": "run `dcgmi diag -r 2 -j` on a node, and read it with --from FILE --of pool/NAME",
}


def bench(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment that is measured.", metavar="ENV")],
    what: Annotated[str, typer.Option("--what", help="What to measure: serve.")] = "",
    workload: Annotated[str, typer.Option("--workload", help="The model server, if there are several.")] = "",
    rate: Annotated[float, typer.Option("--rate", help="Requests per second.")] = 2.0,
    seconds: Annotated[int, typer.Option("--seconds", help="How long requests are sent.")] = 30,
    tokens: Annotated[str, typer.Option("--tokens", help="Tokens of a request: INPUT/OUTPUT.")] = "128/128",
    files: Annotated[
        list[Path] | None, typer.Option("--from", help="Read the output of a benchmark program.", metavar="FILE")
    ] = None,
    subject: Annotated[
        str, typer.Option("--of", help="What the files are of: pool/NAME, storage/NAME or workload/NAME.")
    ] = "",
    machine: Annotated[str, typer.Option("--machine", help="The machine type that the files are of.")] = "",
    date: Annotated[str, typer.Option("--date", help="When they were measured; by default today.")] = "",
    replayed: Annotated[bool, typer.Option("--replayed", help="They are recordings of another place.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Show results beside what is expected.")] = False,
) -> None:
    """Measure a model server by real requests, or read and show what other programs have measured."""
    context: Context = ctx.obj
    if sum((bool(what), bool(files), show)) != 1:
        raise UsageError("say what to do", hint="one of --what serve, --from FILE, --show")
    if show:
        _show(context, environment)
    elif files:
        _read(context, environment, files, subject, _About(machine, date, replayed))
    else:
        _check_kind(what)
        _serve(context, environment, workload, _plan(rate, seconds, tokens))


def _check_kind(what: str) -> None:
    if what in _OTHERS:
        raise UsageError(
            f"{what} is measured by the field's own programs, which meshctl does not start", hint=_OTHERS[what]
        )
    if what != "serve":
        raise UsageError(f'nothing named "{what}" can be measured', hint="--what serve, or --from FILE")


def _plan(rate: float, seconds: int, tokens: str) -> Plan:
    from meshctl.bench.load import Plan

    sizes = lengths_of(tokens)
    if not 0 < rate <= 1000 or not 0 < seconds <= _LONGEST_S or rate * seconds > _MOST_REQUESTS:
        problem = "is too large" if min(rate, seconds) > 0 else "is no load"
        raise UsageError(
            f"{rate:g} requests per second for {seconds} s {problem}",
            hint=f"at most {_LONGEST_S} s and {_MOST_REQUESTS} requests; --rate up to 1000",
        )
    return Plan(rate=rate, duration_s=seconds, input_tokens=sizes[0], output_tokens=sizes[1])


def _serve(context: Context, environment: str, workload: str, plan: Plan) -> None:
    from meshctl.bench import target
    from meshctl.cli.guards import refuse_if_moving
    from meshctl.cli.opened import opened
    from meshctl.dns.lookup import address_of

    with opened(context, "bench") as project:
        name = project.checked_name(environment)
        outputs = project.session.outputs(name)
        if outputs.deployment is None:
            raise UsageError(f"{name}: nothing is up there", hint=f"`meshctl up {name}` brings it up")
        endpoint = target.endpoint_of(outputs.deployment, workload)
        addresses = {key: address_of(value) for key, value in outputs.addresses.items() if key == endpoint.name}
        server = target.server(outputs.deployment, endpoint, addresses)
        refuse_if_moving(project, name)
        if context.must_confirm:
            context.confirm(
                f"send about {plan.rate * plan.duration_s:.0f} requests within {plan.duration_s:.0f} s to"
                f" {endpoint.host} in {name}, beside those of its users?"
            )
            refuse_if_moving(project, name)  # a migration may have begun while the question was open
        rows = _measured(context, outputs.deployment, endpoint.workload, server, plan)
        _keep(context, project, name, rows)


def _measured(
    context: Context, deployment: Deployment, workload: str, server: Server, plan: Plan
) -> tuple[Result, ...]:
    from meshctl.advise.runs import count_text
    from meshctl.bench import load
    from meshctl.cli.signals import at_once
    from meshctl.measure import load as load_results
    from meshctl.measure.results import Taken

    model, served = load.model_of(server), deployment.workload(workload)
    context.say(f"sending {plan.rate:g} requests per second for {plan.duration_s:.0f} s to {server.host}")
    with at_once():  # nothing is in flight but requests: nothing is left behind
        answers, duration_s = load.run(server, model, plan)
    return load_results.summarize(
        answers,
        duration_s=duration_s,
        setting={
            "subject": f"workload/{workload}",
            "model": model,
            "rate": f"{plan.rate:g}",
            "seconds": f"{plan.duration_s:g}",
            "tokens": f"{plan.input_tokens}/{plan.output_tokens}",
            "replicas": count_text(served.at_least, served.at_most),
        },
        versions={"meshctl": __version__, "image": served.image},
        taken=Taken(
            machine=deployment.pool(served.pool).machine,
            date=_now("%Y-%m-%dT%H:%M:%SZ"),
            source=f"meshctl bench through {server.host}, from the machine that ran it",
        ),
    )


def _keep(context: Context, project: Project, environment: str, rows: Sequence[Result]) -> None:
    from meshctl.bench import result_files

    store = result_files.opened(project.environments.state.backend, context.folder)
    path = result_files.write(store, project.mesh.name, environment, rows, _now("%Y%m%dT%H%M%SZ"))
    _print(context, environment, rows, path)


class _About:
    """What the user says of files: where and when they were measured."""

    def __init__(self, machine: str, date: str, replayed: bool) -> None:
        if date and not re.fullmatch(r"\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}Z)?", date):
            raise UsageError(f'"{date}" is no date', hint="write --date 2026-11-29, or 2026-11-29T12:00:00Z")
        self.machine, self.date, self.replayed = machine, date, replayed

    def taken(self, path: Path, machine: str) -> Taken:
        from meshctl.measure.results import Taken

        return Taken(
            machine=self.machine or machine,
            date=self.date or _now("%Y-%m-%d"),
            source=path.name,
            origin="replayed" if self.replayed else "measured",
        )


def _read(context: Context, environment: str, files: Sequence[Path], subject: str, about: _About) -> None:
    from meshctl.bench import result_files
    from meshctl.measure import outputs
    from meshctl.resolve import checked_name

    mesh, declared = context.load()
    name = checked_name(declared, environment)
    machine = _machine(context, name, subject)
    rows = [
        replace(row, setting={"subject": subject, **row.setting})
        for path in files
        for row in outputs.read(_text(path), about.taken(path, machine))
    ]
    store = result_files.opened(declared.state.backend, context.folder)
    written = result_files.write(store, mesh.name, name, rows, _now("%Y%m%dT%H%M%SZ"))
    _print(context, name, rows, written)


def _machine(context: Context, environment: str, subject: str) -> str:
    """Of the pool that the subject is, or runs in; "" where that isn't known. Raises: UsageError for an unknown
    subject."""
    from meshctl.model.files.file_problems import suggestion

    mesh, _ = context.load()
    kinds: dict[str, Mapping[str, object]] = {"pool": mesh.pools, "storage": mesh.storage, "workload": mesh.workloads}
    subjects = [f"{kind}/{each}" for kind, section in kinds.items() for each in section]
    if subject not in subjects:
        raise UsageError(
            f'the mesh has no "{subject}"{suggestion(subject, subjects)}' if subject else "say what the files are of",
            hint="--of pool/NAME, --of storage/NAME or --of workload/NAME",
        )
    deployment = resolution_of(context, environment, online=False)
    kind, _, own_name = subject.partition("/")
    pool = own_name if kind == "pool" else mesh.workloads[own_name].pool if kind == "workload" else ""
    return deployment.pool(pool).machine if deployment is not None and pool else ""


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"{path} is larger than 64 MB", hint="give the program's summary, not its single requests")
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise FileError(f"{path} can't be read: {error.strerror}", hint="name another file") from error


def _show(context: Context, environment: str) -> None:
    """The environment's own results first, then for comparison those of the others."""
    from meshctl.advise import comparison
    from meshctl.bench import result_files
    from meshctl.resolve import checked_name

    mesh, declared = context.load()
    names = [checked_name(declared, environment)]
    names += [name for name in declared.environments if name not in names]
    results = {
        name: result_files.read_if_any(declared.state.backend, context.folder, mesh.name, name) for name in names
    }
    table = comparison.rows(results, _expectations(context, [name for name in names if results[name]]))
    if context.output == "json":
        context.print_json({"environment": names[0], "results": comparison.document(table)})
    else:
        context.print(comparison.text(table))


def _expectations(context: Context, environments: Sequence[str]) -> dict[str, Expectations]:
    """Of those that can be resolved without their cluster."""
    from meshctl.advise.comparison import Expectations
    from meshctl.catalog import load_catalog

    deployments = {name: resolution_of(context, name, online=False) for name in environments}
    return {
        name: Expectations(deployment=deployment, catalog=load_catalog())
        for name, deployment in deployments.items()
        if deployment is not None
    }


def _print(context: Context, environment: str, rows: Sequence[Result], path: str) -> None:
    from meshctl.advise import comparison

    table = comparison.rows({environment: rows}, _expectations(context, [environment]))
    if context.output == "json":
        context.print_json({"environment": environment, "file": path, "results": comparison.document(table)})
    else:
        context.print(comparison.text(table))
        context.say(f"kept in {path} beside the state; `meshctl bench {environment} --show` shows all")


def _now(form: str) -> str:
    return time.strftime(form, time.gmtime())
