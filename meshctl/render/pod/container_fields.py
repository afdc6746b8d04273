"""The fields of a workload that its container takes over as they are: a new one is a row here. PURE.

`templates/platform/pod.yaml.j2` prints them (by `pods`), `work` compares those that say what a job runs, and
`meshctl.changes.fields` shows them in a plan by their key. What takes more than a copy is made in `pods`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic.alias_generators import to_camel

from meshctl.model.deployment import Workload
from meshctl.model.pods import pod_variables
from meshctl.render.pod import literal


@dataclass(frozen=True)
class ContainerField:
    """`name` is the attribute of `Workload`; in mesh.yaml and in Kubernetes' container it is written in camelCase.

    `is_work`: whether it says what a job runs, so that a finished job whose field is changed is run again.
    `is_expanded`: whether Kubernetes reads `$(NAME)` in it; then it is a list of texts.
    """

    name: str
    is_work: bool
    is_expanded: bool = False

    @property
    def key(self) -> str:
        return to_camel(self.name)


FIELDS: Final = (
    ContainerField("command", is_work=True, is_expanded=True),
    ContainerField("args", is_work=True, is_expanded=True),
    ContainerField("working_dir", is_work=True),
)


def values(workload: Workload, variables: Collection[str]) -> list[tuple[str, Any]]:
    """Kubernetes' key and value of each field that the workload sets, in the order of `FIELDS`. `variables`: the names
    of the container's variables."""
    pairs = [(field, getattr(workload, field.name)) for field in FIELDS]
    return [(field.key, _written(field, value, variables)) for field, value in pairs if value]


def _written(field: ContainerField, value: Any, variables: Collection[str]) -> Any:
    return expanded(value, variables) if field.is_expanded else value


def expanded(texts: Iterable[str], variables: Collection[str]) -> tuple[str, ...]:
    """A command or arguments for the manifest of a container with these variables."""
    references = [name for name in variables if name.startswith(pod_variables.PREFIX)]
    return tuple(literal.written(text, references, variables) for text in texts)


def work(container: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a Kubernetes container that say what it runs."""
    return {field.key: container.get(field.key) or None for field in FIELDS if field.is_work}
