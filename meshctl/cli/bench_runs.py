"""What `meshctl bench --what` measures itself. No logic: see `meshctl.bench`. Called by `cli.bench`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Final, TypeVar

from meshctl import __version__
from meshctl.cli import bench_results, signals
from meshctl.cli.bench_wishes import Wishes
from meshctl.cli.context import Context
from meshctl.errors import CredentialsError, MeshError, UnreachableError, UsageError

if TYPE_CHECKING:
    from meshctl.clients.kubernetes.cluster_access import ClusterAccess
    from meshctl.measure.results import Result, Taken
    from meshctl.model.deployment import Deployment, Endpoint
    from meshctl.model.observed import PodState
    from meshctl.model.stack_state import StackOutputs
    from meshctl.project import Project
    from meshctl.render.benchmarks import DiagnosisRun, FabricRun, GpuRun

_Run = Callable[[], "tuple[Result, ...]"]
_OnPool = TypeVar("_OnPool", "FabricRun", "GpuRun", "DiagnosisRun")


@dataclass(frozen=True)
class _Measurement:
    """`question`: what it does, for whoever confirms it; `runs`: by what is measured; `stops`: how a signal ends it."""

    question: str
    runs: Mapping[str, _Run]
    stops: Callable[[], AbstractContextManager[None]]


@dataclass
class _Environment:
    """What is up, and how it is reached. `say`: where to write what is waited for. `has_several`: whether more than one
    kind is measured."""

    name: str
    outputs: StackOutputs
    deployment: Deployment
    say: Callable[[str], None]
    has_several: bool

    @cached_property
    def pods_and_nodes(self) -> tuple[Sequence[PodState], Mapping[str, int]]:
        """The mesh's pods, and how many nodes of each pool are ready; none where they can't be seen."""
        from meshctl.clients.kubernetes import clusters

        try:
            pods = clusters.pods(self.access, self.deployment.namespace)
            return pods, clusters.ready_nodes(self.access, self.deployment.mesh)
        except (CredentialsError, UnreachableError):
            return (), {}

    @cached_property
    def access(self) -> ClusterAccess:
        """Raises: CredentialsError."""
        from meshctl.clients.kubernetes import clusters

        return clusters.access(self.deployment, self.outputs)


def measure(context: Context, environment: str, kinds: Sequence[str], wishes: Wishes) -> None:
    """Each of the kinds after the other. One of several that has nothing to measure, or that fails, does not end the
    others. Raises: UsageError where nothing can be measured, and what the first one that failed has raised."""
    from meshctl.cli.guards import refuse_if_moving
    from meshctl.cli.opened import opened

    if list(kinds) == ["rag"] and wishes.questions is None:
        raise _without_questions()
    with opened(context, "bench") as project:
        up = _up(context, project, environment, has_several=len(kinds) > 1)
        store = bench_results.opened(context, project)
        measurements = _measurements(up, kinds, wishes)
        refuse_if_moving(project, up.name)
        if context.must_confirm:
            questions = "; ".join(each.question for each in measurements.values())
            context.confirm(f"{questions} in {up.name}, beside its workloads?")
        rows: list[Result] = []
        paths: list[str] = []
        failures: list[MeshError] = []

        def keep(results: tuple[Result, ...]) -> None:
            paths.append(bench_results.write(store, project, up.name, results))
            rows.extend(results)

        for kind, measurement in measurements.items():
            try:
                _measure(measurement, keep, context.say, partial(refuse_if_moving, project, up.name))
            except MeshError as failure:
                failures.append(failure)
                if len(measurements) > 1:
                    context.say(f"not measured: {kind}: {failure.what}{f': {failure.why}' if failure.why else ''}")
        if rows:
            bench_results.show_new(context, up.name, rows, paths)
        if failures:
            raise failures[0]


def _measure(
    measurement: _Measurement,
    keep: Callable[[tuple[Result, ...]], None],
    say: Callable[[str], None],
    refuse: Callable[[], None],
) -> None:
    """What was measured is kept although the next one fails. `refuse`: raises where a migration has begun, which may be
    while the question was open or another one was measured: it takes a Job that it finds for its own."""
    for subject, run in measurement.runs.items():
        refuse()
        say(f"measuring {subject}")
        with measurement.stops():
            results = run()
        keep(results)


def _up(context: Context, project: Project, environment: str, *, has_several: bool) -> _Environment:
    name = project.checked_name(environment)
    outputs = project.session.outputs(name)
    if outputs.deployment is None:
        raise UsageError(f"{name}: nothing is up there", hint=f"`meshctl up {name}` brings it up")
    return _Environment(name, outputs, outputs.deployment, context.say, has_several)


def _measurements(up: _Environment, kinds: Sequence[str], wishes: Wishes) -> dict[str, _Measurement]:
    """By kind: those of them that have something to measure here. Raises: UsageError where that is none."""
    measurements: dict[str, _Measurement] = {}
    refusals: dict[str, UsageError] = {}
    for kind in kinds:
        try:
            measurements[kind] = _PLANNED[kind](up, wishes)
        except UsageError as error:
            refusals[kind] = error
    if refusals and len(kinds) == 1:
        raise refusals[kinds[0]]
    if not measurements:
        raise UsageError(
            f"none of {', '.join(kinds)} can be measured in {up.name}",
            why="; ".join(f"{kind}: {refusal.what}" for kind, refusal in refusals.items()),
            hint=f"run it for one kind, such as --what {kinds[0]}: its error then says what to do",
        )
    for kind, refusal in refusals.items():
        up.say(f"not measured: {kind}: {refusal.what}{f' ({refusal.hint})' if refusal.hint else ''}")
    return measurements


def _storage(up: _Environment, wishes: Wishes) -> _Measurement:
    """fio on file systems, or on the disk of a pool's nodes."""
    from meshctl.bench import storage

    size = wishes.size
    runs = storage.runs(up.deployment, wishes.subject, size)
    subjects = ", ".join(run.subject for run in runs)
    written = f"{size.size_mib / 1024:g} GiB" if size.size_mib >= 1024 else f"{size.size_mib} MiB"
    return _Measurement(
        question=f"write {written} in a folder of its own on {subjects}, and read and write it for {size.seconds} s"
        f"{' each' * (len(runs) > 1)}",
        runs={run.subject: _by_job(up, partial(storage.measure, up.deployment, run)) for run in runs},
        stops=signals.once,
    )


def _fabric(up: _Environment, wishes: Wishes) -> _Measurement:
    """nccl-tests on the nodes of pools."""
    from meshctl.bench import fabric

    runs = _with_free_nodes(up, "fabric", fabric.runs(up.deployment, wishes.subject, wishes.nodes))
    return _Measurement(
        question=f"run nccl-tests on all accelerators of {f'{wishes.nodes} nodes of ' if wishes.nodes else ''}"
        f"{', '.join(f'pool {run.pool}' for run in runs)}",
        runs={
            f"the fabric of pool {run.pool}": _by_job(up, partial(fabric.measure, up.deployment, run)) for run in runs
        },
        stops=signals.once,
    )


def _gpu(up: _Environment, wishes: Wishes) -> _Measurement:
    """Products of matrices on the accelerators of a node; with a level, DCGM's diagnosis of those of all nodes."""
    from meshctl.bench import accelerators

    if wishes.diagnose:
        diagnoses = accelerators.diagnoses(up.deployment, wishes.subject, wishes.diagnose)
        diagnoses = _with_free_nodes(up, "gpu", diagnoses)
        minutes = max(run.seconds for run in diagnoses) // 60
        pools = [up.deployment.pool(run.pool) for run in diagnoses]
        growing = [pool.name for pool in pools if pool.nodes_min < pool.nodes_max]
        more = f" (an autoscaler may add nodes to {', '.join(growing)} where some are busy)" if growing else ""
        return _Measurement(
            question=f"have DCGM test all accelerators of {', '.join(f'pool {run.pool}' for run in diagnoses)} at full"
            f" load, at most {minutes} min on a node{more},",
            runs={
                f"the health of pool {run.pool}": _by_job(up, partial(accelerators.diagnose, up.deployment, run))
                for run in diagnoses
            },
            stops=signals.once,
        )
    runs = _with_free_nodes(up, "gpu", accelerators.runs(up.deployment, wishes.subject))
    return _Measurement(
        question=f"use all accelerators of one node of {', '.join(f'pool {run.pool}' for run in runs)}",
        runs={
            f"the accelerators of pool {run.pool}": _by_job(up, partial(accelerators.measure, up.deployment, run))
            for run in runs
        },
        stops=signals.once,
    )


def _with_free_nodes(up: _Environment, kind: str, runs: tuple[_OnPool, ...]) -> tuple[_OnPool, ...]:
    """Of several kinds none waits for accelerators that the mesh's own workloads hold. Raises: UsageError where they
    hold those of all runs."""
    from meshctl.bench import in_use

    if not up.has_several:
        return runs
    refusals = {}
    for run in runs:
        needed = run.needed(up.deployment.pool(run.pool))
        if holders := in_use.held_by(up.deployment, *up.pods_and_nodes, run.pool, needed):
            refusals[run.pool] = f"the accelerators of pool {run.pool} are in use by {', '.join(holders)}"
    if len(refusals) == len(runs):
        raise UsageError("; ".join(refusals.values()), hint=f"--what {kind} alone waits for them")
    for refusal in refusals.values():
        up.say(f"not measured: {kind}: {refusal}")
    return tuple(run for run in runs if run.pool not in refusals)


def _by_job(
    up: _Environment, measure_job: Callable[[ClusterAccess, str, Callable[[str], None]], tuple[Result, ...]]
) -> _Run:
    """The cluster is reached once the Job is to run."""
    return lambda: measure_job(up.access, _date(), up.say)


def _rag(up: _Environment, wishes: Wishes) -> _Measurement:
    """Questions for an API that answers from documents, through its endpoint."""
    from meshctl.bench import target
    from meshctl.measure import rag as rag_results

    if wishes.questions is None:
        raise _without_questions()
    name, questions = wishes.questions.name, wishes.questions.entries
    endpoint = target.documents_endpoint_of(up.deployment, wishes.workload)
    host = target.server(up.deployment, endpoint, up.outputs.addresses).host

    def run() -> tuple[Result, ...]:
        from meshctl.bench import rag

        server = target.server(up.deployment, endpoint, _addresses(up, endpoint))

        served = up.deployment.workload(endpoint.workload)
        replies = rag.run(server, questions, has_answers=target.has_answers(served))
        return rag_results.summarize(
            questions,
            replies,
            setting={
                "subject": f"workload/{served.name}",
                "passages": str(rag.PASSAGES),
                **target.documents_setting(served),
            },
            versions={"meshctl": __version__, "image": served.image},
            taken=_taken(up, endpoint, f"meshctl bench through {host}: {name}"),
        )

    return _Measurement(
        question=f"ask {endpoint.host} {len(questions)} questions, one after the other",
        runs={f"answers of {host} to {len(questions)} questions": run},
        stops=signals.at_once,  # nothing is in flight but a request: nothing is left behind
    )


def _without_questions() -> UsageError:
    return UsageError("--what rag needs questions", hint="--questions FILE, like examples/rag/questions.yaml")


def _serve(up: _Environment, wishes: Wishes) -> _Measurement:
    """Load for a model server, through its endpoint."""
    from meshctl.bench import target

    plan = wishes.plan
    endpoint = target.endpoint_of(up.deployment, wishes.workload)
    host = target.server(up.deployment, endpoint, up.outputs.addresses).host

    def run() -> tuple[Result, ...]:
        from meshctl.advise.runs import count_text
        from meshctl.bench import load
        from meshctl.measure import load as load_results

        server = target.server(up.deployment, endpoint, _addresses(up, endpoint))

        model, served = load.model_of(server), up.deployment.workload(endpoint.workload)
        answers, duration_s = load.run(server, model, plan)
        return load_results.summarize(
            answers,
            duration_s=duration_s,
            due_s=plan.duration_s,
            setting={
                "subject": f"workload/{served.name}",
                "model": model,
                "rate": f"{plan.rate:g}",
                "seconds": f"{plan.duration_s:g}",
                "tokens": f"{plan.input_tokens}/{plan.output_tokens}",
                "replicas": count_text(served.at_least, served.at_most),
            },
            versions={"meshctl": __version__, "image": served.image},
            taken=_taken(up, endpoint, f"meshctl bench through {host}, from the machine that ran it"),
        )

    return _Measurement(
        question=f"send about {plan.rate * plan.duration_s:.0f} requests within {plan.duration_s:.0f} s to"
        f" {endpoint.host}, beside those of its users",
        runs={f"{host} by {plan.rate:g} requests per second for {plan.duration_s:.0f} s": run},
        stops=signals.at_once,
    )


_PLANNED: Final = {"serve": _serve, "rag": _rag, "storage": _storage, "fabric": _fabric, "gpu": _gpu}
KINDS: Final = tuple(_PLANNED)
"""What can be measured, in order: what disturbs least comes first."""


def _addresses(up: _Environment, endpoint: Endpoint) -> dict[str, str]:
    """Raises: UnreachableError, which ends the measurement through this endpoint and no other one."""
    from meshctl.dns.lookup import address_of

    return {name: address_of(value) for name, value in up.outputs.addresses.items() if name == endpoint.name}


def _taken(up: _Environment, endpoint: Endpoint, source: str) -> Taken:
    from meshctl.measure.results import Taken

    machine = up.deployment.pool(up.deployment.workload(endpoint.workload).pool).machine
    return Taken(machine=machine, date=_date(), source=source)


def _date() -> str:
    return bench_results.now("%Y-%m-%dT%H:%M:%SZ")
