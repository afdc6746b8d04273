"""Advice on each workload of an environment that has accelerators. PURE. Called by `cli.advise`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from meshctl.advise import facts, inference, training
from meshctl.advise.edits import Declared
from meshctl.advise.facts import Given
from meshctl.advise.figures import Advice, WorkloadAdvice
from meshctl.advise.situation import Situation
from meshctl.catalog import Catalog
from meshctl.errors import UsageError
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.files.file_problems import suggestion

_KINDS = {"inference": inference.advice, "training": training.advice}


def of_environment(
    deployment: Deployment,
    catalog: Catalog,
    results: Iterable[Result],
    given: Mapping[str, Given],
    tokens: tuple[int, int],
    declared: Declared,
) -> Advice:
    """`given`: by workload. `tokens`: input and output of a request. `declared`: into which changes are to be written.
    Raises: UsageError for an unknown workload."""
    advised = [workload for workload in deployment.workloads if _is_advised(workload)]
    _check_names(given, [workload.name for workload in advised])
    rows = tuple(results)
    workloads = tuple(
        _of_workload(
            Situation(
                deployment=deployment,
                workload=workload,
                catalog=catalog,
                results=rows,
                input_tokens=tokens[0],
                output_tokens=tokens[1],
                declared=declared,
            ),
            given.get(workload.name),
        )
        for workload in advised
    )
    return Advice(
        mesh=deployment.mesh,
        environment=deployment.environment,
        workloads=workloads,
        left_out=tuple(workload.name for workload in deployment.workloads if workload not in advised),
        sources=tuple(sorted({pool.price.source for pool in deployment.pools if pool.price.usd_per_hour is not None})),
    )


def _is_advised(workload: Workload) -> bool:
    return workload.kind in _KINDS and workload.accelerators > 0


def _check_names(given: Mapping[str, Given], names: list[str]) -> None:
    for name in given:
        if name not in names:
            raise UsageError(
                f'no workload "{name}" with accelerators{suggestion(name, names)}',
                hint=f"there {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none'}",
            )


def _of_workload(situation: Situation, given: Given | None) -> WorkloadAdvice:
    return _KINDS[situation.workload.kind](situation, facts.of_workload(situation.workload, given))
