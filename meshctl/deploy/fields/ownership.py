"""Fields that other programs own in a mesh's live objects: looked at before an `up`, and taken over for it. EDGE.

Called by `session`. The API server refuses to change another program's field in the middle of a run, one object after
the other; here all of them are known before anything is done. Which programs set what is in `field_owners`, what is
done about it in `field_rules`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshctl import render
from meshctl.changes.steps import Step, resource_name
from meshctl.clients import clusters
from meshctl.clients.cluster_access import ClusterAccess
from meshctl.deploy.fields import live_objects
from meshctl.deploy.fields.field_owners import FieldConflict, Json, field_conflicts
from meshctl.deploy.fields.field_rules import REPLICAS, Decision, Verdict, autoscaled, decide, refuse
from meshctl.deploy.fields.live_objects import Reference
from meshctl.engine.events import OnProgress, Progress
from meshctl.errors import MeshError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.references import suggestion
from meshctl.model.stack_state import StackState
from meshctl.render import PlatformObject

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_SCALED = ("Deployment", "StatefulSet")


@dataclass(frozen=True)
class Ownership:
    """What was found in one environment. Without anything declared there yet, or without its cluster: nothing."""

    environment: str
    decisions: tuple[Decision, ...] = ()
    cluster: ClusterAccess | None = None
    live: Mapping[str, tuple[Reference, Json]] = field(default_factory=dict)  # by the resource's logical name
    looked_at: tuple[PlatformObject, ...] = ()  # what was looked for: all of it is in `live`, or gone
    silence: MeshError | None = None  # why the cluster could not be asked: then nothing above says anything

    def forecasts(self, drift: Collection[Step]) -> tuple[str, ...]:
        """Lines of a plan. `drift`: what the plan says anyway; what `up` does about other values needs no line then."""
        said = {resource_name(step.urn) for step in drift}
        plain = (Verdict.TAKE_OVER, Verdict.SET)
        differing = [d for d in self.decisions if d.conflict.live != d.conflict.wanted]
        return tuple(d.forecast for d in differing if d.verdict not in plain or d.conflict.resource not in said)

    @property
    def left(self) -> frozenset[str]:
        """Logical names of the resources of which a value stays that others have set."""
        return frozenset(d.conflict.resource for d in self.decisions if d.verdict is Verdict.LEAVE)

    def left_paths(self, resource: str) -> list[str]:
        """The fields of a resource that stay as others have set them, as the engine writes them (`spec.replicas`)."""
        left = [d.conflict for d in self.decisions if d.verdict is Verdict.LEAVE and d.conflict.resource == resource]
        return [_plain(conflict) for conflict in left]

    def without_left(self, steps: Iterable[Step]) -> list[Step]:
        """The steps of a run without what stays as others have set it: to write down where an autoscaler has got to is
        no change."""
        found = []
        for step in steps:
            left = self.left_paths(resource_name(step.urn))
            properties = tuple(change for change in step.properties if change.path not in left)
            is_all = step.op == "update" and bool(step.properties) and not properties
            found.append(replace(step, op="same") if is_all else replace(step, properties=properties))
        return found

    def refuse(self, command: str) -> None:
        """Raises: OwnedFieldsError when something is for a person to decide. `command`: the user's, as
        `field_rules.refuse` has it."""
        refuse(self.environment, command, self.decisions)

    def held(self, *, preview: bool) -> dict[str, Any]:
        """What stays as it is at the live objects, as late values: see `render.held`. In a preview also what an `up`
        sets by itself before the engine runs."""
        verdicts = (Verdict.LEAVE, Verdict.SET) if preview else (Verdict.LEAVE,)
        kept = [decision.conflict for decision in self.decisions if decision.verdict in verdicts]
        return {render.held(conflict.resource, _plain(conflict)): conflict.live for conflict in kept}

    def take_over(self, on_progress: OnProgress | None) -> None:
        """Make what is to be set ours alone, which an apply may change then. Raises: MeshError and its leaves."""
        taken: dict[str, list[Decision]] = {}
        for decision in self.decisions:
            if decision.verdict in (Verdict.TAKE_OVER, Verdict.SET):
                taken.setdefault(decision.conflict.resource, []).append(decision)
        if not taken or self.cluster is None:
            return
        with self.cluster.connected() as client:
            for resource, decisions in taken.items():
                self._release(client, resource, decisions, on_progress)

    def _release(
        self, client: Client, resource: str, decisions: list[Decision], on_progress: OnProgress | None
    ) -> None:
        ref, live = self.live[resource]
        conflicts = [decision.conflict for decision in decisions]
        values = {d.conflict.path: d.conflict.wanted for d in decisions if d.verdict is Verdict.SET}
        live_objects.release(client, ref, live, [conflict.path for conflict in conflicts], values)
        if on_progress is not None:
            for decision in decisions:
                on_progress(Progress(decision.conflict.subject, resource, "message", decision.report))


def look(deployment: Deployment, state: StackState, take_over: Collection[str] = ()) -> Ownership:
    """What other programs own of what the mesh declares, among the objects that `state` says are ours.

    `take_over`: the names of fields, or of what they are a part of, that are set all the same.
    Raises: CredentialsError, UnreachableError when the cluster can't be asked.
    """
    made = {resource.name for resource in state.resources if resource.is_kubernetes}
    ours = [item for item in _declared(deployment) if item.name in made and item.kind not in live_objects.NOT_READ]
    is_unknown = clusters.is_made(deployment) and not state.outputs.written_kubeconfig
    if not ours or is_unknown:
        return Ownership(deployment.environment)
    return _looked(deployment, clusters.access(deployment, state.outputs), ours, take_over)


def checked_names(take_over: Collection[str], *deployments: Deployment) -> tuple[str, ...]:
    """What the user gave. Raises: UsageError when a name is of nothing in any of the deployments."""
    subjects = {item.subject for each in deployments for item in _declared(each)} if take_over else set()
    for given in take_over:
        subject = given.partition(":")[0]
        if subject not in subjects:
            raise UsageError(
                f"--take-over {given}: the mesh has no {subject}{suggestion(subject, subjects)}",
                hint="SUBJECT or SUBJECT:FIELD, as `meshctl plan` names it: workload/chat:.spec.replicas",
            )
    return tuple(take_over)


def _declared(deployment: Deployment) -> list[PlatformObject]:
    return [*render.node_objects(deployment), *render.platform_objects(deployment)]


def _looked(
    deployment: Deployment, cluster: ClusterAccess, ours: list[PlatformObject], take_over: Collection[str]
) -> Ownership:
    references = {item.name: live_objects.reference(item) for item in ours}
    labels = {"app.kubernetes.io/part-of": deployment.mesh, "app.kubernetes.io/managed-by": "meshctl"}
    with cluster.connected() as client:
        objects = live_objects.read(client, references.values(), deployment.namespace, labels)
        scalers = live_objects.autoscalers(client, deployment.namespace)
    live = {name: (ref, objects[ref]) for name, ref in references.items() if ref in objects}
    whole = [item for item in ours if item.name in live and not item.patch]  # a patch takes its fields over as it is
    found = [conflict for item in whole for conflict in _of(item, live[item.name][1], scalers)]
    decisions = tuple(decide(conflict, scalers, take_over) for conflict in found)
    return Ownership(deployment.environment, decisions, cluster, live, tuple(ours))


def _of(item: PlatformObject, live: Json, scalers: Mapping[tuple[str, str], str]) -> list[FieldConflict]:
    found = [c for c in field_conflicts(item.name, item.manifest, live) if not _is_ignored(c, item.ignore_changes)]
    is_scaled = item.kind in _SCALED and (item.kind, str(item.manifest["metadata"]["name"])) in scalers
    if is_scaled and all(conflict.path != REPLICAS for conflict in found):
        scaled = autoscaled(item.name, item.manifest, live)
        found += [scaled] if scaled is not None else []
    return found


def _is_ignored(conflict: FieldConflict, ignored: Collection[str]) -> bool:
    """What the mesh leaves to others after it has made the object."""
    path = _plain(conflict)
    return any(path == given or path.startswith(f"{given}.") for given in ignored)


def _plain(conflict: FieldConflict) -> str:
    """The path as properties are named to the engine: `spec.replicas`."""
    return ".".join(key.removeprefix("f:") for key in conflict.path)
