"""Deployments of the example, resolved offline, and results for them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from meshctl.advise import advice, facts
from meshctl.advise.figures import Advice, WorkloadAdvice
from meshctl.catalog import load_catalog
from meshctl.load import load
from meshctl.measure import outputs
from meshctl.measure.results import Origin, Result, Taken
from meshctl.model.deployment import Deployment
from meshctl.resolve import resolve

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "llm-prod"
RECORDED = ROOT / "tests" / "unit" / "measure" / "recorded"
MODELS = ("chat=llama-3.3-70b,bytes=1,kvBytes=1", "pretrain=llama-3.3-70b,tokensPerStep=4e6")


def deployment(environment: str = "aws-east", mesh: str = "", *, folder: Path = EXAMPLE) -> Deployment:
    """`mesh`: a text in the place of the example's."""
    path = folder / "mesh.yaml"
    if mesh:
        path = folder / "changed.yaml"
        path.write_text(mesh, encoding="utf-8")
    loaded, environments = load(path, EXAMPLE / "environments.yaml")
    resolved = resolve(loaded, environments, environment, load_catalog()).deployment
    assert resolved is not None
    return resolved


def advised(
    deployed: Deployment,
    *given: str,
    results: tuple[Result, ...] = (),
    tokens: tuple[int, int] = (1000, 1000),
) -> Advice:
    return advice.of_environment(deployed, load_catalog(), results, dict(map(facts.parse, given)), tokens)


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
