"""What a plan says of lending: which pools a job may run on, and how much a pool lends. PURE.

Called by `fields`. That pods of what serves are counted from now on is the same change as the queue of a job.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from meshctl.model.deployed_pools import POOL_LABEL
from meshctl.model.keys import kai
from meshctl.model.keys.job_order import QUEUE_LABEL
from meshctl.model.keys.lending import MANAGED_LABEL, PARENT_ANNOTATION

Change = tuple[str, Any, Any]  # the term, and both values

_QUEUE_TYPE: Final = "kubernetes:kueue.x-k8s.io/v1beta2:ClusterQueue"
_POD: Final = ("spec", "template", "spec")
_SELECTOR: Final = f'spec.template.spec.nodeSelector["{POOL_LABEL}"]'
_KAI_QUEUE: Final = "kubernetes:scheduling.run.ai/v2:Queue"
_WITH_PODS: Final = ("kubernetes:apps/v1:Deployment", "kubernetes:batch/v1:Job")
TERMS: Final = {
    ("kubernetes:apps/v1:Deployment", f'spec.template.metadata.labels["{QUEUE_LABEL}"]'): "lend: queue",
    **{(type_, f'spec.template.metadata.labels["{kai.QUEUE_LABEL}"]'): "lend: queue" for type_ in _WITH_PODS},
    **{(type_, "spec.template.spec.schedulerName"): "scheduler" for type_ in _WITH_PODS},
    (_KAI_QUEUE, "spec.resources.gpu.quota"): "accelerators of the pool",
    (_KAI_QUEUE, "spec.resources.gpu.limit"): "accelerators at most",
}
# what comes and goes with the queue
HIDDEN: Final = "|".join(
    rf"^spec\.template\.metadata\.(?:labels|annotations).*{re.escape(key)}"
    for key in (MANAGED_LABEL, PARENT_ANNOTATION, kai.PREEMPTIBILITY_LABEL)
)


def in_words(type_: str, path: str, old: Any, new: Any) -> tuple[Change, ...] | None:
    """The changes that the property at this path belongs to; None for all that has to do with no loan. `old`, `new`:
    the declared objects."""
    if type_ == _QUEUE_TYPE and path.startswith("spec.resourceGroups"):
        return tuple(_quotas(old, new))
    if path.startswith("spec.template.spec.affinity") or path == _SELECTOR:
        before, after = _pools(old), _pools(new)
        if before != after and "," in f"{before}{after}":
            return (("burst: pools", before, after),)
    return None


def _pools(inputs: Any) -> str:
    """The pools on whose nodes pods may run."""
    pod = _at(inputs, *_POD) or {}
    own = (pod.get("nodeSelector") or {}).get(POOL_LABEL)
    required = _at(pod, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution") or {}
    rules = [
        rule
        for term in required.get("nodeSelectorTerms") or ()
        for rule in term.get("matchExpressions") or ()
        if rule.get("key") == POOL_LABEL
    ]
    return str(own) if own else ", ".join(rules[0].get("values") or ()) if rules else ""


def _quotas(old: Any, new: Any) -> list[Change]:
    before, after = _amounts(old), _amounts(new)
    return [
        (term, before.get(term), after.get(term))
        for term in sorted({*before, *after})
        if before.get(term) != after.get(term)
    ]


def _amounts(inputs: Any) -> dict[str, str]:
    """Of the first resource, which is the one that is lent; the others are covered only because Kueue asks for it."""
    amounts: dict[str, str] = {}
    for group in (_at(inputs, "spec", "resourceGroups") or ())[:1]:
        for number, flavor in enumerate(group.get("flavors") or ()):
            resource = (_at(flavor, "resources") or [{}])[0]
            name = resource.get("name", "")
            if number == 0:
                amounts[f"{name} of the pool"] = str(resource.get("nominalQuota"))
                amounts[f"{name} lent at most"] = str(resource.get("lendingLimit"))
            else:
                amounts[f"{name} borrowed at most from {flavor.get('name')}"] = str(resource.get("borrowingLimit"))
    return amounts


def _at(inputs: Any, *keys: str) -> Any:
    for key in keys:
        inputs = inputs.get(key) if isinstance(inputs, Mapping) else None
    return inputs
