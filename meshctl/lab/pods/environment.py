"""A container's environment and command line, as the kubelet would make them. PURE.

Called by `lifecycle` once the Secrets and ConfigMaps that `references` names have been read.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

Object = dict[str, Any]
Data = Mapping[
    tuple[str, str], Mapping[str, bytes] | None
]  # ("Secret" | "ConfigMap", name) -> its values; None: missing
# `$` and what follows it, as far as the kubelet reads it as one expression (kubernetes:
# third_party/forked/golang/expansion/expand.go)
VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\((?P<name>[^)]*)\)|(?P<other>.))", re.DOTALL)
SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


class MissingReferenceError(Exception):
    """A Secret, ConfigMap or key that a container needs and that doesn't exist (yet)."""


def references(pod: Object) -> set[tuple[str, str]]:
    """Every Secret and ConfigMap that the pod's containers and volumes name."""
    spec = pod["spec"]
    names: set[tuple[str, str]] = set()
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        names.update(_container_references(container))
    for volume in spec.get("volumes", []):
        sources = volume["projected"].get("sources", []) if "projected" in volume else [volume]
        for source in sources:
            if "secret" in source:
                names.add(("Secret", source["secret"].get("secretName") or source["secret"]["name"]))
            if "configMap" in source:
                names.add(("ConfigMap", source["configMap"]["name"]))
    return names


def _container_references(container: Object) -> Iterator[tuple[str, str]]:
    for variable in container.get("env", []):
        source = variable.get("valueFrom", {})
        if "secretKeyRef" in source:
            yield "Secret", source["secretKeyRef"]["name"]
        if "configMapKeyRef" in source:
            yield "ConfigMap", source["configMapKeyRef"]["name"]
    for source in container.get("envFrom", []):
        if "secretRef" in source:
            yield "Secret", source["secretRef"]["name"]
        if "configMapRef" in source:
            yield "ConfigMap", source["configMapRef"]["name"]


def values_of(kind: str, resource: Object | None) -> Mapping[str, bytes] | None:
    """The values of a Secret or ConfigMap object."""
    if resource is None:
        return None
    if kind == "Secret":
        return {key: base64.b64decode(text) for key, text in (resource.get("data") or {}).items()}
    plain = {key: text.encode() for key, text in (resource.get("data") or {}).items()}
    return plain | {key: base64.b64decode(text) for key, text in (resource.get("binaryData") or {}).items()}


def variables(container: Object, pod: Object, data: Data) -> dict[str, str]:
    """The container's environment. Raises MissingReferenceError."""
    result: dict[str, str] = {}
    for source in container.get("envFrom", []):
        result.update(_env_from(source, data))
    for variable in container.get("env", []):
        if "valueFrom" in variable:
            value = _value_from(variable["valueFrom"], container, pod, data)
            if value is not None:
                result[variable["name"]] = value
        else:
            result[variable["name"]] = expand(variable.get("value", ""), result)
    return result


def of_api_server(url: str) -> dict[str, str]:
    """Where a pod finds the API server, as the kubelet tells every container."""
    parts = urlsplit(url)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    return {"KUBERNETES_SERVICE_HOST": parts.hostname or "", "KUBERNETES_SERVICE_PORT": str(port)}


def expand(text: str, values: Mapping[str, str]) -> str:
    """Kubernetes' `$(NAME)`: unknown names stay as they are, `$$(NAME)` is a literal `$(NAME)`. Of a character beyond
    ASCII that follows a `$`, Kubernetes takes the first byte for a character, and so does this."""

    def put(match: re.Match[str]) -> str:
        if match["dollar"]:
            return "$"
        if match["name"] is not None:
            return values.get(match["name"], match.group(0))
        first, *rest = match["other"].encode()
        return f"${chr(first)}{bytes(rest).decode(errors='replace')}"

    return VARIABLE.sub(put, text)


def as_seen_inside(pod: Object, address: str) -> Object:
    """The pod as its own processes are to see it: with the address that they can listen on, not the API's."""
    status = {**pod.get("status", {}), "podIP": address, "podIPs": [{"ip": address}], "hostIP": address}
    return {**pod, "status": status}


def _env_from(source: Object, data: Data) -> dict[str, str]:
    kind = "Secret" if "secretRef" in source else "ConfigMap"
    reference = source["secretRef" if kind == "Secret" else "configMapRef"]
    values = data.get((kind, reference["name"]))
    if values is None:
        if reference.get("optional"):
            return {}
        raise MissingReferenceError(f'{kind.lower()} "{reference["name"]}" not found')
    return {f"{source.get('prefix', '')}{key}": value.decode() for key, value in values.items()}


def _value_from(source: Object, container: Object, pod: Object, data: Data) -> str | None:
    if "fieldRef" in source:
        return field(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        section, _, name = source["resourceFieldRef"]["resource"].partition(".")
        return str(container.get("resources", {}).get(section, {}).get(name, "0"))
    kind = "Secret" if "secretKeyRef" in source else "ConfigMap"
    reference = source["secretKeyRef" if kind == "Secret" else "configMapKeyRef"]
    values = data.get((kind, reference["name"]))
    if values is not None and reference["key"] in values:
        return values[reference["key"]].decode()
    if reference.get("optional"):
        return None
    missing = "not found" if values is None else f"has no key {reference['key']}"
    raise MissingReferenceError(f'{kind.lower()} "{reference["name"]}" {missing}')


def field(pod: Object, path: str) -> str:
    """The downward API's field of a pod; "" when it isn't set."""
    match = SUBSCRIPT.fullmatch(path)
    if match:
        return str(pod["metadata"].get(match.group(1), {}).get(match.group(2), ""))
    if path in {"metadata.labels", "metadata.annotations"}:
        items = sorted(pod["metadata"].get(path.split(".")[1], {}).items())
        return "\n".join(f'{key}="{value}"' for key, value in items)
    value: Any = pod
    for part in path.split("."):
        value = value.get(part, {}) if isinstance(value, dict) else {}
    return str(value) if isinstance(value, str) else ""
