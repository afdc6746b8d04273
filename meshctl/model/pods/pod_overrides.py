"""Which fields of a pod environments.yaml may set, and in which form. PURE.

Called by `environment` when it validates `workloads.NAME.pod`; what is accepted is merged by `nested`. Fields that
meshctl doesn't know are left to the cluster, which checks them at `plan`. What would take away something that meshctl
itself sets, or could not be merged with it, is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshctl.model.pods import object_names

_OWN_FIELDS: Final = {
    "restartPolicy": "it follows from the workload's `kind`",
    "serviceAccount": "each workload has an account of its own",
    "serviceAccountName": "each workload has an account of its own",
    "subdomain": "the pods of a gang find each other by it",
    "terminationGracePeriodSeconds": "write `drain: 10m` in the workload, or `checkpoint.grace` for training",
}
_NO_FIELDS: Final = {
    "metadata": "write `labels` and `annotations` beside `pod`",
    "spec": "write its fields under `pod` directly",
}
_MAIN: Final = "main"
_OWN_FIELDS_OF_MAIN: Final = {"args", "command", "env", "image", "ports", "resources", "workingDir"}
_USER_FIELDS: Final = ("fsGroup", "runAsGroup", "runAsNonRoot", "runAsUser")
_OWN_LABELS: Final = "meshctl.dev/"
_MAPPINGS: Final = ("affinity", "nodeSelector", "securityContext")
_LISTS: Final = ("tolerations",)
_NAMED_LISTS: Final = ("containers", "initContainers", "volumes")


def checked(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields, if all of them can be set. Raises: ValueError with what is wrong with the first that can't."""
    for field in fields:
        if field in _OWN_FIELDS:
            raise ValueError(f'"{field}" is set by meshctl; {_OWN_FIELDS[field]}')
        if field in _NO_FIELDS:
            raise ValueError(f'"{field}" is no field of a pod\'s spec; {_NO_FIELDS[field]}')
    empty = next(_without_value(fields), None)
    if empty is not None:
        raise ValueError(f'"{empty}" has no value: leave it out, or give it one')
    _check_forms(fields)
    _check_init_containers(fields)
    _check_main(fields)
    _check_node_selector(fields)
    _check_user(fields, "the pods")
    return fields


def _without_value(value: Any, place: str = "") -> Iterator[str]:
    """The places of null. Merged into what meshctl sets, a null would remove it."""
    if value is None:
        yield place
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _without_value(inner, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _without_value(inner, f"{place}[{index}]")


def _check_forms(fields: Mapping[str, Any]) -> None:
    for field in _MAPPINGS:
        if not isinstance(fields.get(field, {}), Mapping):
            raise ValueError(f'"{field}" must be a mapping')
    for field in _LISTS:
        if not _is_list_of_mappings(fields.get(field, [])):
            raise ValueError(f'"{field}" must be a list of mappings')
    for field in _NAMED_LISTS:
        _check_entries(field, fields.get(field, []), "name")
    for field in ("containers", "initContainers"):
        for index, container in enumerate(fields.get(field, [])):
            place = f"{field}[{index}]"
            _check_entries(f"{place}.volumeMounts", container.get("volumeMounts", []), "mountPath")
            if not _is_list_of_mappings(container.get("ports", [])):
                raise ValueError(f'"{place}.ports" must be a list of mappings')
            if not isinstance(container.get("securityContext", {}), Mapping):
                raise ValueError(f'"{place}.securityContext" must be a mapping')


def _is_list_of_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, Mapping) for entry in value)


def _check_entries(place: str, entries: Any, key: str) -> None:
    """Check that the entries differ in the key by which they are merged."""
    are_mappings = _is_list_of_mappings(entries)
    if not are_mappings or not all(isinstance(entry.get(key), str) and entry[key] for entry in entries):
        raise ValueError(f'"{place}" must be a list of mappings, each with a `{key}` that is a text')
    values = [entry[key] for entry in entries]
    twice = next((value for value in values if values.count(value) > 1), None)
    if twice is not None:
        raise ValueError(f'"{place}" has "{twice}" twice')


def _check_init_containers(fields: Mapping[str, Any]) -> None:
    for container in fields.get("initContainers", []):
        for beginning in (object_names.BEFORE, object_names.STAGE):
            if container["name"].startswith(beginning):
                raise ValueError(
                    f'"{container["name"]}": names of init containers that begin with "{beginning}" are set by meshctl;'
                    " choose another name"
                )


def _check_main(fields: Mapping[str, Any]) -> None:
    for container in fields.get("containers", []):
        if container["name"] != _MAIN:
            continue
        own = sorted(_OWN_FIELDS_OF_MAIN & container.keys())
        if set(own) == {"resources"} and _asks_for_claims_alone(container[own[0]]):
            own = []
        if own:
            raise ValueError(f'"{own[0]}" of the container main is set by meshctl; write it in the workload')
        _check_user(container, "the container main")


def _asks_for_claims_alone(resources: Any) -> bool:
    """Whether the field only adds claims of dynamic resource allocation, for which a mesh has no words."""
    return isinstance(resources, Mapping) and resources.keys() == {"claims"} and isinstance(resources["claims"], list)


def _check_node_selector(fields: Mapping[str, Any]) -> None:
    for label in fields.get("nodeSelector", {}):
        if str(label).startswith(_OWN_LABELS):
            raise ValueError(
                f'"{label}" in "nodeSelector" is set by meshctl: the pods run on the nodes of the workload\'s `pool`'
            )


def _check_user(fields: Mapping[str, Any], whose: str) -> None:
    """Refuse the user here: it decides about more than the security context, namely capabilities, HOME and the users of
    shared files."""
    for field in _USER_FIELDS:
        if field in fields.get("securityContext", {}):
            raise ValueError(
                f'"{field}" of {whose} is set by meshctl; write `user: root`, `user: image` or a number in the workload'
            )
