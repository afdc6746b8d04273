"""The Deployment of those replicas that serve on nodes which other pools lend. PURE.

Called by `platform`. Its pods are those of the workload's own Deployment, in the same queue and behind the same
Service, but with one label more, and on nodes of the lenders alone. So the pods of the own Deployment are never on a
node that somebody may take back: ADR 0079. Both Deployments have pods that the selector of the own one matches;
Kubernetes tells them apart by their owners (ControllerRef), as the hash of the template is a part of what a ReplicaSet
selects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment, Workload
from meshctl.model.keys import lending, scaling
from meshctl.model.pods import object_names
from meshctl.render.controllers.lending import tolerations
from meshctl.render.objects import NumberRange, PlatformObject

DETAIL: Final = "lent-deployment"
LENT: Final = "lent"  # ends the name of the PriorityClass of such pods, beside those of the kinds of workloads
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_NAME_LABEL: Final = "app.kubernetes.io/name"
_LABELS: Final = {lending.LENT_LABEL: "true"}


def lent_servers(deployment: Deployment, workload: Workload, server: PlatformObject) -> list[PlatformObject]:
    """`server`: the workload's own Deployment, as it is declared, with what it depends on."""
    if not lending.serves_on_lent_nodes(workload):
        return []
    # a migration counts on as many replicas as the other side has
    least = 0 if workload.paused else max(workload.lower_bound - workload.own_at_most, 0)
    return [
        replace(
            server,
            name=f"workload/{workload.name}:{DETAIL}",
            manifest=_manifest(deployment, workload, server.manifest, least),
            wait=False,  # its pods start when somebody lends a node
            depends_on=(*server.depends_on, f"platform:priority-{LENT}"),
            # not its places, which may become fewer while it has more: the scaler brings it there
            number_range=None if workload.paused else NumberRange("replicas", least, workload.at_most),
        )
    ]


def _manifest(deployment: Deployment, workload: Workload, own: Mapping[str, Any], replicas: int) -> dict[str, Any]:
    name, metadata, spec = object_names.lent(workload.name), own["metadata"], own["spec"]
    annotations = {**metadata["annotations"], scaling.REPLICAS_ANNOTATION: scaling.words(0, workload.lent_places)}
    template = spec["template"]
    template_labels = {**template["metadata"]["labels"], **_LABELS}
    return {
        **own,
        "metadata": {
            **metadata,
            "name": name,
            "labels": {**metadata["labels"], _NAME_LABEL: name, **_LABELS},
            "annotations": annotations,
        },
        "spec": {
            **spec,
            "replicas": replicas,
            "selector": {"matchLabels": {**spec["selector"]["matchLabels"], **_LABELS}},
            # one more pod would wait for one more node
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
            "template": {
                **template,
                "metadata": {**template["metadata"], "labels": template_labels},
                "spec": _pod(deployment, workload, template["spec"]),
            },
        },
    }


def _pod(deployment: Deployment, workload: Workload, own: Mapping[str, Any]) -> dict[str, Any]:
    selector = {key: value for key, value in (own.get("nodeSelector") or {}).items() if key != POOL_LABEL}
    wanted = list(own.get("tolerations") or ())
    wanted += [each for each in tolerations(deployment, workload) if each not in wanted]
    return {
        **own,
        "priorityClassName": f"{deployment.mesh}-{LENT}",  # it must not push out pods of the owner
        "nodeSelector": {**selector, MESH_LABEL: deployment.mesh},
        "affinity": _affinity(own.get("affinity") or {}, workload.lenders),
        **({"tolerations": wanted} if wanted else {}),
    }


def _affinity(own: Mapping[str, Any], lenders: tuple[str, ...]) -> dict[str, Any]:
    """The pod's affinity, on nodes of the lenders alone. Of several terms one must hold, so that each gets the rule."""
    rule = {"key": POOL_LABEL, "operator": "In", "values": list(lenders)}
    of_nodes = own.get("nodeAffinity") or {}
    terms = (of_nodes.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    with_rule = [{**term, "matchExpressions": [*(term.get("matchExpressions") or ()), rule]} for term in terms]
    return {**own, "nodeAffinity": {**of_nodes, _REQUIRED: {"nodeSelectorTerms": with_rule}}}
