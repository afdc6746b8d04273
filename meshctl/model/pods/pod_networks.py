"""The annotation by which Multus attaches pods to more networks: its forms, and two of them joined. PURE.

`environment` validates with it what environments.yaml says of networks, `render` joins the networks of a pool's fabric
with those of a workload. Multus reads names with commas between them, or a list of mappings as JSON
(k8snetworkplumbingwg/multus-cni, parsePodNetworkAnnotation).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

ANNOTATION: Final = "k8s.v1.cni.cncf.io/networks"  # k8snetworkplumbingwg, Kubernetes Network CRD de-facto standard
_SIGNS_OF_JSON: Final = re.compile(r'[\[{"]')


def checked_name(text: str) -> str:
    """The text, if Multus can read it as an entry of the annotation (parsePodNetworkObjectText). Raises ValueError."""
    if not re.fullmatch(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(@[^\s/,@]{1,15})?", text):
        raise ValueError(f'"{text}" is not a NetworkAttachmentDefinition: write NAME, NAMESPACE/NAME or NAME@INTERFACE')
    return text


def checked(annotations: dict[str, str]) -> dict[str, str]:
    """The annotations, if Multus can read the one for networks among them. Raises ValueError."""
    text = annotations.get(ANNOTATION, "")
    if _SIGNS_OF_JSON.search(text):
        _entries(text)
    else:
        for name in _names(text):
            checked_name(name)
    return annotations


def joined(first: str, second: str) -> str:
    """Both lists as one value of the annotation, each network once."""
    if not _SIGNS_OF_JSON.search(f"{first}{second}"):
        return ", ".join(dict.fromkeys([*_names(first), *_names(second)]))
    entries = _entries(first)
    return json.dumps([*entries, *(entry for entry in _entries(second) if entry not in entries)])


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _entries(text: str) -> list[dict[str, Any]]:
    """The networks as mappings, as Multus reads them. Raises ValueError."""
    if not _SIGNS_OF_JSON.search(text):
        return [_entry(name) for name in _names(text)]
    try:
        entries = json.loads(text)
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(each, Mapping) and each.get("name") for each in entries):
        raise ValueError(
            f'"{ANNOTATION}" must name each NetworkAttachmentDefinition: write NAME, NAMESPACE/NAME or NAME@INTERFACE'
            ' with commas between them, or JSON like [{"name": "NAME", "namespace": "NAMESPACE"}]'
        )
    return entries


def _entry(name: str) -> dict[str, Any]:
    path, _, interface = name.partition("@")
    namespace, _, network = path.rpartition("/")
    entry = {"name": network, "namespace": namespace, "interface": interface}
    return {key: value for key, value in entry.items() if value}
