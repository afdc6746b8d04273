"""Deployments of the example, resolved offline, and results for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from meshctl.advise import advice, facts
from meshctl.advise.edits import Declared
from meshctl.advise.figures import Advice, WorkloadAdvice
from meshctl.catalog import Catalog, load_catalog
from meshctl.load import load
from meshctl.measure import outputs
from meshctl.measure.results import Origin, Result, Taken
from meshctl.model.deployment import Deployment
from meshctl.resolve import resolve

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "llm-prod"
RECORDED = ROOT / "tests" / "unit" / "measure" / "recorded"
MODELS = ("chat=llama-3.3-70b,bytes=1,kvBytes=1", "pretrain=llama-3.3-70b,tokensPerStep=4e6")


@dataclass(frozen=True)
class Case:
    """An environment as it is written, and as it was resolved."""

    declared: Declared
    deployment: Deployment


def case(environment: str = "aws-east", mesh: str = "", *, folder: Path = EXAMPLE) -> Case:
    """`mesh`: a text in the place of the example's."""
    path = folder / "mesh.yaml"
    if mesh:
        path = folder / "changed.yaml"
        path.write_text(mesh, encoding="utf-8")
    environments_yaml = folder / "environments.yaml"
    declared = Declared(*load(path, environments_yaml if environments_yaml.exists() else EXAMPLE / "environments.yaml"))
    resolved = resolve(declared.mesh, declared.environments, environment, load_catalog())
    assert resolved.deployment is not None, resolved.gaps
    return Case(declared, resolved.deployment)


def deployment(environment: str = "aws-east", mesh: str = "", *, folder: Path = EXAMPLE) -> Deployment:
    return case(environment, mesh, folder=folder).deployment


def advised(
    of_case: Case,
    *given: str,
    results: tuple[Result, ...] = (),
    tokens: tuple[int, int] = (1000, 1000),
    catalog: Catalog | None = None,
) -> Advice:
    models = dict(map(facts.parse, given))
    return advice.of_environment(
        of_case.deployment, catalog or load_catalog(), results, models, tokens, of_case.declared
    )


def of(made: Advice, workload: str) -> WorkloadAdvice:
    return next(each for each in made.workloads if each.workload == workload)


def recorded(
    name: str, setting: Mapping[str, str] = MappingProxyType({}), *, origin: Origin = "replayed", **more: str
) -> tuple[Result, ...]:
    """What a recorded output says, with more of its setting."""
    taken = Taken(machine="p5.48xlarge", date="2026-11-29", source=name, origin=origin)
    read = outputs.read((RECORDED / name).read_text(encoding="utf-8"), taken)
    return tuple(dataclasses.replace(each, setting={**each.setting, **setting, **more}) for each in read)


def measured(
    name: str, setting: Mapping[str, str] = MappingProxyType({}), *, value: float | None = None, **more: str
) -> tuple[Result, ...]:
    """The same as if it had been measured on the example's machines. `value`: of all of them, instead of their own."""
    results = recorded(name, setting, origin="measured", **more)
    return tuple(each if value is None else dataclasses.replace(each, value=value) for each in results)
