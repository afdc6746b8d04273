"""`meshctl restart`: has a workload of an environment begin anew. EDGE.

Called by `cli.restart`: `chosen` says where, `not_applied` and `running_work` what a person is to know and to agree to,
`restart` does it. It runs what the last `up` declared, whatever mesh.yaml says by now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from meshctl import render
from meshctl.clients import clusters
from meshctl.deploy.jobs import job_states
from meshctl.deploy.session import Session
from meshctl.engine.events import Progress
from meshctl.errors import MeshError, UsageError
from meshctl.model.deployment import Deployment, Workload
from meshctl.operate import rollouts
from meshctl.render import probes


def chosen(session: Session, environments: Iterable[str], name: str) -> Deployment:
    """What is deployed in the one environment, of those given, that is up and has the workload.

    Raises: UsageError where there is none, or more than one.
    """
    names = list(environments)
    deployed = [found for found in map(session.deployed, names) if found is not None]
    if not deployed:
        up = f"`meshctl up {names[0]}`" if len(names) == 1 else "`meshctl up ENV`"
        raise UsageError(f"{' and '.join(names)}: nothing is up there", hint=f"{up} brings it up")
    having = [found for found in deployed if any(workload.name == name for workload in found.workloads)]
    if not having:
        there = ", ".join(sorted({workload.name for found in deployed for workload in found.workloads}))
        raise UsageError(f"no workload {name} is up", why=f"there is {there}", hint="`meshctl up` first, if it is new")
    if len(having) > 1:
        raise UsageError(
            f"{name} is up in {' and '.join(found.environment for found in having)}",
            hint=f"say which: `meshctl restart {name} --env {having[0].environment}`",
        )
    return having[0]


def running_work(session: Session, deployment: Deployment, name: str) -> bool:
    """Whether it is a job that still runs, or may: its work would be ended. Raises: as `clusters` does, where the
    cluster can't be asked."""
    workload = _workload(deployment, name)
    if not workload.is_job or not workload.runs:
        return False
    found = job_states.of(deployment, session.outputs(deployment.environment)).get(name)
    return found is not None and not found.ended


def not_applied(deployed: Deployment, wanted: Callable[[], Deployment], name: str) -> str:
    """What a person is to know of a workload that mesh.yaml says otherwise than the last `up` did; "" where it says the
    same. `wanted` resolves mesh.yaml; where it can't be resolved, `up` and `check` say why, and nothing is said here.
    """
    environment = deployed.environment
    try:
        now = wanted()
        if all(workload.name != name for workload in now.workloads):
            return f"mesh.yaml has {name} no more: `meshctl up {environment}` removes it"
        before, after = _objects(deployed, name), _objects(now, name)
    except MeshError:
        return ""
    if before == after:
        return ""
    job = f"workload/{name}:job"
    runs_again = job in before and job in after and before[job]["spec"] != after[job]["spec"]
    again = " (and runs it again)" if runs_again else ""
    return f"mesh.yaml has changes for {name}: `meshctl up {environment}` applies them{again}"


def _objects(deployment: Deployment, name: str) -> dict[str, dict[str, Any]]:
    """The manifests of a workload's objects, whatever of it runs at the moment."""
    objects = render.platform_objects(deployment.bare)
    return {item.name: item.manifest for item in objects if item.subject == f"workload/{name}"}


def restart(session: Session, deployment: Deployment, name: str, *, timeout_s: int) -> str:
    """Begin anew; returns what was done, for a person. Raises: UsageError, NotReadyError, ResourcesFailedError."""
    workload = _workload(deployment, name)
    environment = deployment.environment
    if workload.is_job:
        session.remake_job(deployment.finished({k: v for k, v in deployment.marks.items() if k != name}), name)
        return f"{name} runs again in {environment}"
    access = clusters.access(deployment, session.outputs(environment))

    def say(text: str) -> None:
        if session.on_progress is not None:
            session.on_progress(Progress(f"workload/{name}", f"workload/{name}", "message", text))

    rollouts.roll(access, deployment.namespace, name)
    limit_s = timeout_s or probes.rollout_s(workload)
    rollouts.wait(access, deployment.namespace, name, timeout_s=limit_s, say=say)
    return f"{name} is rolled in {environment}"


def _workload(deployment: Deployment, name: str) -> Workload:
    """Raises: UsageError for one that a migration has paused."""
    workload = deployment.workload(name)
    if workload.paused:
        raise UsageError(
            f"{name} is paused in {deployment.environment}",
            why="a migration has stopped it there",
            hint="`meshctl status` shows where it runs; `meshctl up` starts it, where no migration is open",
        )
    return workload
