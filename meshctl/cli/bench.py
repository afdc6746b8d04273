"""`meshctl bench`: measure, read what other programs have measured, and show it beside what is expected. No logic: see
`meshctl.bench`, `meshctl.measure` and `advise.comparison`. What it measures itself is in `bench_runs`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshctl.cli import bench_results, bench_runs, bench_wishes
from meshctl.cli.advise import resolution_of
from meshctl.cli.context import Context
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from meshctl.measure.results import Taken


def bench(
    ctx: typer.Context,
    environment: Annotated[str, typer.Argument(help="The environment that is measured.", metavar="ENV")],
    what: Annotated[
        str | None,
        typer.Option("--what", help="serve, rag, storage, fabric or gpu; or several, with commas. By default all."),
    ] = None,
    workload: Annotated[str, typer.Option("--workload", help="The model server or API, if there are several.")] = "",
    rate: Annotated[float, typer.Option("--rate", help="Requests per second.")] = 2.0,
    seconds: Annotated[int, typer.Option("--seconds", help="How many seconds to measure.")] = 30,
    tokens: Annotated[str, typer.Option("--tokens", help="Tokens of a request: INPUT/OUTPUT.")] = "128/128",
    size: Annotated[str, typer.Option("--size", help="With --what storage: how much is written.")] = "1GiB",
    diagnose: Annotated[
        int,
        typer.Option("--diagnose", help="With --what gpu: DCGM's diagnosis of this level, 2 or 3.", metavar="LEVEL"),
    ] = 0,
    nodes: Annotated[int, typer.Option("--nodes", help="With --what fabric: how many nodes take part; 0 = all.")] = 0,
    questions: Annotated[
        Path | None, typer.Option("--questions", help="With --what rag: questions and their documents.", metavar="FILE")
    ] = None,
    files: Annotated[
        list[Path] | None, typer.Option("--from", help="Read the output of a benchmark program.", metavar="FILE")
    ] = None,
    subject: Annotated[
        str,
        typer.Option(
            "--of",
            help="What to measure, or what the files of --from measured: pool/NAME, storage/NAME or workload/NAME.",
        ),
    ] = "",
    machine: Annotated[str, typer.Option("--machine", help="With --from: the machine type that was measured.")] = "",
    date: Annotated[str, typer.Option("--date", help="With --from: when it was measured; by default today.")] = "",
    replayed: Annotated[
        bool, typer.Option("--replayed", help="With --from: the files were recorded elsewhere, not here.")
    ] = False,
    show: Annotated[bool, typer.Option("--show", help="Show results beside what is expected.")] = False,
) -> None:
    """Measure a server, answers from documents, storage, fabrics or GPUs, or read and show results."""
    context: Context = ctx.obj
    if sum((what is not None, bool(files), show)) > 1:
        raise UsageError(
            "--what, --from and --show can't be combined",
            hint="give one: --what KIND measures, --from FILE reads a program's output, --show shows results",
        )
    if (machine or date or replayed) and not files:
        raise UsageError(
            "--machine, --date and --replayed can only be used with --from", hint="add --from FILE, or leave them out"
        )
    if show:
        _show(context, environment)
    elif files:
        _read(context, environment, files, subject, _About(machine, date, replayed))
    else:
        kinds = _kinds(what)
        if diagnose and "gpu" not in kinds:
            raise UsageError(
                "--diagnose can only be used with --what gpu", hint=f"write --what gpu --diagnose {diagnose}"
            )
        if nodes and "fabric" not in kinds:
            raise UsageError("--nodes can only be used with --what fabric", hint=f"write --what fabric --nodes {nodes}")
        wishes = bench_wishes.wishes(
            subject=subject,
            workload=workload,
            size=size,
            rate=rate,
            seconds=seconds,
            tokens=tokens,
            questions=questions,
            diagnose=diagnose,
            nodes=nodes,
        )
        bench_runs.measure(context, environment, kinds, wishes)


def _kinds(what: str | None) -> list[str]:
    """In the order of `KINDS`; None is all of them, and "" a variable without a value. Raises: UsageError."""
    wanted = [each.strip() for each in what.split(",")] if what is not None else list(bench_runs.KINDS)
    for each in wanted:
        if each not in bench_runs.KINDS:
            hint = f"--what {', '.join(bench_runs.KINDS)} or several of them with commas between, or --from FILE"
            raise UsageError(f'nothing named "{each}" can be measured', hint=hint)
    return [each for each in bench_runs.KINDS if each in wanted]


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
            date=self.date or bench_results.now("%Y-%m-%d"),
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
        for row in outputs.read(bench_results.text_of(path), about.taken(path, machine))
    ]
    store = result_files.opened(declared.state.backend, context.folder)
    written = result_files.write(store, mesh.name, name, rows, bench_results.now("%Y%m%dT%H%M%SZ"))
    bench_results.show_new(context, name, rows, [written])


def _machine(context: Context, environment: str, subject: str) -> str:
    """Of the pool that the subject is, or runs in; "" where that isn't known. Raises: UsageError for an unknown
    subject."""
    from meshctl.model.files.file_problems import suggestion

    mesh, _ = context.load()
    kinds: dict[str, Mapping[str, object]] = {"pool": mesh.pools, "storage": mesh.storage, "workload": mesh.workloads}
    subjects = [f"{kind}/{each}" for kind, section in kinds.items() for each in section]
    if subject not in subjects:
        raise UsageError(
            f'the mesh has no "{subject}"{suggestion(subject, subjects)}'
            if subject
            else "--from needs --of: what was measured",
            hint="--of pool/NAME, --of storage/NAME or --of workload/NAME",
        )
    deployment = resolution_of(context, environment, online=False)
    kind, _, own_name = subject.partition("/")
    pool = own_name if kind == "pool" else mesh.workloads[own_name].pool if kind == "workload" else ""
    return deployment.pool(pool).machine if deployment is not None and pool else ""


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
    table = comparison.rows(results, bench_results.expectations(context, [name for name in names if results[name]]))
    if context.output == "json":
        context.print_json({"environment": names[0], "results": comparison.document(table)})
    else:
        context.print(comparison.text(table))
