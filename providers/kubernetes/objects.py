"""Kubernetes objects as Pulumi holds them: names, ids, the shape of the state. Called by every module of the package.
PURE.

Source of the state's shape: the official plugin 4.34.2, as recorded in tests/contract/kubernetes_recording.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from meshwire.marks import FIELD_MANAGER
from providers.plugin.provider import ProviderError
from providers.plugin.values import UNKNOWN, Secret

Json = dict[str, Any]

AUTONAMED: Final = "pulumi.com/autonamed"
SKIP_AWAIT: Final = "pulumi.com/skipAwait"
TIMEOUT_SECONDS: Final = "pulumi.com/timeoutSeconds"
REPLACE_UNREADY: Final = "pulumi.com/replaceUnready"
PATCH_FORCE: Final = "pulumi.com/patchForce"
ENABLE_PATCH_FORCE: Final = "PULUMI_K8S_ENABLE_PATCH_FORCE"  # a variable: as the annotation, for every object
PATCH_FIELD_MANAGER: Final = "pulumi.com/patchFieldManager"
DELETION_PROPAGATION: Final = "pulumi.com/deletionPropagationPolicy"


@dataclass(frozen=True)
class Gvk:
    """Group ("" for core), version and kind of an object."""

    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.api_version}/{self.kind}"


_QUANTITY: Final = re.compile(r"(\d+(?:\.\d+)?)(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_FACTORS: Final = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)},
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)},
}
NAMESPACE: Final = Gvk("", "v1", "Namespace")


def token_gvk(token: str) -> Gvk:
    """`kubernetes:apps/v1:Deployment` -> apps, v1, Deployment; `core` is the group "".

    Raises:
        ProviderError: a token that stands for no Kubernetes object (a Helm release).
    """
    _, module, kind = token.split(":", 2)
    group, _, version = module.rpartition("/")
    if not group or group in {"helm.sh", "yaml", "kustomize"}:
        raise ProviderError("Unsupported", f"{token} needs the official kubernetes plugin")
    return Gvk("" if group == "core" else group, version, kind)


def gvk_of(token: str, inputs: Mapping[str, Any]) -> Gvk:
    """What the object says it is; the token where it says nothing (an import)."""
    api_version, kind = inputs.get("apiVersion"), inputs.get("kind")
    if not isinstance(api_version, str) or not isinstance(kind, str):
        stated = token_gvk(token)
        return Gvk(stated.group, stated.version, stated.kind.removesuffix("Patch") or stated.kind)
    token_gvk(token)
    group, _, version = api_version.rpartition("/")
    return Gvk(group, version, kind)


def is_patch(token: str, inputs: Mapping[str, Any]) -> bool:
    """`NodePatch` with kind `Node`: changes some fields of an object that somebody else made."""
    return token.endswith("Patch") and not str(inputs.get("kind", "")).endswith("Patch")


def metadata(obj: Mapping[str, Any]) -> Json:
    value = obj.get("metadata")
    return value if isinstance(value, dict) else {}


def name_of(obj: Mapping[str, Any]) -> str:
    name = metadata(obj).get("name")
    return name if isinstance(name, str) else ""


def namespace_of(obj: Mapping[str, Any]) -> str:
    namespace = metadata(obj).get("namespace")
    return namespace if isinstance(namespace, str) else ""


def annotation(obj: Mapping[str, Any], key: str) -> str:
    annotations = metadata(obj).get("annotations")
    value = annotations.get(key) if isinstance(annotations, dict) else None
    return value if isinstance(value, str) else ""


def is_true(obj: Mapping[str, Any], key: str) -> bool:
    return annotation(obj, key) == "true"


def object_id(obj: Mapping[str, Any]) -> str:
    """`namespace/name`, or `name` alone for an object of the cluster."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def is_placeholder(outputs: Mapping[str, Any]) -> bool:
    """Whether these outputs were never answered by an API server, which gives every object a UID: those of an object
    that an interrupted run had begun to create (`meshctl.engine.pending`).
    """
    meta = metadata(outputs)
    return "name" in meta and not meta.get("uid")


def split_id(object_id: str) -> tuple[str, str]:
    namespace, _, name = object_id.rpartition("/")
    return namespace, name


def field_manager(urn: str, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> str:
    """The manager under which fields are applied: annotation, else that of the state, else one made of the URN.

    The official plugin draws a random one. Ours names the resource, so that an object which an interrupted run left
    behind can be told from one that belongs to somebody else.
    """
    chosen = annotation(inputs, PATCH_FIELD_MANAGER)
    manager = outputs.get("__fieldManager")
    if chosen:
        return chosen
    if isinstance(manager, str) and manager:
        return manager
    return f"{FIELD_MANAGER}-{hashlib.sha256(urn.encode()).hexdigest()[:8]}"


def from_pulumi(value: Any) -> Any:
    """Inputs as the API wants them: `x_kubernetes_…` keys with dashes, no nulls."""
    if isinstance(value, dict):
        return {_dashes(key): from_pulumi(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [from_pulumi(item) for item in value]
    return value


def to_pulumi(value: Any) -> Any:
    """An object of the API as SDKs read it: `x-kubernetes-…` keys with underscores."""
    if isinstance(value, dict):
        return {_underscores(key): to_pulumi(item) for key, item in value.items()}
    if isinstance(value, list):
        return [to_pulumi(item) for item in value]
    return value


def _dashes(key: str) -> str:
    return key.replace("_", "-") if key.startswith("x_kubernetes_") else key


def _underscores(key: str) -> str:
    return key.replace("-", "_") if key.startswith("x-kubernetes-") else key


def is_secret(obj: Mapping[str, Any]) -> bool:
    return obj.get("kind") == "Secret" and obj.get("apiVersion") == "v1"


def is_crd(obj: Mapping[str, Any]) -> bool:
    return obj.get("kind") == "CustomResourceDefinition" and str(obj.get("apiVersion")).startswith(
        "apiextensions.k8s.io/"
    )


def normalise(inputs: Mapping[str, Any]) -> Json:
    """Inputs in the one form in which they are stored and compared: a Secret's `stringData` becomes `data` (base64)."""
    manifest: Json = from_pulumi(copy.deepcopy(dict(inputs)))
    text = manifest.get("stringData")
    if is_secret(manifest) and isinstance(text, dict):
        del manifest["stringData"]
        data = manifest.get("data")
        coded = {key: value if value is UNKNOWN else _base64(value) for key, value in text.items()}
        manifest["data"] = {**(data if isinstance(data, dict) else {}), **coded}
    elif is_secret(manifest) and text is UNKNOWN:
        del manifest["stringData"]
        manifest["data"] = UNKNOWN
    return manifest


def _base64(value: Any) -> str:
    return base64.b64encode(str(value).encode()).decode()


def marked(obj: Mapping[str, Any]) -> Json:
    """A Secret's contents are secret whatever the program said of them."""
    if not is_secret(obj):
        return dict(obj)
    return {key: Secret(value) if key in {"data", "stringData"} else value for key, value in obj.items()}


def checkpoint(*, inputs: Mapping[str, Any], live: Mapping[str, Any], manager: str, initial_api_version: str) -> Json:
    """The state of a resource: the live object, with what was asked for and who applied it."""
    return {
        **marked(to_pulumi(live)),
        "__inputs": marked(to_pulumi(inputs)),
        "__initialApiVersion": initial_api_version,
        "__fieldManager": manager,
    }


def state(declared: Json, live: Json, manager: str, olds: Mapping[str, Any]) -> Json:
    """`checkpoint`, with the API version under which the object was first created."""
    first = olds.get("__initialApiVersion") or declared.get("apiVersion") or live.get("apiVersion")
    return checkpoint(inputs=declared, live=live, manager=manager, initial_api_version=str(first))


def preview_state(declared: Json, live: Json, manager: str, olds: Mapping[str, Any]) -> Json:
    """Without status: a dry run's is empty, and a program that reads it would take that for the answer."""
    return state(declared, {key: value for key, value in live.items() if key != "status"}, manager, olds)


def prune(live: Any, inputs: Any) -> Any:
    """What the live object says of the fields that `inputs` set: the inputs that would make it so.

    A value that means the same stays as it was given: the API server spells quantities in its own way ("5120Mi" is
    "5Gi"), and leaves out what is empty, zero or false.
    """
    if isinstance(inputs, dict) and isinstance(live, dict):
        declared_part = {key: item for key, item in inputs.items() if key in live or _is_zero(item)}
        return {key: prune(live[key], item) if key in live else item for key, item in declared_part.items()}
    if isinstance(inputs, list) and isinstance(live, list):
        return _prune_list(live, inputs)
    return inputs if _same_quantity(live, inputs) else live


def _is_zero(value: Any) -> bool:
    return value is False or value in ("", 0) or value in ([], {})


def _same_quantity(one: Any, other: Any) -> bool:
    """Source: Kubernetes API reference, "Quantity"."""
    matches = [_QUANTITY.fullmatch(value) if isinstance(value, str) else None for value in (one, other)]
    if matches[0] is None or matches[1] is None:
        return False
    left, right = (Decimal(match[1]) * _FACTORS[match[2] or ""] for match in matches if match is not None)
    return left == right


def _prune_list(live: list[Any], inputs: list[Any]) -> list[Any]:
    """Items pair by `name` where they have one: others (admission controllers) may have added items of their own."""
    if not all(isinstance(item, dict) for item in (*live, *inputs)):
        return live
    if all("name" in item for item in (*live, *inputs)):
        by_name = {item["name"]: item for item in live}
        return [prune(by_name[item["name"]], item) for item in inputs if item["name"] in by_name]
    return [prune(one, other) for one, other in zip(live, inputs, strict=False)]


def imported_inputs(live: Mapping[str, Any]) -> Json:
    """Inputs of an object that is being imported: all of it but what the API server writes itself."""
    imported = copy.deepcopy({key: value for key, value in live.items() if key != "status"})
    meta = metadata(imported)
    for key in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        meta.pop(key, None)
    notes = meta.get("annotations")
    if isinstance(notes, dict):
        notes.pop("deployment.kubernetes.io/revision", None)
        notes.pop("kubectl.kubernetes.io/last-applied-configuration", None)
        if not notes:
            del meta["annotations"]
    return imported
