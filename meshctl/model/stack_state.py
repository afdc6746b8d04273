"""The state of one stack as a value: resources, operations that were begun, outputs, the deployment. PURE.

Made once, by `engine.run`, of what `pulumi stack export` gives; everything behind it asks this value and takes no
dictionary apart. It stands in `model` because `changes.losses`, which is below the engine, decides from it, too.

A state goes back to the engine with all that it came with, also fields that nobody here knows: each part keeps the
record that it was read from, and a change replaces single fields of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from meshctl.model.deployment import Deployment
from meshctl.model.kept import OWN, SCHEMA, Format, Stamp, stamp_of, unreadable
from meshwire.marks import UNKNOWN_STRING

STACK_TYPE: Final = "pulumi:pulumi:Stack"
STAMP: Final = "meshctl"  # the output that says which meshctl wrote the others, and in which format

# The reader of every deployment that is kept, in a state as in a journal. Where the shape of `Deployment` changes,
# raise `kept.SCHEMA`, and add here what makes the new shape of the old one: {1: _with_...}.
DEPLOYMENT: Final[Format[Deployment]] = Format(Deployment.model_validate)
# The same for the outputs beside it.
OUTPUTS: Final[Format[dict[str, Any]]] = Format(dict, parts={"deployment": DEPLOYMENT})

_PARTS: Final = {"inputs": dict, "outputs": dict, "initErrors": list}  # of a resource's record
_TABLES: Final = ("endpoints", "before")  # outputs by endpoint: of an environment, of the names

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of a state. `record` is all that the engine keeps of it."""

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
        """What of the mesh it belongs to: `pool/train`."""
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
        """The reference of the provider resource that it uses; see `StackState.provider_of`."""
        return str(self.record.get("provider") or "")

    @property
    def reference(self) -> str:
        """How other resources name this one where it is a provider."""
        return f"{self.urn}::{self.id}"

    @property
    def init_errors(self) -> tuple[str, ...]:
        return tuple(str(error) for error in self.record.get("initErrors") or ())

    @property
    def is_real(self) -> bool:
        """Whether an API can tell of it: not the engine's own components and providers."""
        return bool(self.record.get("custom")) and not self.type.startswith("pulumi:")

    @property
    def is_kubernetes(self) -> bool:
        return self.type.startswith("kubernetes:")

    @property
    def is_to_be_deleted(self) -> bool:
        """Whether it is the old half of a replacement that was not deleted yet."""
        return bool(self.record.get("delete"))

    @property
    def is_deleted_for_replacement(self) -> bool:
        """Whether a replacement has deleted it already, and not yet made the new one."""
        return bool(self.record.get("pendingReplacement"))

    @property
    def is_retained(self) -> bool:
        """Whether a destroy lets go of it without deleting what it stands for."""
        return bool(self.record.get("retainOnDelete"))

    def with_fields(self, **fields: Any) -> Resource:
        """The same resource with these fields of its record, named as the engine names them."""
        return Resource({**self.record, **fields})


@dataclass(frozen=True)
class PendingOperation:
    """What a killed run was in the middle of: `kind` is creating | updating | deleting | reading | importing."""

    record: Record

    @property
    def kind(self) -> str:
        return str(self.record["type"])

    @property
    def resource(self) -> Resource:
        return Resource(self.record["resource"])


@dataclass(frozen=True)
class StackOutputs:
    """The outputs of a stack. `values` are all of them in the format of this version, secret ones encrypted; `stamp`
    says which format they are kept in."""

    values: Record = field(default_factory=dict)
    deployment: Deployment | None = None  # what the last `up` declared
    stamp: Stamp = OWN

    def written(self) -> dict[str, Any]:
        """To be kept again."""
        return {**self.values, STAMP: OWN.document()} if self.values else {}

    @property
    def written_kubeconfig(self) -> str:
        """The kubeconfig of a cluster that meshctl made, as the engine wrote it: `UNKNOWN_STRING` where it knew none
        yet. Such a cluster can't be reached, and must not be looked for where kubeconfigs lie by default."""
        return str(self.values.get("kubeconfig") or "")

    @property
    def kubeconfig(self) -> str:
        """Of a cluster that meshctl made, in JSON; "" where there is none, or none yet."""
        return "" if self.written_kubeconfig == UNKNOWN_STRING else self.written_kubeconfig

    @property
    def cluster_uid(self) -> str:
        """Of an existing cluster; "" where the stack is in none."""
        return str(self.values.get("cluster_uid") or "")

    @property
    def addresses(self) -> dict[str, str]:
        """The address of each endpoint, without those that a partial `up` left unknown."""
        written = {name: str(address or "") for name, address in (self.values.get("endpoints") or {}).items()}
        return {name: address for name, address in written.items() if address and address != UNKNOWN_STRING}


NO_OUTPUTS: Final = StackOutputs()


@dataclass(frozen=True)
class StackState:
    """`record` is what the engine keeps beside the resources and the begun operations."""

    resources: tuple[Resource, ...] = ()
    pending_operations: tuple[PendingOperation, ...] = ()
    outputs: StackOutputs = NO_OUTPUTS
    record: Record = field(default_factory=dict)

    @classmethod
    def read(cls, record: Record, place: str) -> StackState:
        """Of the `deployment` of an exported state; an empty one is that of a new stack. `place`: as for `Format.read`.

        Raises: NewerVersionError, UnreadableError.
        """
        resources = tuple(_resource(each, place) for each in _list(record, "resources", place))
        begun = tuple(_operation(each, place) for each in _list(record, "pending_operations", place))
        return cls(resources, begun, _outputs(resources, place), record)

    def written(self) -> dict[str, Any]:
        """The record of the state as it is now: what `read` got, where nothing was changed."""
        parts = {
            "resources": [resource.record for resource in self.resources],
            "pending_operations": [operation.record for operation in self.pending_operations],
        }
        return {**self.record, **{key: part for key, part in parts.items() if part or self.record.get(key) is not None}}

    @property
    def deployment(self) -> Deployment | None:
        """What the last `up` declared; None where there was none."""
        return self.outputs.deployment

    @cached_property
    def _by_reference(self) -> dict[str, Resource]:
        return {resource.reference: resource for resource in self.resources}

    def provider_of(self, resource: Resource) -> Resource | None:
        """The provider resource that a resource uses."""
        return self._by_reference.get(resource.provider)

    def used_providers(self, kind: str) -> Iterator[Resource]:
        """The provider resources of a type that a resource, or a begun operation on one, uses."""
        begun = (operation.resource for operation in self.pending_operations)
        used = {resource.provider for resource in (*self.resources, *begun)}
        return (resource for resource in self.resources if resource.type == kind and resource.reference in used)

    def of_type(self, *kinds: str) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.resources if resource.type in kinds)

    def of_subject(self, subject: str) -> tuple[Resource, ...]:
        return tuple(resource for resource in self.resources if resource.subject == subject)

    def with_resources(self, resources: Iterable[Resource]) -> StackState:
        """The same state with these resources instead of its own. Its outputs are those of its stack's resource."""
        kept = tuple(resources)
        outputs = self.outputs if any(resource.type == STACK_TYPE for resource in kept) else NO_OUTPUTS
        return StackState(kept, self.pending_operations, outputs, self.record)

    def with_changed(self, urns: Collection[str], change: Callable[[Resource], Resource]) -> StackState:
        """The same state in which `change` was made to the resources of these URNs."""
        return self.with_resources(change(each) if each.urn in urns else each for each in self.resources)

    def with_operations(self, operations: Iterable[PendingOperation]) -> StackState:
        """The same state with these begun operations; none are written as an empty list."""
        record = {**self.record, "pending_operations": []}
        return StackState(self.resources, tuple(operations), self.outputs, record)

    def with_deployment(self, deployment: Deployment) -> StackState:
        """The same state with another deployment among its outputs, in the format of this version."""
        outputs = StackOutputs({**self.outputs.values, **as_outputs(deployment)}, deployment)
        written = outputs.written()
        resources = tuple(
            each.with_fields(outputs=written) if each.type == STACK_TYPE else each for each in self.resources
        )
        return StackState(resources, self.pending_operations, outputs, self.record)


def as_outputs(deployment: Deployment) -> dict[str, Any]:
    """The outputs by which a deployment is kept in its stack."""
    return {"deployment": deployment.model_dump(mode="json"), STAMP: OWN.document()}


def _outputs(resources: Iterable[Resource], place: str) -> StackOutputs:
    """Those of the one resource of the stack's own type."""
    stack = next((resource for resource in resources if resource.type == STACK_TYPE), None)
    kept = dict(stack.outputs) if stack is not None else {}
    for table in _TABLES:
        if kept.get(table) is not None and not isinstance(kept[table], dict):
            raise unreadable(place, f"its output `{table}` is {type(kept[table]).__name__}")
    stamp = stamp_of(kept.get(STAMP), place)
    values = OUTPUTS.read(_unfolded(kept, place), stamp, place)
    document = values.get("deployment")
    deployment = DEPLOYMENT.read(document, Stamp(SCHEMA, stamp.made_by), place) if document else None
    return StackOutputs(values, deployment, stamp)


def _unfolded(kept: dict[str, Any], place: str) -> dict[str, Any]:
    """The outputs with a deployment that is kept as JSON as what it stands for, and without an empty one."""
    document = kept.get("deployment")
    if isinstance(document, str) and document:
        try:
            document = json.loads(document)
        except ValueError as error:
            raise unreadable(place, f"its output `deployment` is no JSON: {error}") from error
    if document:
        return {**kept, "deployment": document}
    return {key: value for key, value in kept.items() if key != "deployment"}


def _list(record: Record, key: str, place: str) -> list[Any]:
    found = record.get(key) or []
    if not isinstance(found, list):
        raise unreadable(place, f"its {key} are {type(found).__name__}")
    return found


def _resource(record: Any, place: str) -> Resource:
    is_one = isinstance(record, dict) and isinstance(record.get("urn"), str) and isinstance(record.get("type"), str)
    if not is_one:
        raise unreadable(place, "a resource of it has no URN or no type")
    for key, kind in _PARTS.items():
        if record.get(key) is not None and not isinstance(record[key], kind):
            raise unreadable(place, f"the {key} of {record['urn']} are {type(record[key]).__name__}")
    return Resource(record)


def _operation(record: Any, place: str) -> PendingOperation:
    if not isinstance(record, dict) or not isinstance(record.get("type"), str):
        raise unreadable(place, "an operation of it has no type")
    _resource(record.get("resource"), place)
    return PendingOperation(record)
