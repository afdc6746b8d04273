"""Templates to checked Kubernetes objects. PURE but for reading `templates/`.

Called by the other modules of `meshctl.render`. The rules that keep a user's text from becoming structure:

1. every value in a template passes through `tojson`; one that doesn't is refused when the template is rendered
2. an undefined name is an error
3. the text is parsed, and must be exactly the documents that the caller expects: these kinds, in this order
4. names, labels and the top level of each object are checked
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from meshctl.errors import MeshError
from meshctl.render.objects import LateValue

FOLDER = Path(__file__).parents[2] / "templates"

KINDS: dict[str, tuple[str, ...]] = {
    # kind -> apiVersion, and the top-level fields it may have besides apiVersion, kind and metadata
    "Namespace": ("v1",),
    "ServiceAccount": ("v1", "automountServiceAccountToken"),
    "Role": ("rbac.authorization.k8s.io/v1", "rules"),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "roleRef", "subjects"),
    "Secret": ("v1", "type", "stringData"),
    "ConfigMap": ("v1", "data"),
    "Service": ("v1", "spec"),
    "PersistentVolume": ("v1", "spec"),
    "PersistentVolumeClaim": ("v1", "spec"),
    "Node": ("v1",),
    "Deployment": ("apps/v1", "spec"),
    "StatefulSet": ("apps/v1", "spec"),
    "DaemonSet": ("apps/v1", "spec"),
    "LeaderWorkerSet": ("leaderworkerset.x-k8s.io/v1", "spec"),
    "Job": ("batch/v1", "spec"),
    "CronJob": ("batch/v1", "spec"),
    "Certificate": ("cert-manager.io/v1", "spec"),
    "PodDisruptionBudget": ("policy/v1", "spec"),
    "PriorityClass": ("scheduling.k8s.io/v1", "value", "preemptionPolicy", "globalDefault", "description"),
    "StorageClass": (
        "storage.k8s.io/v1",
        "provisioner",
        "parameters",
        "reclaimPolicy",
        "volumeBindingMode",
        "allowVolumeExpansion",
    ),
}

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
_SURROGATES = re.compile(r"\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})")


class _Json(str):
    """Text that `tojson` made: the only thing a template may print."""

    __slots__ = ()


def tojson(value: Any) -> _Json:
    """JSON that YAML reads as the same value: ASCII only, and no halves of characters."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return _Json(_SURROGATES.sub(_astral, text))


def _astral(match: re.Match[str]) -> str:
    high, low = (int(half, 16) for half in match.groups())
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _finalize(value: Any) -> _Json:
    if not isinstance(value, _Json):
        raise TypeError(f"a template prints {value!r} without `tojson`")
    return value


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        autoescape=False,  # noqa: S701  no HTML here; `tojson` is what quotes, and `_finalize` enforces it
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["tojson"] = tojson
    return environment


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Safe YAML, plus `!output NAME`; a key given twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.constructor.ConstructorError(
                None, None, f"a key is given twice: {sorted(keys)}", node.start_mark
            )
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def _late(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> LateValue:
    return LateValue(str(loader.construct_scalar(node)))


_Loader.add_constructor("!output", _late)


def render(
    template: str,
    kinds: tuple[str, ...],
    values: Mapping[str, Any],
    more_kinds: Mapping[str, tuple[str, ...]] | None = None,
) -> list[dict[str, Any]]:
    """The objects of one template, which must be of exactly `kinds`. `more_kinds`: kinds of one platform alone, in the
    form of `KINDS`. Raises MeshError when a value doesn't fit."""
    text = _environment().get_template(template).render(values)
    try:
        documents = [document for document in yaml.load_all(text, _Loader) if document is not None]
    except yaml.YAMLError as error:
        raise MeshError(f"can't render {template}", why=str(error), hint="report this") from error
    if [document.get("kind") for document in documents] != list(kinds):
        kinds_found = ", ".join(str(document.get("kind")) for document in documents)
        raise MeshError(f"can't render {template}", why=f"it gave {kinds_found or 'nothing'}, not {', '.join(kinds)}")
    for document in documents:
        _check(document, {**KINDS, **(more_kinds or {})})
    return documents


def _check(manifest: dict[str, Any], known_kinds: Mapping[str, tuple[str, ...]]) -> None:
    kind, metadata = manifest["kind"], manifest.get("metadata") or {}
    api_version, *fields = known_kinds[kind]
    what = f"can't render {kind} {metadata.get('name')!r}"
    unknown = sorted(set(manifest) - {"apiVersion", "kind", "metadata", *fields})
    if unknown or manifest["apiVersion"] != api_version:
        raise MeshError(what, why=f"unexpected {', '.join(unknown) or manifest['apiVersion']}")
    if not _NAME.fullmatch(str(metadata.get("name"))):
        raise MeshError(what, why="its name is no DNS name", hint="lower-case letters, digits and `-`")
    for key, value in (metadata.get("labels") or {}).items():
        if not (_LABEL_KEY.fullmatch(key) and isinstance(value, str) and _LABEL_VALUE.fullmatch(value)):
            hint = "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit at both ends"
            raise MeshError(what, why=f"{key}={value!r} is no Kubernetes label", hint=hint)
