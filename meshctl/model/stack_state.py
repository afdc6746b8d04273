"""The state of one stack as a value: resources, pending operations, outputs, the deployment. PURE.

`engine.run` makes it once from the JSON of `pulumi stack export`. Everything else uses this value and never the JSON.
It is in `model`, since `changes.losses`, a layer below the engine, uses it, too.

No field of the JSON is lost when a state is written back, also none that meshctl does not know. To that end each part
holds the record that it was read from, and a change replaces single fields of that record.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from meshctl.model.deployment import Deployment
from meshctl.model.persisted import OWN, SCHEMA, Format, Stamp, stamp_of, unreadable
from meshwire.marks import UNKNOWN_STRING

STACK_TYPE: Final = "pulumi:pulumi:Stack"
STAMP: Final = "meshctl"  # the output that holds the stamp (see `model.persisted`) of all outputs

BEGUN: Final = "begun"  # the output that a run has from its start to its end
# The reader of every persisted deployment, in states and in journals. To change the shape of `Deployment`, raise
# `persisted.SCHEMA` and add the upgrade from the previous schema version here: {1: _renamed_image}.
DEPLOYMENT: Final[Format[Deployment]] = Format(Deployment.model_validate)
# The reader of the outputs of a stack.
OUTPUTS: Final[Format[dict[str, Any]]] = Format(dict, parts={"deployment": DEPLOYMENT, BEGUN: DEPLOYMENT})

_RECORD_TYPES: Final = {"inputs": dict, "outputs": dict, "initErrors": list}  # fields of a resource, where present
_TABLES: Final = ("endpoints", "before")  # outputs that map an endpoint's name to its address or DNS record

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of a state. `record` is its JSON object in the state."""

    record: Record

    @property
    def urn(self) -> str:
        return str(self.record["urn"])

    @property
    def type(self) -> str:
        return str(self.record["type"])

    @property
    def name(self) -> str:
        """The logical name, the part of the URN after the fourth `::`: `pool/train:nodegroup`."""
        parts = self.urn.split("::", 3)
        return parts[3] if len(parts) == 4 else self.urn

    @property
    def subject(self) -> str:
        """The part of the mesh that it belongs to: `pool/train`."""
        return self.name.partition(":")[0]

    @property
    def id(self) -> str:
        return str(self.record.get("id") or "")

    @property
    def inputs(self) -> Record:
        return self.record.get("inputs") or {}

    @property
    def outputs(self) -> Record:
        return self.record.get("outputs") or {}

    @property
    def provider(self) -> str:
        """The `reference` of the provider resource that manages it; see `StackState.provider_of`."""
        return str(self.record.get("provider") or "")

    @property
    def reference(self) -> str:
        """How the resources of a provider refer to it, where this resource is a provider."""
        return f"{self.urn}::{self.id}"

    @property
    def init_errors(self) -> tuple[str, ...]:
        return tuple(str(error) for error in self.record.get("initErrors") or ())

    @property
    def is_real(self) -> bool:
        """Whether it stands for something in the cloud or in a cluster: no component, and none of the engine's own."""
        return bool(self.record.get("custom")) and not self.type.startswith("pulumi:")

    @property
    def is_kubernetes(self) -> bool:
        return self.type.startswith("kubernetes:")

    @property
    def is_to_be_deleted(self) -> bool:
        """Whether it was replaced, and the old one still has to be deleted."""
        return bool(self.record.get("delete"))

    @property
    def is_deleted_for_replacement(self) -> bool:
        """Whether a replacement has deleted the old one and has not created the new one yet."""
        return bool(self.record.get("pendingReplacement"))

    @property
    def is_retained(self) -> bool:
        """Whether a destroy removes it from the state only, and does not delete what it stands for."""
        return bool(self.record.get("retainOnDelete"))

    def with_fields(self, **fields: Any) -> Resource:
        """A copy with these fields of its record replaced. The names are those of the engine (`initErrors`)."""
        return Resource({**self.record, **fields})


@dataclass(frozen=True)
class PendingOperation:
    """An operation that a killed run did not finish: `kind` is creating | updating | deleting | reading | importing."""

    record: Record

    @property
    def kind(self) -> str:
        return str(self.record["type"])

    @property
    def resource(self) -> Resource:
        return Resource(self.record["resource"])


@dataclass(frozen=True)
class StackOutputs:
    """The outputs of a stack. `values` are all outputs in the current schema version, secrets encrypted. `stamp` is
    that of the state, which may have an older schema version."""

    values: Record = field(default_factory=dict)
    deployment: Deployment | None = None  # what the last `up` declared
    stamp: Stamp = OWN
    begun: Deployment | None = None  # see `StackState.begun`

    def written(self) -> dict[str, Any]:
        """The outputs to write into a state, in the current schema version."""
        return {**self.values, STAMP: OWN.document()} if self.values else {}

    @property
    def written_kubeconfig(self) -> str:
        """The kubeconfig of a cluster that meshctl created, as the state has it: `UNKNOWN_STRING` where the engine did
        not know it yet. Such a cluster can't be reached. The user's default kubeconfig would lead to another one."""
        return str(self.values.get("kubeconfig") or "")

    @property
    def kubeconfig(self) -> str:
        """The kubeconfig of a cluster that meshctl created, in JSON; "" where there is none, or none yet."""
        return "" if self.written_kubeconfig == UNKNOWN_STRING else self.written_kubeconfig

    @property
    def cluster_uid(self) -> str:
        """The UID of the existing cluster that the stack is in; "" where meshctl created the cluster."""
        return str(self.values.get("cluster_uid") or "")

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each endpoint, without those that a partial `up` left unknown."""
        written = {name: str(address or "") for name, address in (self.values.get("endpoints") or {}).items()}
        return {name: address for name, address in written.items() if address and address != UNKNOWN_STRING}


NO_OUTPUTS: Final = StackOutputs()


@dataclass(frozen=True)
class StackState:
    """`record` is the JSON object that the state was read from."""

    resources: tuple[Resource, ...] = ()
    pending_operations: tuple[PendingOperation, ...] = ()
    outputs: StackOutputs = NO_OUTPUTS
    record: Record = field(default_factory=dict)

    @classmethod
    def read(cls, record: Record, place: str) -> StackState:
        """`record` is the `deployment` of an exported state; empty for a new stack. `place`: see `Format.read`.

        Raises: NewerVersionError, UnreadableError.
        """
        resources = tuple(_resource(each, place) for each in _list(record, "resources", place))
        begun = tuple(_operation(each, place) for each in _list(record, "pending_operations", place))
        return cls(resources, begun, _outputs(resources, place), record)

    def written(self) -> dict[str, Any]:
        """The JSON object of this state. It equals the one that `read` got, if nothing was changed since."""
        parts = {
            "resources": [resource.record for resource in self.resources],
            "pending_operations": [operation.record for operation in self.pending_operations],
        }
        return {**self.record, **{key: part for key, part in parts.items() if part or self.record.get(key) is not None}}

    @property
    def deployment(self) -> Deployment | None:
        """The deployment that the last `up` declared; None before the first one."""
        return self.outputs.deployment

    @property
    def begun(self) -> Deployment | None:
        """What the last run was about to make, if it was killed before it declared its outputs; without what runs on
        the nodes."""
        return self.outputs.begun

    @cached_property
    def _by_reference(self) -> dict[str, Resource]:
        return {resource.reference: resource for resource in self.resources}

    def provider_of(self, resource: Resource) -> Resource | None:
        """The provider resource that manages a resource."""
        return self._by_reference.get(resource.provider)

    def used_providers(self, kind: str, *, besides: Collection[str] = ()) -> Iterator[Resource]:
        """The provider resources of a type that manage a resource, or one that a pending operation is about. `besides`:
        types of resources that do not count."""
        pending = (operation.resource for operation in self.pending_operations)
        used = {resource.provider for resource in (*self.resources, *pending) if resource.type not in besides}
        return (resource for resource in self.resources if resource.type == kind and resource.reference in used)

    def of_type(self, *kinds: str) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.resources if resource.type in kinds)

    def of_subject(self, subject: str) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.resources if resource.subject == subject)

    def with_resources(self, resources: Iterable[Resource]) -> StackState:
        """A copy with these resources. It has no outputs if the stack's own resource, which holds them, is missing."""
        new_resources = tuple(resources)
        outputs = self.outputs if any(resource.type == STACK_TYPE for resource in new_resources) else NO_OUTPUTS
        return StackState(new_resources, self.pending_operations, outputs, self.record)

    def with_changed(self, urns: Collection[str], change: Callable[[Resource], Resource]) -> StackState:
        """A copy in which `change` is applied to the resources with these URNs."""
        return self.with_resources(change(each) if each.urn in urns else each for each in self.resources)

    def with_operations(self, operations: Iterable[PendingOperation]) -> StackState:
        """A copy with these pending operations."""
        record = {**self.record, "pending_operations": []}
        return StackState(self.resources, tuple(operations), self.outputs, record)

    def with_deployment(self, deployment: Deployment) -> StackState:
        """A copy with this deployment in its outputs, which get the current schema version."""
        outputs = StackOutputs({**self.outputs.values, **as_outputs(deployment)}, deployment, begun=self.begun)
        written = outputs.written()
        resources = tuple(
            each.with_fields(outputs=written) if each.type == STACK_TYPE else each for each in self.resources
        )
        return StackState(resources, self.pending_operations, outputs, self.record)

    def with_begun(self, deployment: Deployment, stack_urn: str) -> StackState:
        """A copy that has the deployment as `begun`. `stack_urn`: of the stack's own resource, which a new stack does
        not have yet. The program's outputs replace it."""
        trimmed = as_begun(deployment)
        begun = {BEGUN: trimmed.model_dump(mode="json")}
        outputs = StackOutputs({**self.outputs.values, **begun}, self.deployment, begun=trimmed)
        written = outputs.written()
        resources = self.resources
        if not self.of_type(STACK_TYPE):
            resources = (Resource({"urn": stack_urn, "type": STACK_TYPE, "custom": False}), *resources)
        changed = tuple(each.with_fields(outputs=written) if each.type == STACK_TYPE else each for each in resources)
        return StackState(changed, self.pending_operations, outputs, self.record)


def as_begun(deployment: Deployment) -> Deployment:
    """What of a deployment is written before it is made: all but what runs on the nodes."""
    return deployment.model_copy(update={"workloads": (), "endpoints": (), "object_stores": ()})


def as_outputs(deployment: Deployment) -> dict[str, Any]:
    """The outputs that persist a deployment in its stack."""
    return {"deployment": deployment.model_dump(mode="json"), STAMP: OWN.document()}


def _outputs(resources: Iterable[Resource], place: str) -> StackOutputs:
    """The outputs of the stack: those of the one resource that stands for the stack itself."""
    stack = next((resource for resource in resources if resource.type == STACK_TYPE), None)
    raw = dict(stack.outputs) if stack is not None else {}
    for table in _TABLES:
        if raw.get(table) is not None and not isinstance(raw[table], dict):
            raise unreadable(place, f"its output `{table}` is {type(raw[table]).__name__}")
    stamp = stamp_of(raw.get(STAMP), place)
    values = OUTPUTS.read(_with_parsed_deployment(raw, place), stamp, place)
    document = values.get("deployment")
    deployment = DEPLOYMENT.read(document, Stamp(SCHEMA, stamp.made_by), place) if document else None
    begun = DEPLOYMENT.read(values[BEGUN], Stamp(SCHEMA, stamp.made_by), place) if values.get(BEGUN) else None
    return StackOutputs(values, deployment, stamp, begun)


def _with_parsed_deployment(raw: dict[str, Any], place: str) -> dict[str, Any]:
    """The outputs in which a deployment that is a JSON string is parsed, and an empty deployment is left out."""
    document = raw.get("deployment")
    if isinstance(document, str) and document:
        try:
            document = json.loads(document)
        except ValueError as error:
            raise unreadable(place, f"its output `deployment` is no JSON: {error}") from error
    if document:
        return {**raw, "deployment": document}
    return {key: value for key, value in raw.items() if key != "deployment"}


def _list(record: Record, key: str, place: str) -> list[Any]:
    items = record.get(key) or []
    if not isinstance(items, list):
        raise unreadable(place, f"its {key} are {type(items).__name__}")
    return items


def _resource(record: Any, place: str) -> Resource:
    is_one = isinstance(record, dict) and isinstance(record.get("urn"), str) and isinstance(record.get("type"), str)
    if not is_one:
        raise unreadable(place, "a resource of it has no URN or no type")
    for key, expected in _RECORD_TYPES.items():
        if record.get(key) is not None and not isinstance(record[key], expected):
            raise unreadable(place, f"the {key} of {record['urn']} are {type(record[key]).__name__}")
    return Resource(record)


def _operation(record: Any, place: str) -> PendingOperation:
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise unreadable(place, "an operation of it has no type")
    _resource(record.get("resource"), place)
    return PendingOperation(record)
