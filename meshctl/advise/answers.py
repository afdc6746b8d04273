"""What is known of an API that answers from documents: accuracy, latency and cost, all of them measured. PURE. Called
by `advice`."""

from __future__ import annotations

from typing import Final

from meshctl.advise import observed
from meshctl.advise.facts import ModelFacts
from meshctl.advise.figures import WorkloadAdvice
from meshctl.advise.situation import Situation
from meshctl.blueprints import rag
from meshctl.model.deployment import Deployment, Workload
from meshctl.words import pluralize

_NOT_PREDICTED: Final = "whether answers are right, and when they come, is measured and not predicted"


def is_api(deployment: Deployment, workload: Workload) -> bool:
    """Whether it is told of an index of documents, and is asked from outside."""
    return rag.STORE_VARIABLE in workload.env and any(each.workload == workload.name for each in deployment.endpoints)


def advice(situation: Situation, facts: ModelFacts | str) -> WorkloadAdvice:  # noqa: ARG001 (as of other workloads)
    workload, pool, environment = situation.workload, situation.pool, situation.deployment.environment
    accuracy, latencies = observed.accuracy(situation), observed.latencies(situation)
    model = workload.env.get(rag.MODEL_VARIABLE, "")
    answering = f", answers by {model}" if model else ", and no model that answers"
    command = f"`meshctl bench {environment} --what rag --questions FILE --workload {workload.name}`"
    return WorkloadAdvice(
        workload=workload.name,
        workload_kind=workload.kind,
        pool=pool.name,
        machine=pool.machine,
        setting=f"{pluralize(workload.at_least, 'replica')}, index at {workload.env[rag.STORE_VARIABLE]}{answering}",
        figures=(),
        bottleneck="",
        why=_NOT_PREDICTED if accuracy else f"{_NOT_PREDICTED}: {command} asks it",
        usd_per_hour=pool.price.usd_per_hour,
        accuracy=accuracy,
        latencies=latencies,
        notes=(
            f"its cost is that of pool {pool.name} with all of its workloads",
            *observed.other_images(situation),
            *(f"{warning} ({each.source})" for each in accuracy[:1] for warning in each.warnings),
        ),
    )
