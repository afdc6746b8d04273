"""No string of a mesh adds an object, a field or a deferred value: it stays itself, or it is refused."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from meshctl import render
from meshctl.errors import MeshError
from meshctl.model.deployment import Deployment, Workload
from meshctl.render import LateValue
from meshctl.render.pod import container_fields
from meshctl.render.templates import _environment, _Loader, tojson
from tests.unit.render.sample import sample

HOSTILE = [
    "x\n---\nkind: Secret\napiVersion: v1\n",
    '"\n      hostNetwork: true\n      x: "',
    "}]}\nprivileged: true",
    "!output secret.hf-token",
    "!!python/object/apply:os.system [id]",
    "{{ 7 * 7 }}{% raw %}",
    "&a [*a]",
    "# comment",
    "<<",
    "'; kill -9 1; '",
    "tab\tbell\x07null\x00del\x7f next\x85 line\u2028 bom\ufeff",
    "caf\u00e9 \u65e5\u672c \U0001f600 </script>",
    "yes",
    "0x10",
    "~",
    "",
    "\\u0022,\\n",
]


def shape(value: Any) -> Any:
    """The structure without its strings."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def with_text(text: str) -> Deployment:
    """A deployment in which every free string of a user is `text`."""
    deployment = sample("coreweave")
    workloads = []
    for workload in deployment.workloads:
        update: dict[str, Any] = {
            **{field.name: _of_text(field.name, text) for field in container_fields.FIELDS},
            "image": text,
            "env": {"PLAIN": text},
            "mounts": tuple(mount.model_copy(update={"path": text}) for mount in workload.mounts),
        }
        if workload.health:
            update["health"] = workload.health.model_copy(update={"path": text})
        workloads.append(workload.model_copy(update=update))
    stores = tuple(
        store.model_copy(update={"bucket": text, "prefix": text, "region": text, "pod_endpoint": text})
        for store in deployment.object_stores
    )
    systems = tuple(item.model_copy(update={"storage_class": text}) for item in deployment.file_systems)
    pools = tuple(pool.model_copy(update={"machine": text}) for pool in deployment.pools)
    update = {"workloads": tuple(workloads), "object_stores": stores, "file_systems": systems, "pools": pools}
    return deployment.model_copy(update=update)


def _of_text(name: str, text: str) -> Any:
    """A value of this field of a workload, made of nothing but the text."""
    declared: Any = Workload.model_fields[name].annotation
    annotation = TypeAdapter(declared)
    for value in (text, (text, text), {"key": text}):
        with contextlib.suppress(ValidationError):
            return annotation.validate_python(value)
    raise AssertionError(f"{name} holds no text: say here what a hostile value of it is")


@pytest.mark.parametrize("text", HOSTILE)
def test_free_text_stays_text(text: str) -> None:
    plain, hostile = with_text("plain"), with_text(text)
    for renderer in (render.platform_objects, render.node_objects):
        expected, found = renderer(plain), renderer(hostile)
        assert [item.name for item in found] == [item.name for item in expected]
        if text:  # an empty region or endpoint is left out
            assert [shape(item.manifest) for item in found] == [shape(item.manifest) for item in expected]
    main = {item.name: item for item in render.platform_objects(hostile)}["workload/chat:deployment"]
    container = main.manifest["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == text
    assert container["args"] == [text, text]
    assert {"name": "PLAIN", "value": text} in container["env"]


@pytest.mark.parametrize("text", [text for text in HOSTILE if text not in ("yes", "0x10", "")])
def test_what_must_be_a_name_or_a_label_is_refused(text: str) -> None:
    deployment = sample("aws")
    with pytest.raises(MeshError):
        render.platform_objects(deployment.model_copy(update={"mesh": text}))
    with pytest.raises(MeshError):
        render.platform_objects(deployment.model_copy(update={"labels": {"team": text}}))
    with pytest.raises(MeshError):
        render.platform_objects(deployment.model_copy(update={"labels": {text: "x"}}))


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_read_back_as_the_same_value(text: str) -> None:
    value = {"key": [text, {text: text}, 1, 1.5, None, True]}
    assert yaml.load(f"x: {tojson(value)}", _Loader) == {"x": value}  # noqa: S506


def test_deferred_values_come_from_the_template_only() -> None:
    assert yaml.load('a: !output "x.y"\nb: "!output x.y"', _Loader) == {"a": LateValue("x.y"), "b": "!output x.y"}  # noqa: S506


def test_a_template_can_not_print_a_value_without_tojson() -> None:
    with pytest.raises(TypeError, match="without `tojson`"):
        _environment().from_string("{{ name }}").render(name="x")


def test_a_key_given_twice_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError, match="twice"):
        yaml.load("a: 1\na: 2", _Loader)  # noqa: S506
