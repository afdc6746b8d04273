"""Advice on each workload of an environment that has accelerators. PURE. Called by `cli.advise`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from meshctl.advise import answers, facts, inference, observed, training
from meshctl.advise.edits import Declared
from meshctl.advise.facts import Given, ModelFacts
from meshctl.advise.figures import Advice, WorkloadAdvice
from meshctl.advise.situation import Situation
from meshctl.catalog import Catalog
from meshctl.errors import UsageError
from meshctl.measure.results import Result
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.files.file_problems import suggestion

_Adviser = Callable[[Situation, ModelFacts | str], WorkloadAdvice]

_KINDS: Final[Mapping[str, _Adviser]] = {"inference": inference.advice, "training": training.advice}


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
    _check_names(given, [workload.name for workload in deployment.workloads if _has_formulas(workload)])
    advised = [workload for workload in deployment.workloads if _adviser(deployment, workload) is not None]
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


def _has_formulas(workload: Workload) -> bool:
    return workload.kind in _KINDS and workload.accelerators > 0


def _adviser(deployment: Deployment, workload: Workload) -> _Adviser | None:
    if _has_formulas(workload):
        return _KINDS[workload.kind]
    return answers.advice if answers.is_api(deployment, workload) else None


def _check_names(given: Mapping[str, Given], names: list[str]) -> None:
    for name in given:
        if name not in names:
            raise UsageError(
                f'no workload "{name}" with accelerators{suggestion(name, names)}',
                hint=f"there {'is' if len(names) == 1 else 'are'} {', '.join(names) or 'none'}",
            )


def _of_workload(situation: Situation, given: Given | None) -> WorkloadAdvice:
    advise = _adviser(situation.deployment, situation.workload) or answers.advice
    advice = advise(situation, facts.of_workload(situation.workload, given))
    return replace(advice, notes=(*advice.notes, *observed.recordings(situation)))
