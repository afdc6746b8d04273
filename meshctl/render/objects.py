"""The types of what rendering returns: a Kubernetes object with what its declaration needs to know. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_UID = "uid of "


@dataclass(frozen=True)
class LateValue:
    """Stands for a value that another resource has only once it exists; see the names in `meshctl.render`."""

    name: str


@dataclass(frozen=True)
class NumberRange:
    """The bounds between which others move a number of a live object: the `field` of its `spec`."""

    field: str
    least: int
    most: int

    @property
    def property_path(self) -> str:
        """As the engine writes properties."""
        return f"spec.{self.field}"

    @property
    def path(self) -> tuple[str, str]:
        """As `managedFields` names it."""
        return ("f:spec", f"f:{self.field}")


@dataclass(frozen=True)
class PlatformObject:
    """One Kubernetes object.

    `name` is the logical name `<subject>:<detail>`; `depends_on` holds logical names of other objects. `wait`: whether
    `up` waits until it is ready. `patch`: only the given fields of an object that is somebody else's. `ignore_changes`:
    property paths that somebody else may change. `left`: property paths that are declared for a new object alone: those
    of one that exists keep their live values until it is replaced. `added_to`: property paths of lists and mappings to
    which another program adds where the object exists: no difference of the live ones counts. `replace_on`: property
    paths whose change has it made anew; `after`: logical names of objects whose roll-out ends before its own begins,
    where it is up. `number_range`: the number that stays as others set it, within its bounds. `retain`: whether the
    object outlives its declaration, so that a `destroy` leaves it. `delete_s`: how long its end may take, where that is
    longer than that of its pods. `aliases`: logical names that earlier versions gave it.
    """

    name: str
    manifest: dict[str, Any]
    wait: bool = False
    patch: bool = False
    depends_on: tuple[str, ...] = ()
    ignore_changes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    added_to: tuple[str, ...] = ()
    replace_on: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    number_range: NumberRange | None = None
    retain: bool = False
    delete_s: int = 0
    aliases: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.name.partition(":")[0]

    @property
    def kind(self) -> str:
        return str(self.manifest["kind"])


def live_value_name(name: str, path: str) -> str:
    """The deferred value in place of a field whose live value is to stay. `name`: the object's logical name; `path`:
    plain fields only (`spec.replicas`)."""
    return f"held {name} {path}"


def live_value_paths(item: PlatformObject, late: Iterable[str]) -> list[tuple[str, tuple[str, ...]]]:
    """The deferred values that keep live values of an object's fields: their names and the fields' paths."""
    begin = live_value_name(item.name, "")
    return [(name, tuple(name.removeprefix(begin).split("."))) for name in late if name.startswith(begin)]


def certificate_name(endpoint: str) -> str:
    """The deferred value that is the certificate of the endpoint's load balancer, as its platform names it."""
    return f"certificate of {endpoint}"


def zone_id_name(zone: str) -> str:
    """The deferred value that is the id of a DNS zone, which environments.yaml may call by its name."""
    return f"id of the zone {zone}"


def uid_name(name: str) -> str:
    """The deferred value that is the UID of the object with this logical name."""
    return f"{_UID}{name}"


def whose_uid(late_name: str) -> str:
    """The logical name of the object whose UID the deferred value is; "" for any other value."""
    return late_name.removeprefix(_UID) if late_name.startswith(_UID) else ""


def up_name(name: str) -> str:
    """The deferred value by which a run says whether the object of this logical name is already up."""
    return f"up {name}"


def late_names(objects: Iterable[PlatformObject]) -> tuple[str, ...]:
    """The deferred values that the objects need, each once, sorted."""
    return tuple(sorted({late.name for item in objects for late in _lates(item.manifest)}))


def _lates(value: Any) -> Iterator[LateValue]:
    if isinstance(value, LateValue):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _lates(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _lates(inner)
