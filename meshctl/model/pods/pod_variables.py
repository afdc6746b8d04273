"""The `MESH_…` variables of a pod: which workload has which, and how the texts of a mesh refer to them. PURE.

`meshctl.model.pods.texts` checks the references of both files with it, `meshctl.render` makes the variables and writes
the texts down for Kubernetes.

In `env`, `command` and `args`, and in the `fabric.env` of an environment, `$(MESH_POOL)` stands for the variable's
value. Directly before such a name `$$` is one `$`, so that `$$(MESH_POOL)` is the text `$(MESH_POOL)`. All else is
text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

PREFIX: Final = "MESH_"
ENVIRONMENT: Final = "MESH_ENVIRONMENT"
POOL: Final = "MESH_POOL"
NODES: Final = "MESH_NODES"
RANK: Final = "MESH_RANK"
LEADER: Final = "MESH_LEADER"
HOSTS: Final = "MESH_HOSTS"
ACCELERATORS: Final = "MESH_ACCELERATORS"
ADDRESS: Final = "MESH_ADDRESS"
REPLICA: Final = "MESH_REPLICA"

OF_EVERY_POD: Final = frozenset({ENVIRONMENT, POOL, ACCELERATORS, ADDRESS})
_OF_KIND: Final = {
    "training": frozenset({NODES, RANK, LEADER, HOSTS}),
    "batch": frozenset({NODES, RANK}),
}
OF_GROUPS: Final = frozenset({NODES, RANK, LEADER, HOSTS, REPLICA})
# Set only in the pods of a workload that names them: a new variable would roll out all that is up.
_WHERE_NAMED: Final = frozenset({ACCELERATORS, ADDRESS, HOSTS})
_WHERE_NAMED_IN_BATCH: Final = frozenset({NODES, RANK})

# a whole run of `$` and a name in parentheses
EXPRESSION: Final = re.compile(r"(?<!\$)(\$+)\((MESH_[A-Za-z0-9_]+)\)")


def url_of(store: str) -> str:
    """The variable with the URL of an object store: `my-weights` -> `MESH_MY_WEIGHTS_URL`."""
    return f"{PREFIX}{re.sub(r'[^A-Za-z0-9]', '_', store).upper()}_URL"


def names(kind: str, object_stores: Iterable[str], *, is_grouped: bool = False) -> frozenset[str]:
    """The variables that a workload of this kind can refer to. `object_stores`: those that it mounts; `is_grouped`:
    whether its replicas are groups of pods."""
    of_kind = OF_GROUPS if is_grouped else _OF_KIND.get(kind, frozenset())
    return OF_EVERY_POD | of_kind | {url_of(store) for store in object_stores}


def where_named(kind: str, *, is_grouped: bool = False) -> frozenset[str]:
    """The variables that only those pods have whose workload's texts name them."""
    if is_grouped:
        return _WHERE_NAMED - OF_GROUPS
    return _WHERE_NAMED | _WHERE_NAMED_IN_BATCH if kind == "batch" else _WHERE_NAMED


def mesh_variables_in(texts: Iterable[str]) -> frozenset[str]:
    """Every word in the texts that looks like one of the variables, in whatever way it is used: `$(MESH_HOSTS)`,
    `$MESH_HOSTS` of a shell, `os.environ["MESH_HOSTS"]`."""
    return frozenset(word for text in texts for word in re.findall(r"\bMESH_[A-Za-z0-9_]+\b", text))


def references(text: str) -> list[str]:
    """The names that the text refers to, as they come in it."""
    return [name for dollars, name in EXPRESSION.findall(text) if len(dollars) % 2]
