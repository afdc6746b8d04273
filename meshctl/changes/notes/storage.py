"""What a plan says of storage beside its resources: what becomes ephemeral or lasting, what pods leave behind. PURE.

Called by `meshctl.deploy.runs.plans` for `group`.
"""

from __future__ import annotations

from collections.abc import Iterable

from meshctl.changes.field_change import EPHEMERAL, FieldChange
from meshctl.changes.steps import Step, subject_of
from meshctl.model.deployment import Deployment

_STATEFUL_SET = "kubernetes:apps/v1:StatefulSet"
_VOLUMES = {
    "replace": "its pods are stopped and then started anew, as what a StatefulSet says of volumes is fixed; their "
    "volumes stay, with all that is in them",
    "delete": "the volumes of its pods stay in the cluster, used by nothing; `destroy` asks before they go",
}


def declared(old: Deployment | None, new: Deployment) -> dict[str, tuple[FieldChange, ...]]:
    """By subject: the storage that is `ephemeral` now and was not, or the reverse. It may change no resource."""
    before = old.ephemeral if old else {}
    return {
        f"storage/{name}": (FieldChange(EPHEMERAL, before[name], ephemeral),)
        for name, ephemeral in new.ephemeral.items()
        if before.get(name, ephemeral) != ephemeral
    }


def notes(steps: Iterable[Step]) -> list[str]:
    """What happens to the volumes of the pods of stateful sets, which no resource stands for."""
    texts = []
    for step in sorted(steps, key=lambda step: step.urn):
        words = _VOLUMES.get(step.action or "") if step.type == _STATEFUL_SET else None
        if words:
            texts.append(f"{subject_of(step.urn)}: {words}")
    return texts
