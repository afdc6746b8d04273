"""What `meshctl bench --what` measures itself. No logic: see `meshctl.bench`. Called by `cli.bench`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from meshctl import __version__
from meshctl.cli import bench_results
from meshctl.cli.advise import lengths_of
from meshctl.cli.context import Context
from meshctl.errors import UsageError

if TYPE_CHECKING:
    from meshctl.bench.load import Plan, Server
    from meshctl.clients.cluster_access import ClusterAccess
    from meshctl.measure.results import Result
    from meshctl.model.deployment import Deployment

_MOST_REQUESTS = 10_000
_LONGEST_S = 600


def rag(context: Context, environment: str, workload: str, questions: Path | None) -> None:
    """Ask an API that answers from documents, through its endpoint."""
    from meshctl.bench import rag as asking
    from meshctl.bench import target
    from meshctl.cli.guards import refuse_if_moving
    from meshctl.cli.opened import opened
    from meshctl.cli.signals import at_once
    from meshctl.dns.lookup import address_of
    from meshctl.measure import rag as rag_results
    from meshctl.measure.results import Taken

    if questions is None:
        raise UsageError("--what rag needs questions", hint="--questions FILE, like examples/rag/questions.yaml")
    golden = rag_results.questions(bench_results.text_of(questions), questions.name)
    with opened(context, "bench") as project:
        name = project.checked_name(environment)
        outputs = project.session.outputs(name)
        deployment = _deployed(name, outputs.deployment)
        store, endpoint = bench_results.opened(context, project), target.documents_endpoint_of(deployment, workload)
        addresses = {key: address_of(value) for key, value in outputs.addresses.items() if key == endpoint.name}
        server = target.server(deployment, endpoint, addresses)
        refuse_if_moving(project, name)
        if context.must_confirm:
            context.confirm(f"ask {endpoint.host} in {name} {len(golden)} questions, one after the other?")
            refuse_if_moving(project, name)  # a migration may have begun while the question was open
        context.say(f"asking {server.host} {len(golden)} questions")
        served = deployment.workload(endpoint.workload)
        with at_once():  # nothing is in flight but a request: nothing is left behind
            replies = asking.run(server, golden, has_answers=target.has_answers(served))
        rows = rag_results.summarize(
            golden,
            replies,
            setting={"subject": f"workload/{served.name}", "passages": str(asking.PASSAGES)},
            versions={"meshctl": __version__, "image": served.image},
            taken=Taken(
                machine=deployment.pool(served.pool).machine,
                date=bench_results.now("%Y-%m-%dT%H:%M:%SZ"),
                source=f"meshctl bench through {server.host}: {questions.name}",
            ),
        )
        bench_results.show_new(context, name, rows, [bench_results.write(store, project, name, rows)])


def storage(context: Context, environment: str, subject: str, size: str, seconds: int) -> None:
    """Run fio on file systems, or on the disk of a pool's nodes."""
    from meshctl.bench import storage as of_storage

    _check_seconds(seconds)
    wanted = of_storage.checked_size(_gib(size), seconds)

    def planned(deployment: Deployment) -> _Measurements:
        runs = of_storage.runs(deployment, subject, wanted)
        subjects = ", ".join(run.subject for run in runs)
        return _Measurements(
            question=f"write {size} in a folder of its own on {subjects}, and read and write it for {seconds} s"
            f"{' each' * (len(runs) > 1)}",
            measure={run.subject: partial(of_storage.measure, deployment, run) for run in runs},
        )

    _by_jobs(context, environment, planned)


def fabric(context: Context, environment: str, subject: str) -> None:
    """Run nccl-tests on the nodes of pools."""
    from meshctl.bench import fabric as of_fabric

    def planned(deployment: Deployment) -> _Measurements:
        runs = of_fabric.runs(deployment, subject)
        return _Measurements(
            question=f"run nccl-tests on all accelerators of {', '.join(f'pool {run.pool}' for run in runs)}",
            measure={f"the fabric of pool {run.pool}": partial(of_fabric.measure, deployment, run) for run in runs},
        )

    _by_jobs(context, environment, planned)


def gpu(context: Context, environment: str, subject: str, level: int) -> None:
    """Multiply matrices on the accelerators of a node; with a `level`, have DCGM diagnose those of all nodes."""
    from meshctl.bench import accelerators

    def diagnosed(deployment: Deployment) -> _Measurements:
        runs = accelerators.diagnoses(deployment, subject, level)
        minutes = max(run.seconds for run in runs) // 60
        return _Measurements(
            question=f"have DCGM test all accelerators of {', '.join(f'pool {run.pool}' for run in runs)} at full load,"
            f" at most {minutes} min on a node,",
            measure={f"the health of pool {run.pool}": partial(accelerators.diagnose, deployment, run) for run in runs},
        )

    def planned(deployment: Deployment) -> _Measurements:
        runs = accelerators.runs(deployment, subject)
        return _Measurements(
            question=f"use all accelerators of one node of {', '.join(f'pool {run.pool}' for run in runs)}",
            measure={
                f"the accelerators of pool {run.pool}": partial(accelerators.measure, deployment, run) for run in runs
            },
        )

    _by_jobs(context, environment, diagnosed if level else planned)


@dataclass(frozen=True)
class _Measurements:
    """`measure`: by what is measured; given access to the cluster, the date, and where to say what it waits for."""

    question: str
    measure: Mapping[str, Callable[[ClusterAccess, str, Callable[[str], None]], tuple[Result, ...]]]


def _by_jobs(context: Context, environment: str, planned: Callable[[Deployment], _Measurements]) -> None:
    from meshctl.cli.guards import refuse_if_moving
    from meshctl.cli.opened import opened
    from meshctl.cli.signals import once
    from meshctl.clients import clusters

    with opened(context, "bench") as project:
        name = project.checked_name(environment)
        outputs = project.session.outputs(name)
        deployment = _deployed(name, outputs.deployment)
        store = bench_results.opened(context, project)
        measurements = planned(deployment)
        refuse_if_moving(project, name)
        if context.must_confirm:
            context.confirm(f"{measurements.question} in {name}, beside its workloads?")
            refuse_if_moving(project, name)  # a migration may have begun while the question was open
        access, date = clusters.access(deployment, outputs), bench_results.now("%Y-%m-%dT%H:%M:%SZ")
        rows: list[Result] = []
        paths: list[str] = []
        with once():  # the Job is deleted on the way out
            for subject, measure in measurements.measure.items():
                context.say(f"measuring {subject}")
                results = measure(access, date, context.say)
                paths.append(bench_results.write(store, project, name, results))
                rows.extend(results)
        bench_results.show_new(context, name, rows, paths)


def _deployed(environment: str, deployment: Deployment | None) -> Deployment:
    if deployment is None:
        raise UsageError(f"{environment}: nothing is up there", hint=f"`meshctl up {environment}` brings it up")
    return deployment


def _check_seconds(seconds: int) -> None:
    if not 0 < seconds <= _LONGEST_S:
        raise UsageError(f"{seconds} s is no length of a run", hint=f"at most {_LONGEST_S} s")


def _gib(size: str) -> float:
    from meshctl.model.files.units import gib

    try:
        return gib(size)
    except ValueError as error:
        raise UsageError(f"--size {size}: {error}", hint="write it as in --size 1GiB") from error


def plan_of(rate: float, seconds: int, tokens: str) -> Plan:
    """Of `serve`. Raises: UsageError for a run without bounds."""
    from meshctl.bench.load import Plan

    sizes = lengths_of(tokens)
    if not 0 < rate <= 1000 or not 0 < seconds <= _LONGEST_S or rate * seconds > _MOST_REQUESTS:
        problem = "is too large" if min(rate, seconds) > 0 else "is no load"
        raise UsageError(
            f"{rate:g} requests per second for {seconds} s {problem}",
            hint=f"at most {_LONGEST_S} s and {_MOST_REQUESTS} requests; --rate up to 1000",
        )
    return Plan(rate=rate, duration_s=seconds, input_tokens=sizes[0], output_tokens=sizes[1])


def serve(context: Context, environment: str, workload: str, plan: Plan) -> None:
    """Send load to a model server, through its endpoint."""
    from meshctl.bench import target
    from meshctl.cli.guards import refuse_if_moving
    from meshctl.cli.opened import opened
    from meshctl.dns.lookup import address_of

    with opened(context, "bench") as project:
        name = project.checked_name(environment)
        outputs = project.session.outputs(name)
        deployment = _deployed(name, outputs.deployment)
        store = bench_results.opened(context, project)
        endpoint = target.endpoint_of(deployment, workload)
        addresses = {key: address_of(value) for key, value in outputs.addresses.items() if key == endpoint.name}
        server = target.server(deployment, endpoint, addresses)
        refuse_if_moving(project, name)
        if context.must_confirm:
            context.confirm(
                f"send about {plan.rate * plan.duration_s:.0f} requests within {plan.duration_s:.0f} s to"
                f" {endpoint.host} in {name}, beside those of its users?"
            )
            refuse_if_moving(project, name)  # a migration may have begun while the question was open
        rows = _measured(context, deployment, endpoint.workload, server, plan)
        bench_results.show_new(context, name, rows, [bench_results.write(store, project, name, rows)])


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
            date=bench_results.now("%Y-%m-%dT%H:%M:%SZ"),
            source=f"meshctl bench through {server.host}, from the machine that ran it",
        ),
    )
