"""Finds the fields of live objects that other programs own before an `up`, and takes them over for it. EDGE.

Called by `runs`. The API server would refuse to change another program's field in the middle of a
run, one object after the other. This module finds all of them before anything is changed. `field_owners` says who owns
what, and `field_rules` what is done about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from meshctl import render
from meshctl.changes import fields as changes
from meshctl.changes.steps import Step, resource_name
from meshctl.clients.kubernetes import clusters
from meshctl.clients.kubernetes.cluster_access import ClusterAccess
from meshctl.deploy.fields import live_objects, number_ranges, queued_jobs
from meshctl.deploy.fields.field_owners import FieldConflict, Json, Path, field_conflicts
from meshctl.deploy.fields.field_rules import REPLICAS, Decision, Verdict, autoscaled, decide, refuse
from meshctl.deploy.fields.live_objects import Reference
from meshctl.engine.events import OnProgress, Progress
from meshctl.errors import MeshError, UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.files.file_problems import suggestion
from meshctl.model.releases import count_words
from meshctl.model.stack_state import StackState
from meshctl.render import PlatformObject

if TYPE_CHECKING:
    from meshwire.kubernetes.client import Client

_SCALED = ("Deployment", "StatefulSet", "LeaderWorkerSet")


@dataclass(frozen=True)
class Ownership:
    """The live objects of one environment and the conflicts in them; empty before its first `up`, and before it has a
    cluster."""

    environment: str
    decisions: tuple[Decision, ...] = ()
    cluster: ClusterAccess | None = None
    live: Mapping[str, tuple[Reference, Json]] = field(default_factory=dict)  # by the resource's logical name
    expected: tuple[PlatformObject, ...] = ()  # the objects that were read: each is in `live`, or gone
    retired_scalers: tuple[Reference, ...] = ()  # what moves replicas that the mesh decides from now on
    unreachable: MeshError | None = None  # why the cluster could not be asked; the fields above are empty then

    def forecasts(self, drift: Collection[Step]) -> tuple[str, ...]:
        """Lines for a plan. Fields of objects in `drift`, which the plan lists anyway, get a line only if `up` doesn't
        simply set them back."""
        listed = {resource_name(step.urn) for step in drift}
        set_back = (Verdict.TAKE_OVER, Verdict.SET)
        differing = [d for d in self.decisions if d.conflict.live != d.conflict.wanted]
        lines = (d.forecast for d in differing if d.verdict not in set_back or d.conflict.resource not in listed)
        return (*lines, *self._counts_of_pools())

    def _counts_of_pools(self) -> Iterator[str]:
        """Pools that somebody has made larger than the least, within their bounds, and so are left as they are."""
        for item in self.expected:
            bounds, live = item.number_range, self.live.get(item.name)
            if bounds is None or bounds.path == REPLICAS or live is None or not self._is_in_range(item):
                continue
            count = number_ranges.live_number(item, live[1])
            if count is not None and count != bounds.least:
                yield f"{item.subject}: {count_words(count, bounds.least, bounds.most)}"

    @property
    def resources_with_left_fields(self) -> frozenset[str]:
        """The logical names of the resources in which the value of another program stays."""
        return frozenset(d.conflict.resource for d in self.decisions if d.verdict is Verdict.LEAVE)

    def left_paths(self, resource: str) -> list[str]:
        """The paths of a resource's fields that keep another program's value, as the engine writes them
        (`spec.replicas`).
        """
        left = [d.conflict for d in self.decisions if d.verdict is Verdict.LEAVE and d.conflict.resource == resource]
        items = [item for item in self.expected if item.name == resource]
        declared = [path for item in items for path in item.left]
        moved = [item.number_range.property_path for item in items if item.number_range and self._is_in_range(item)]
        return [*map(_property_path, left), *declared, *moved]

    def _is_in_range(self, item: PlatformObject) -> bool:
        """Whether the number that others move is one that the mesh allows."""
        return item.name in self.live and number_ranges.is_in_range(item, self.live[item.name][1])

    def without_left_fields(self, steps: Iterable[Step]) -> list[Step]:
        """The steps of a run without the fields that keep another program's value.

        The engine records the number to which an autoscaler has scaled as an update; for the user it is no change.
        """
        remaining = []
        for step in steps:
            left = self.left_paths(resource_name(step.urn))
            properties = tuple(change for change in step.properties if change.path not in left)
            nothing_left = step.op == "update" and bool(step.properties) and not properties
            remaining.append(replace(step, op="same") if nothing_left else replace(step, properties=properties))
        return remaining

    def refuse(self, command: str) -> None:
        """Raises: OwnedFieldsError when the user must decide about a field. `command`: as for `field_rules.refuse`."""
        refuse(self.environment, command, self.decisions)

    def kept_values(self, *, preview: bool) -> dict[str, Any]:
        """The values of other programs that stay, as deferred values: see `render.live_value_name`.

        In a preview also the values that an `up` sets itself before the engine runs.
        """
        verdicts = (Verdict.LEAVE, Verdict.SET) if preview else (Verdict.LEAVE,)
        conflicts = [decision.conflict for decision in self.decisions if decision.verdict in verdicts]
        return {
            **{render.live_value_name(each.resource, _property_path(each)): each.live for each in conflicts},
            **self._values_of_new_objects_only,
            **self._moved_numbers(preview=preview),
        }

    def _moved_numbers(self, *, preview: bool) -> dict[str, Any]:
        """The numbers that objects with a range keep: what `expected` declares already, or None to declare none where
        another program owns the number, and may change it while the engine runs."""
        values: dict[str, Any] = {}
        for item in (each for each in self.expected if each.name in self.live):
            bounds, live = item.number_range, self.live[item.name][1]
            if bounds is not None and number_ranges.live_number(item, live) is not None:
                left_out = not preview and number_ranges.is_set_by_others(item, live)
                name = render.live_value_name(item.name, bounds.property_path)
                values[name] = None if left_out else item.manifest["spec"][bounds.field]
        return values

    @property
    def _values_of_new_objects_only(self) -> dict[str, Any]:
        """The live values of fields that are declared for new objects only (`PlatformObject.left`)."""
        values: dict[str, Any] = {}
        for item in (each for each in self.expected if each.name in self.live):
            for path in item.left:
                live = changes.value_at(self.live[item.name][1], path)
                values |= {render.live_value_name(item.name, path): live} if live is not None else {}
        return values

    def take_over(self, on_progress: OnProgress | None) -> None:
        """Remove other owners from the fields that are to be set, so that an apply may change them.

        Raises: MeshError and its leaves.
        """
        by_resource: dict[str, list[Decision]] = {}
        for decision in self.decisions:
            if decision.verdict in (Verdict.TAKE_OVER, Verdict.SET):
                by_resource.setdefault(decision.conflict.resource, []).append(decision)
        if not (by_resource or self.retired_scalers) or self.cluster is None:
            return
        with self.cluster.connected() as client:
            for scaler in self.retired_scalers:
                live_objects.delete(client, scaler)
            for resource, decisions in by_resource.items():
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


def read_ownership(deployment: Deployment, state: StackState, take_over: Collection[str] = ()) -> Ownership:
    """The fields that other programs own in the objects that the mesh declares and `state` has.

    `take_over`: names of fields, or of parts of the mesh, that are set in any case.
    Raises: CredentialsError, UnreachableError when the cluster can't be asked.
    """
    in_state = {resource.name for resource in state.resources if resource.is_kubernetes}
    ours = [item for item in _declared(deployment) if item.name in in_state and item.kind not in live_objects.NOT_READ]
    is_unknown = clusters.is_made(deployment) and not state.outputs.written_kubeconfig
    if not ours or is_unknown:
        return Ownership(deployment.environment)
    # where the mesh gives a number in place of a range now, it is the mesh's
    most_before = _most_moved(render.node_objects(state.deployment) if state.deployment is not None else ())
    owned = _read_cluster(deployment, clusters.access(deployment, state.outputs), ours, take_over, most_before)
    retired = number_ranges.retired(_declared(deployment), state)
    return replace(owned, retired_scalers=tuple(live_objects.reference_of_inputs(each.inputs) for each in retired))


def checked_take_over(take_over: Collection[str], *deployments: Deployment) -> tuple[str, ...]:
    """`take_over` as it is. Raises: UsageError when a name belongs to nothing in any of the deployments."""
    subjects = {item.subject for each in deployments for item in _declared(each)} if take_over else set()
    for name in take_over:
        subject = name.partition(":")[0]
        if subject not in subjects:
            raise UsageError(
                f"--take-over {name}: the mesh has no {subject}{suggestion(subject, subjects)}",
                hint="give SUBJECT or SUBJECT:FIELD as `meshctl plan` shows it, such as workload/chat:.spec.replicas",
            )
    return tuple(take_over)


def _declared(deployment: Deployment) -> list[PlatformObject]:
    return [*render.node_objects(deployment), *render.platform_objects(deployment)]


def _most_moved(items: Iterable[PlatformObject]) -> dict[tuple[str, Path], int]:
    """The largest numbers that others move things to between bounds of the mesh, by the logical names of their objects
    and the path of the number."""
    return {
        (item.name, item.number_range.path): item.number_range.most for item in items if item.number_range is not None
    }


def _is_moved(conflict: FieldConflict, most: Mapping[tuple[str, Path], int]) -> bool:
    """Whether the number is within what the mesh lets others choose, rather than raised above it by somebody.

    `most`: the larger of the upper bounds in the mesh now and at the last `up`, because the bound may have been lowered
    since, or replaced by a fixed number.
    """
    at_most = most.get((conflict.resource, conflict.path))
    return at_most is not None and not (isinstance(conflict.live, int) and conflict.live > at_most)


def _read_cluster(
    deployment: Deployment,
    cluster: ClusterAccess,
    ours: list[PlatformObject],
    take_over: Collection[str],
    most_before: Mapping[tuple[str, Path], int],
) -> Ownership:
    references = {item.name: live_objects.reference(item) for item in ours}
    labels = {"app.kubernetes.io/part-of": deployment.mesh, "app.kubernetes.io/managed-by": "meshctl"}
    with cluster.connected() as client:
        objects = live_objects.read(client, references.values(), deployment.namespace, labels)
        scalers = live_objects.autoscalers(client, deployment.namespace)
    live = {name: (ref, objects[ref]) for name, ref in references.items() if ref in objects}
    ours = [queued_jobs.as_in_its_queue(item, live[item.name][1]) if item.name in live else item for item in ours]
    ours = [number_ranges.as_moved(item, live[item.name][1]) if item.name in live else item for item in ours]
    # a patch forces its fields, so it has no conflicts
    applied = [item for item in ours if item.name in live and not item.patch]
    conflicts = [conflict for item in applied for conflict in _conflicts(item, live[item.name][1], scalers)]
    most_now = _most_moved(applied)
    most = {key: max(most_now.get(key, 0), most_before.get(key, 0)) for key in {*most_now, *most_before}}
    decisions = tuple(decide(each, scalers, take_over, is_moved=_is_moved(each, most)) for each in conflicts)
    return Ownership(deployment.environment, decisions, cluster, live, tuple(ours))


def _conflicts(item: PlatformObject, live: Json, scalers: Mapping[tuple[str, str], str]) -> list[FieldConflict]:
    ignored = (*item.ignore_changes, *item.left, *item.added_to)
    conflicts = [c for c in field_conflicts(item.name, item.manifest, live) if not _is_ignored(c, ignored)]
    is_scaled = item.kind in _SCALED and (item.kind, str(item.manifest["metadata"]["name"])) in scalers
    if is_scaled and all(conflict.path != REPLICAS for conflict in conflicts):
        scaled = autoscaled(item.name, item.manifest, live)
        conflicts += [scaled] if scaled is not None else []
    return conflicts


def _is_ignored(conflict: FieldConflict, ignored: Collection[str]) -> bool:
    """Whether the mesh leaves the field to other programs once the object exists."""
    path = _property_path(conflict)
    return any(path == each or path.startswith(f"{each}.") for each in ignored)


def _property_path(conflict: FieldConflict) -> str:
    """The path as the engine writes properties: `spec.replicas`."""
    return ".".join(key.removeprefix("f:") for key in conflict.path)
