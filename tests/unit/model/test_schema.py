"""The JSON Schema that editors use says what the models say."""

from __future__ import annotations

from meshctl.model.environment import Environments
from meshctl.model.mesh import Mesh


def test_keys_are_camel_case_and_closed() -> None:
    schema = Mesh.model_json_schema()
    assert set(schema["required"]) == {"apiVersion", "kind", "name", "pools"}
    assert schema["additionalProperties"] is False
    assert "readOnly" in schema["$defs"]["Mount"]["properties"]
    assert schema["$defs"]["Cpu"]["properties"]["memory"]["anyOf"][0]["type"] == "string"


def test_nodes_are_a_number_or_a_range() -> None:
    nodes = Mesh.model_json_schema()["$defs"]["Pool"]["properties"]["nodes"]
    assert [form["type"] for form in nodes["anyOf"]] == ["integer", "object"]


def test_an_accelerator_is_a_section_or_a_list_and_says_which() -> None:
    sections = Mesh.model_json_schema()["$defs"]
    one, several = sections["Pool"]["properties"]["accelerator"]["anyOf"][:2]
    assert one == {"$ref": "#/$defs/Accelerator"}
    assert several == {"items": one, "minItems": 1, "type": "array"}
    assert sections["Accelerator"]["required"] == ["count"]
    assert sections["Accelerator"]["anyOf"] == [{"required": [key]} for key in ("model", "memory", "share")]
    assert sections["Accelerator"]["properties"]["share"]["anyOf"][0]["pattern"].startswith("^mig-")


def test_environments_are_told_apart_by_provider() -> None:
    schema = Environments.model_json_schema()
    (section,) = schema["properties"]["environments"]["patternProperties"].values()
    assert set(section["discriminator"]["mapping"]) == {"aws", "coreweave", "kubernetes", "onprem"}


def test_a_value_that_is_read_before_it_is_checked_keeps_its_form() -> None:
    sections = Environments.model_json_schema()["$defs"] | Mesh.model_json_schema()["$defs"]
    assert sections["AwsEnvironment"]["properties"]["account"]["anyOf"][0]["pattern"] == "^[0-9]{12}$"
    assert sections["Health"]["properties"]["port"]["minLength"] == 1
