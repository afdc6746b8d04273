"""`meshctl restart`: runs a job again, or rolls out the pods of another workload. EDGE.

Called by `cli.restart`: `environment_of_workload` finds the environment, `unapplied_changes` and `has_running_work` say
what the user should know and agree to, and `restart` does it. It runs what the last `up` declared, even if mesh.yaml
has changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from meshctl import render
from meshctl.clients.kubernetes import clusters
from meshctl.deploy.jobs import job_states
from meshctl.deploy.session import Session
from meshctl.engine.events import Progress
from meshctl.errors import MeshError, UsageError
from meshctl.model.deployment import Deployment, Workload
from meshctl.model.keys import evictions, kai, lending, roll_outs
from meshctl.model.pods import object_names
from meshctl.operate import group_restarts, rollouts
from meshctl.render.pod import probes


def environment_of_workload(session: Session, environments: Iterable[str], name: str) -> Deployment:
    """The deployment of the one environment, of those given, that is up and has the workload.

    Raises: UsageError when there is none, or more than one.
    """
    names = list(environments)
    deployed = [each for each in map(session.deployed, names) if each is not None]
    if not deployed:
        up = f"`meshctl up {names[0]}`" if len(names) == 1 else "`meshctl up ENV`"
        raise UsageError(f"{' and '.join(names)}: nothing is up there", hint=f"{up} brings it up")
    matching = [each for each in deployed if any(workload.name == name for workload in each.workloads)]
    if not matching:
        up_workloads = ", ".join(sorted({workload.name for each in deployed for workload in each.workloads}))
        raise UsageError(
            f"no workload {name} is up", why=f"these are up: {up_workloads}", hint="run `meshctl up` first if it is new"
        )
    if len(matching) > 1:
        raise UsageError(
            f"{name} is up in {' and '.join(each.environment for each in matching)}",
            hint=f"name the environment: `meshctl restart {name} --env {matching[0].environment}`",
        )
    return matching[0]


def has_running_work(session: Session, deployment: Deployment, name: str) -> bool:
    """Whether the workload is a job that still runs, so that a restart would end its work.

    Raises: as `clusters` does when the cluster can't be asked.
    """
    workload = _workload(deployment, name)
    if not workload.is_job or not workload.runs:
        return False
    job = job_states.jobs_of_deployment(deployment, session.outputs(deployment.environment)).get(name)
    return job is not None and not job.ended and not job.suspended


def unapplied_changes(deployed: Deployment, wanted: Callable[[], Deployment], name: str) -> str:
    """A note for the user when the files declare the workload differently from the last `up`; "" when it does not.

    `wanted` resolves mesh.yaml. If that fails, the note is "": `up` and `check` report the error.
    """
    environment = deployed.environment
    try:
        resolved = wanted()
        if all(workload.name != name for workload in resolved.workloads):
            return f"mesh.yaml no longer has {name}: `meshctl up {environment}` removes it"
        before, after = _objects(deployed, name), _objects(_as_it_is_up(resolved, deployed.workload(name)), name)
    except MeshError:
        return ""
    if before == after:
        return ""
    job = f"workload/{name}:job"
    runs_again = job in before and job in after and before[job]["spec"] != after[job]["spec"]
    again = " (and runs it again)" if runs_again else ""
    return f"mesh.yaml or environments.yaml has changes for {name}: `meshctl up {environment}` applies them{again}"


def _as_it_is_up(wanted: Deployment, workload: Workload) -> Deployment:
    """The wanted deployment with what jobs that are up keep until they are made anew, which nobody has edited."""
    if not workload.is_job:
        return wanted
    update = {key: getattr(workload, key) for key in ("kai_queue", "stays_on_node", "held_together")}
    return _with_changes(wanted, workload.name, update)


def _with_changes(deployment: Deployment, name: str, update: Mapping[str, Any]) -> Deployment:
    workloads = tuple(each.model_copy(update=update) if each.name == name else each for each in deployment.workloads)
    return deployment.model_copy(update={"workloads": workloads})


def _made_anew(deployment: Deployment, workload: Workload) -> Deployment:
    """The deployment in which the job no longer keeps what it came up with: it is in the queue of KAI Scheduler, and
    says of its pods whether they may be moved, as the last `up` would have had it."""
    queue = kai.wanted_queue(deployment, workload)
    update = {
        "kai_queue": queue,
        "stays_on_node": evictions.stays_on_node(workload, deployment.pools),
        "held_together": workload.held_together and not queue,  # KAI Scheduler starts gangs as a whole
    }
    return _with_changes(deployment, workload.name, update)


def _objects(deployment: Deployment, name: str) -> dict[str, dict[str, Any]]:
    """The manifests of a workload's objects, regardless of marks and pauses."""
    objects = render.platform_objects(deployment.bare)
    return {item.name: item.manifest for item in objects if item.subject == f"workload/{name}"}


def restart(session: Session, deployment: Deployment, name: str, *, timeout_s: int) -> str:
    """Restart the workload; returns what was done. Raises: UsageError, NotReadyError, ResourcesFailedError."""
    workload = _workload(deployment, name)
    environment = deployment.environment
    if workload.is_job:
        marks = {job: ended_in for job, ended_in in deployment.marks.items() if job != name}
        session.rerun_job(_made_anew(deployment, workload).finished(marks), name)
        return f"{name} runs again in {environment}"
    access = clusters.access(deployment, session.outputs(environment))

    def say(text: str) -> None:
        if session.on_progress is not None:
            session.on_progress(Progress(f"workload/{name}", f"workload/{name}", "message", text))

    without_a_pod = roll_outs.note(workload, deployment.pool(workload.pool))
    if without_a_pod:
        say(without_a_pod)
    if workload.is_grouped:
        limit_s = timeout_s or probes.ready_s(workload)
        group_restarts.restart(access, deployment.namespace, workload, timeout_s=limit_s, say=say)
        return f"all groups of {name} are restarted in {environment}"
    rollouts.roll(access, deployment.namespace, name)
    if lending.serves_on_lent_nodes(workload):  # not waited for: its pods may have no node
        rollouts.roll_if_there(access, deployment.namespace, object_names.lent(name))
    limit_s = timeout_s or probes.rollout_s(workload)
    rollouts.wait(access, deployment.namespace, name, timeout_s=limit_s, say=say)
    return f"{name} is rolled in {environment}"


def _workload(deployment: Deployment, name: str) -> Workload:
    """The workload. Raises: UsageError when a migration has paused it."""
    workload = deployment.workload(name)
    if workload.paused:
        raise UsageError(
            f"{name} is paused in {deployment.environment}",
            why="a migration has stopped it there",
            hint="`meshctl status` shows where it runs; `meshctl up` starts it if no migration is open",
        )
    return workload
