"""The properties that an engine step changes, in the words of a mesh or of the platform's own documents. PURE.

Called by `grouping` for each step. A property has the mesh's own term where there is one, else the field of AWS or
Kubernetes without the path that leads to it. What only meshctl or the engine put there is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshctl.changes import leader_worker_sets
from meshctl.changes.field_change import EPHEMERAL, FILES_ROLL_OUT, LATER, ORDER, ROLL_OUT, FieldChange
from meshctl.changes.steps import PropertyChange, Step
from meshctl.changes.words import (
    drain_words,
    gang_words,
    group_words,
    lending_words,
    probe_words,
    scale_words,
    security,
)
from meshctl.model.keys import elastic, job_order
from meshctl.model.pods import pod_files, pod_groups, pod_networks
from meshctl.model.resource_types import BUCKET, RECORD_SET
from meshctl.platforms import registry
from meshctl.platforms.interface import Words
from meshctl.render.pod import container_fields, literal
from meshwire.marks import UNKNOWN_STRING

_POD = "spec.template.spec"
_GRACE = f"{_POD}.terminationGracePeriodSeconds"
_CONTAINER = f"{_POD}.containers[0]"
_ENV = f"{_CONTAINER}.env"
_EXPANDED = frozenset(field.key for field in container_fields.FIELDS if field.is_expanded)
_KUBERNETES = "kubernetes:"

# What a provider's property is called. (what the resource's type begins with, property path) -> term. Those of one
# platform alone are its own `words.terms`.
_TERMS = {
    (RECORD_SET, "ResourceRecords[0].Value"): "address",
    (BUCKET, "ForceDestroy"): EPHEMERAL,
    ("kubernetes:batch/v1:Job", "spec.suspend"): "suspended",
    ("kubernetes:batch/v1:Job", f'metadata.annotations["{job_order.ANNOTATION}"]'): "after",
    ("kubernetes:batch/v1:Job", f'metadata.labels["{job_order.QUEUE_LABEL}"]'): "queue",
    ("kubernetes:batch/v1:Job", f'metadata.annotations["{elastic.ANNOTATION}"]'): "elastic",
    ("kubernetes:batch/v1:Job", "spec.parallelism"): "nodes",
    ("kubernetes:batch/v1:Job", "spec.completions"): "nodes",
    ("kubernetes:apps/v1:", "spec.replicas"): "replicas",
    (leader_worker_sets.LEADER_WORKER_SET, "spec.replicas"): "replicas",
    **scale_words.TERMS,
    **lending_words.TERMS,
    (leader_worker_sets.LEADER_WORKER_SET, leader_worker_sets.SIZE): "nodes",
    ("kubernetes:apps/v1:Deployment", "spec.strategy.rollingUpdate.maxSurge"): ORDER,
    ("kubernetes:core/v1:Service", f'spec.selector["{pod_groups.ROLE_LABEL}"]'): "pods that get requests",
    ("kubernetes:core/v1:PersistentVolume", "spec.capacity.storage"): "size",
    ("kubernetes:core/v1:PersistentVolumeClaim", "spec.resources.requests.storage"): "size",
    ("kubernetes:core/v1:PersistentVolumeClaim", "spec.storageClassName"): "storage class",
    ("kubernetes:", _GRACE): "grace in seconds",
    ("kubernetes:", 'spec.template.metadata.annotations["prometheus.io/port"]'): "metrics port",
    ("kubernetes:", 'spec.template.metadata.annotations["prometheus.io/path"]'): "metrics path",
    ("kubernetes:", 'spec.template.metadata.annotations["prometheus.io/scheme"]'): "metrics scheme",
}
_HIDDEN = re.compile(
    r'(^|\.|\["?)__'  # bookkeeping of the kubernetes plugin
    r"|pulumi\.com/"
    r"|^spec\.progressDeadlineSeconds$"  # made from `health.startup`, as the startup probe is
    r"|^spec\.strategy\.rollingUpdate\.maxUnavailable$"  # said by maxSurge, of which it is the reverse
    r"|^spec\.template\.metadata\.annotations.*prometheus\.io/scrape"  # comes and goes with its port
    r"|^spec\.template\.metadata\.annotations.*meshctl\.dev/gang"  # said by the pods' scheduling gate
    r"|^metadata\.annotations.*meshctl\.dev/revision"  # said by the Secret's own values
    r"|^LaunchTemplateData\.TagSpecifications\[[12]\]"  # what the first one says, for volumes and interfaces
    rf"|{lending_words.HIDDEN}"  # comes and goes with the queue
)
_REVISION = re.compile(r"^spec\.template\.metadata\.annotations.*meshctl\.dev/(?:secrets|object-storage)-revision\b")
_FILES_REVISION = re.compile(r"^spec\.template\.metadata\.annotations.*meshctl\.dev/files-revision\b")
# A file of a pod, in a ConfigMap or a Secret: its term, and what stands for its text, which no plan shows.
_FILE_VOLUMES = {pod_files.FILES_VOLUME: "file", pod_files.SECRETS_VOLUME: "secret"}
_FILES_IN = {"kubernetes:core/v1:ConfigMap": "file", "kubernetes:core/v1:Secret": "secret"}
_FILE = {"text": "not shown"}
_ENTRY = re.compile(r'^(?:data|stringData)(?:\.|\[")([^"\]]+)')
_LABEL = re.compile(r'(?:^|\.)(labels|annotations)(?:\.|\[")([^"\]]+)')
_COPIED = "|".join(field.key for field in container_fields.FIELDS)
_WHOLE = re.compile(rf"^{re.escape(_CONTAINER)}\.({_COPIED}|image|lifecycle)\b")
_PROBE = re.compile(rf"^{re.escape(_CONTAINER)}\.(readiness|liveness|startup)Probe\b")
# What is shown in words of its own: path -> its term, and how its value is said.
_IN_WORDS: dict[str, tuple[str, Callable[[Any], str | None]]] = {
    f"{_POD}.securityContext": ("user", security.user),
    f"{_CONTAINER}.securityContext": ("capabilities", security.capabilities),
    f"{_POD}.schedulingGates": (gang_words.TERM, gang_words.start),
}
_CALLED = {"lifecycle": "stop command"}
_LISTS = {"spec.loadBalancerSourceRanges": "cidrs"}  # lists that are shown whole
_PREFIXES = (f"{_CONTAINER}.", f"{_POD}.", "spec.template.", "LaunchTemplateData.", "spec.")
_DOCUMENTS = {"PolicyDocument": "policy", "AssumeRolePolicyDocument": "trust policy", "configurationValues": "settings"}


def _rest(entry: Mapping[str, Any]) -> Any:
    """All of an entry but its name."""
    return {key: value for key, value in entry.items() if key != "name"} or None


def _volume(entry: Mapping[str, Any]) -> Any:
    claim = (entry.get("persistentVolumeClaim") or {}).get("claimName")
    if claim:
        return f"claim {claim}"
    size_limit = (entry.get("emptyDir") or {}).get("sizeLimit")
    kinds = {
        "ephemeral": "a volume that goes with its pod",
        "emptyDir": f"a folder of the node, at most {size_limit}" if size_limit else "a folder of the node",
        "configMap": "settings",
    }
    return next((words for kind, words in kinds.items() if kind in entry), _rest(entry))


def _toleration(entry: Mapping[str, Any]) -> str:
    return f"{entry.get('value', 'any value')}{':' * ('effect' in entry)}{entry.get('effect', '')}"


# Lists whose entries have names: an entry that comes moves the places of all after it, which is no change of theirs.
# (path of the list, term, key of the name, what an entry holds)
_NAMED: tuple[tuple[str, str, str, Callable[[Mapping[str, Any]], Any]], ...] = (
    (_ENV, "env", "name", lambda entry: entry.get("value", entry.get("valueFrom"))),
    (f"{_CONTAINER}.ports", "port", "name", lambda entry: entry.get("containerPort")),
    (f"{_CONTAINER}.volumeMounts", "mount", "name", lambda entry: entry.get("mountPath")),
    (f"{_POD}.volumes", "volume", "name", _volume),
    (f"{_POD}.initContainers", "init container", "name", _rest),
    (f"{_POD}.tolerations", "toleration", "key", _toleration),
    (f"{_POD}.imagePullSecrets", "imagePullSecrets", "name", lambda entry: entry.get("name")),
    ("spec.ports", "port", "name", lambda entry: entry.get("port")),
    ("Tags", "tag", "Key", lambda entry: entry.get("Value")),
    ("LaunchTemplateData.TagSpecifications[0].Tags", "tag", "Key", lambda entry: entry.get("Value")),
)


def fields(step: Step) -> list[FieldChange]:
    """What the step changes, each thing once, in the order of its properties."""
    for of_program in (scale_words.of_scaler(step), gang_words.of_program(step)):
        if of_program is not None:
            return [FieldChange(*change) for change in of_program]
    changes: list[FieldChange] = []
    for view in leader_worker_sets.views(step):
        for change in view.properties:
            for part in _parts(view, change):
                changes += [field for field in _of(view, part) if field not in changes]
    return changes


def _parts(step: Step, change: PropertyChange) -> list[PropertyChange]:
    """Labels and annotations one by one, also where the first comes or the last goes."""
    if not change.path.endswith(("metadata.labels", "metadata.annotations")):
        return [change]
    keys = {key for inputs in (step.old, step.new) for key in value_at(inputs, change.path) or ()}
    return [PropertyChange(f'{change.path}["{key}"]', change.forces_replace) for key in sorted(keys)]


def _of(step: Step, change: PropertyChange) -> list[FieldChange]:
    if _HIDDEN.search(change.path) or scale_words.is_said_elsewhere(step, change.path):
        return []
    for path, term, key, value in _NAMED:
        if change.path == path or change.path.startswith((f"{path}[", f"{path}.")):
            return [*_changes_of_named(step, path, term, key, value), *_mounted_files(step, path)]
    in_own_words = _in_own_words(step, change)
    if in_own_words is not None:
        return in_own_words
    list_path = change.path.split("[")[0]
    if list_path in _LISTS:
        return [_field(_LISTS[list_path], step, list_path, forces_replace=_forces(step, list_path))]
    if change.path in _DOCUMENTS:
        return list(_documents(step, change, _DOCUMENTS[change.path]))
    of_container = _of_container(step, change)
    if of_container is not None:
        return of_container
    if change.path == "metadata" and change.forces_replace:  # the provider's sign for an object that never got ready
        return [FieldChange("object", "failed", "made anew", forces_replace=True)]
    long = _of_platforms(lambda words: words.long_terms).get((step.type, change.path.split("[")[0]))
    if long:
        return [FieldChange(long, None, None, change.forces_replace)]
    return [_field(_term(step, change.path), step, change.path, forces_replace=change.forces_replace)]


def _of_container(step: Step, change: PropertyChange) -> list[FieldChange] | None:
    """A field of a pod's container that is shown whole, and its probes in the words of `health`; None for any other."""
    if _PROBE.match(change.path):
        old, new = (value_at(inputs, _CONTAINER) for inputs in (step.old, step.new))
        words = probe_words.changes(old, new)
        return [FieldChange(term, before, after, _forces(step, _CONTAINER)) for term, before, after in words]
    match = _WHOLE.match(change.path)
    if match is None:
        return None
    path, key = match[0], match[1]
    field = _field(_CALLED.get(key, key), step, path, forces_replace=_forces(step, path))
    return [_as_read(field) if key in _EXPANDED else field]


def _in_own_words(step: Step, change: PropertyChange) -> list[FieldChange] | None:
    """The changes of a property that has a wording of its own; None for any other property."""
    size = group_words.size(change.path, *(value_at(inputs, "spec") for inputs in (step.old, step.new)))
    size = size or scale_words.replicas(change.path, step.old, step.new)
    if size is not None:
        return [FieldChange(*size)]
    drain = drain_words.change(step) if change.path == _GRACE else None
    if drain is not None:
        return [FieldChange(*drain, _forces(step, _GRACE))]
    of_loans = lending_words.in_words(step.type, change.path, step.old, step.new)
    if of_loans is not None:
        return [FieldChange(*each, change.forces_replace) for each in of_loans]
    for path, (term, in_words) in _IN_WORDS.items():
        if change.path == path or change.path.startswith((f"{path}.", f"{path}[")):
            old, new = (in_words(_without_unknown(value_at(inputs, path))) for inputs in (step.old, step.new))
            return [FieldChange(term, old, new, _forces(step, path))] if old != new else []
    entry = _ENTRY.match(change.path)
    file = pod_files.path_of(entry[1]) if entry else None
    kind = _FILES_IN.get(step.type)
    if file is None or kind is None:
        return None
    before, after = (value_at(inputs, change.path) is not None for inputs in (step.old, step.new))
    # one that comes or goes is said with the pods, which mount it; values of Secrets may be masked as a whole
    return [FieldChange(f"{kind} {file}", _FILE, _FILE, change.forces_replace)] if before == after else []


def _mounted_files(step: Step, path: str) -> list[FieldChange]:
    """The files among the mounts that come or go, by their paths."""
    if path != f"{_CONTAINER}.volumeMounts":
        return []
    old, new = (
        {
            (each["name"], each["mountPath"])
            for each in value_at(inputs, path) or ()
            if each.get("name") in _FILE_VOLUMES
        }
        for inputs in (step.old, step.new)
    )
    return [
        FieldChange(
            f"{_FILE_VOLUMES[each[0]]} {each[1]}", _FILE if each in old else None, _FILE if each in new else None
        )
        for each in sorted(old ^ new)
    ]


def _field(term: str, step: Step, path: str, *, forces_replace: bool) -> FieldChange:
    return FieldChange(
        term, _without_unknown(value_at(step.old, path)), _without_unknown(value_at(step.new, path)), forces_replace
    )


def _changes_of_named(
    step: Step, path: str, term: str, key: str, value: Callable[[Mapping[str, Any]], Any]
) -> list[FieldChange]:
    old, new = (_by_name(value_at(inputs, path), key, value) for inputs in (step.old, step.new))
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    changes = [FieldChange(f"{term} {name}", old.get(name), new.get(name), _forces(step, path)) for name in names]
    return [_as_read(field) if path == _ENV else field for field in changes]


def _as_read(field: FieldChange) -> FieldChange:
    """With texts as the container gets them, and so as the mesh has them: the manifest may hold `$$` for `$`."""
    return replace(field, old=_read(field.old), new=_read(field.new))


def _read(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_read(each) for each in value]
    return literal.read(value) if isinstance(value, str) else value


def _by_name(entries: Any, key: str, value: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    items = entries if isinstance(entries, list) else []
    # volumes of files are named by what is in them
    shown = [each for each in items if isinstance(each, Mapping) and each.get(key) not in _FILE_VOLUMES]
    return {str(entry.get(key, "")): _without_unknown(value(entry)) for entry in shown}


def _forces(step: Step, path: str) -> bool:
    return any(change.forces_replace for change in step.properties if change.path.startswith(path))


def _documents(step: Step, change: PropertyChange, term: str) -> Iterator[FieldChange]:
    """The parts of a JSON document that differ, not the two documents on a line each."""
    documents = [_parsed(value_at(inputs, change.path)) for inputs in (step.old, step.new)]
    if not all(isinstance(document, dict) for document in documents):
        yield FieldChange(term, documents[0], documents[1], change.forces_replace)
        return
    old, new = map(_leaves, documents)
    for path in sorted({*old, *new}):
        for before, after in _pairs(old.get(path), new.get(path)):
            yield FieldChange(f"{term} {path}", before, after, change.forces_replace)


def _pairs(old: Any, new: Any) -> list[tuple[Any, Any]]:
    """What differs between two values: of two lists the items that are gone and those that are new, as their order
    means nothing."""
    if isinstance(old, list) or isinstance(new, list):
        before, after = ([] if side is None else side if isinstance(side, list) else [side] for side in (old, new))
        gone, come = [item for item in before if item not in after], [item for item in after if item not in before]
        return [*((item, None) for item in gone), *((None, item) for item in come)]
    return [(old, new)] if old != new else []


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (TypeError, ValueError):
        return _without_unknown(text)


def _leaves(document: Any, path: str = "") -> dict[str, Any]:
    if isinstance(document, dict):
        inner = [_leaves(value, f"{path}.{key}".strip(".")) for key, value in document.items()]
    elif isinstance(document, list) and any(isinstance(item, dict | list) for item in document):
        inner = [_leaves(value, f"{path}[{index}]") for index, value in enumerate(document)]
    else:
        return {path: document}
    return {key: value for leaves in inner for key, value in leaves.items()}


def _without_unknown(value: Any) -> Any:
    """The value without the engine's sign for what it does not know yet."""
    if isinstance(value, dict):
        return {key: _without_unknown(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_unknown(inner) for inner in value]
    return LATER if value == UNKNOWN_STRING else value


def _term(step: Step, path: str) -> str:
    terms = {**_TERMS, **_of_platforms(lambda words: words.terms)}
    term = next((term for (type_, p), term in terms.items() if p == path and step.type.startswith(type_)), "")
    if term:
        return term
    if _REVISION.match(path):
        return ROLL_OUT
    if _FILES_REVISION.match(path):
        return FILES_ROLL_OUT
    entry = _ENTRY.match(path)
    if entry and step.type == "kubernetes:core/v1:Secret":
        return "credentials of the registry" if entry[1] == ".dockerconfigjson" else f"secret {entry[1]}"
    claim = re.match(r"spec\.volumeClaimTemplates\[\d+\]", path)
    if claim:
        name = value_at(step.new, f"{claim[0]}.metadata.name") or value_at(step.old, f"{claim[0]}.metadata.name")
        return f"size of {name}" if path.endswith("requests.storage") else f"volumes of {name}"
    if pod_networks.ANNOTATION in path:
        return "fabric.networks"
    label = _LABEL.search(path)
    if label and step.type.startswith((_KUBERNETES, *_label_types())):
        return f"{label[1].removesuffix('s')} {label[2]}"
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), "")
    return path.removeprefix(prefix)


def _of_platforms(part: Callable[[Words], Mapping[tuple[str, str], str]]) -> dict[tuple[str, str], str]:
    return registry.merged(lambda platform: part(platform.words))


def _label_types() -> tuple[str, ...]:
    return tuple(name for platform in registry.platforms() for name in platform.words.label_types)


def value_at(inputs: Any, path: str) -> Any:
    """The value at a provider's property path (`spec.ports[0].port`, `metadata.labels["a.b/c"]`); None where there
    is none."""
    current = inputs
    for quoted, name, index in re.findall(r'\["([^"]+)"\]|([^.\[\]]+)|\[(\d+)\]', path):
        if index:
            current = current[int(index)] if isinstance(current, list) and int(index) < len(current) else None
        else:
            current = current.get(quoted or name) if isinstance(current, Mapping) else None
    return current
