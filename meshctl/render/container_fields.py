"""The fields of a workload that its container takes over as they are: a new one is a row here. PURE.

`templates/platform/pod.yaml.j2` prints them (by `pods`), `work` compares those that say what a job runs, and
`meshctl.changes.fields` shows them in a plan by their key. What takes more than a copy is made in `pods`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic.alias_generators import to_camel

from meshctl.model.deployment import Workload


@dataclass(frozen=True)
class ContainerField:
    """`name` is the attribute of `Workload`; in mesh.yaml and in Kubernetes' container it is written in camelCase.

    `is_work`: whether it says what a job runs, so that a finished job whose field is changed is run again.
    """

    name: str
    is_work: bool

    @property
    def key(self) -> str:
        return to_camel(self.name)


FIELDS: Final = (
    ContainerField("command", is_work=True),
    ContainerField("args", is_work=True),
    ContainerField("working_dir", is_work=True),
)


def values(workload: Workload) -> list[tuple[str, Any]]:
    """Kubernetes' key and value of each field that the workload sets, in the order of `FIELDS`."""
    pairs = [(field.key, getattr(workload, field.name)) for field in FIELDS]
    return [(key, value) for key, value in pairs if value]


def work(container: Mapping[str, Any]) -> dict[str, Any]:
    """Of a Kubernetes container: the fields that say what it runs."""
    return {field.key: container.get(field.key) or None for field in FIELDS if field.is_work}
