"""Steps `before` a container: init containers with the workload's variables and mounts, in their order."""

from __future__ import annotations

from typing import Any

import pytest

from meshctl import render
from meshctl.model.deployment import Before, Deployment
from meshctl.render.controllers import work
from tests.unit.render.sample import sample

STEPS = (
    Before(image="acme/fetch:1", command=("fetch",), args=("--all",)),
    Before(image="acme/build:1", env={"LOG_LEVEL": "debug", "STEP": "build"}),
)


def with_steps(deployment: Deployment, name: str, *steps: Before) -> Deployment:
    workloads = tuple(
        each.model_copy(update={"before": steps}) if each.name == name else each for each in deployment.workloads
    )
    return deployment.model_copy(update={"workloads": workloads})


def pod_specs(deployment: Deployment) -> dict[str, dict[str, Any]]:
    return {
        item.name.split(":")[0].removeprefix("workload/"): item.manifest["spec"]["template"]["spec"]
        for item in render.platform_objects(deployment)
        if item.name.startswith("workload/") and item.kind in ("Deployment", "StatefulSet", "Job")
    }


@pytest.mark.parametrize("provider", ["aws", "coreweave", "onprem"])
def test_steps_come_after_staging_and_have_what_the_container_has(provider: Any) -> None:
    before = sample(provider)
    for workload in before.workloads:
        pods = pod_specs(with_steps(before, workload.name, *STEPS))
        inits = pods[workload.name]["initContainers"]
        assert [each["name"] for each in inits][-2:] == ["before-1", "before-2"]
        assert all(not each["name"].startswith("before-") for each in inits[:-2])
        (main,) = pods[workload.name]["containers"]
        fetch, build = inits[-2:]
        assert (fetch["image"], fetch["command"], fetch["args"]) == ("acme/fetch:1", ["fetch"], ["--all"])
        assert fetch["env"] == main["env"]
        assert {"command", "args", "resources", "readinessProbe"}.isdisjoint(build)
        assert [fetch.get("volumeMounts"), build.get("volumeMounts")] == [main.get("volumeMounts")] * 2
        assert fetch["securityContext"]["allowPrivilegeEscalation"] is False
        untouched = [each.name for each in before.workloads if each.name != workload.name]
        assert {name: pods[name] for name in untouched} == {name: pod_specs(before)[name] for name in untouched}


def test_variables_of_a_step_win_over_those_of_the_workload() -> None:
    before = sample("aws")
    name = before.workloads[0].name
    inits = pod_specs(with_steps(before, name, *STEPS))[name]["initContainers"]
    variables = [(entry["name"], entry.get("value")) for entry in inits[-1]["env"]]
    assert variables.count(("LOG_LEVEL", "debug")) == 1
    assert [key for key, _ in variables].count("LOG_LEVEL") == 1
    assert ("STEP", "build") in variables


def test_a_finished_job_whose_steps_change_does_other_work() -> None:
    before = sample("aws")
    job = next(each.name for each in before.workloads if each.is_job)
    assert work.same_in_both(before, with_steps(before, job), job)
    assert not work.same_in_both(before, with_steps(before, job, STEPS[0]), job)
