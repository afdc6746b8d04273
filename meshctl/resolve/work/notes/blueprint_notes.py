"""Which workloads, storage and endpoints come from a blueprint: mesh.yaml has them nowhere by their names. PURE.

Called by `meshctl.resolve`; `check -v` and `plan` show it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from meshctl.model.keys.blueprints import Rag
from meshctl.model.mesh import Mesh

_NOUNS = {"workloads": "workload", "storage": "storage", "endpoints": "endpoint"}


def notes(mesh: Mesh) -> Iterator[str]:
    """One for each blueprint, of what of it is in this mesh, and one for an index that `migrate` does not move."""
    sections: dict[str, Mapping[str, object]] = {
        "workloads": mesh.workloads,
        "storage": mesh.storage,
        "endpoints": mesh.endpoints,
    }
    for blueprint, made in mesh.made.items():
        names = [f"{_NOUNS[section]} {name}" for section, name in made if name in sections[section]]
        if names:
            yield f"blueprint {blueprint} makes {', '.join(names)}; `meshctl blueprint show {blueprint}` prints them"
        if ("storage", f"{blueprint}-index") in made and isinstance(mesh.blueprints.get(blueprint), Rag):
            yield (
                f"blueprint {blueprint} makes its index from its documents in each environment: `migrate` moves the "
                "documents, and names once the index is complete there"
            )
