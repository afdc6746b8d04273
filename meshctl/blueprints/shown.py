"""What blueprints make, as the text of a mesh that a user can copy and change. PURE.

Called by `meshctl blueprint show`. The text is read back by `meshctl.load` as the same values: what is a number there
and text in the mesh is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from meshctl.blueprints.expansion import SECTION, Expansion
from meshctl.model.files.file_problems import mapping
from meshctl.model.mesh import Mesh

_SECTIONS: Final = ("storage", "workloads", "endpoints")
_WIDTH: Final = 120


class _Dumper(yaml.SafeDumper):
    """YAML 1.2 beside PyYAML's own 1.1: text is quoted where either would read another type."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (its parent's)
        return True


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+0123456789."),
)


def whole(expansion: Expansion) -> dict[str, Any]:
    """The mesh without blueprints: what they make stands in its sections, which are in their usual order."""
    data = mapping(expansion.data)
    order = [info.alias or name for name, info in Mesh.model_fields.items() if name != SECTION]
    return {key: data[key] for key in order if key in data}


def of_one(expansion: Expansion, name: str) -> dict[str, Any]:
    """The sections of a mesh with what one blueprint makes."""
    data, made = mapping(expansion.data), expansion.made.get(name, [])
    sections = {
        section: {entry: data[section][entry] for place, entry in made if place == section} for section in _SECTIONS
    }
    return {section: entries for section, entries in sections.items() if entries}


def text(document: Mapping[str, Any]) -> str:
    return yaml.dump(
        dict(document), Dumper=_Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=_WIDTH
    )
