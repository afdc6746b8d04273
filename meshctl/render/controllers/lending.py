"""What Kueue is told of pools that lend nodes, and of the pods that it counts. PURE.

Called by `platform` and `pods`. Fields are those of kueue.x-k8s.io/v1beta2 (sigs.k8s.io/kueue v0.18.2, apis/kueue). A
pool's ClusterQueue has all accelerators of the pool as its quota; it lends those of `lends_nodes`, and its jobs find
the lent ones of other pools as further flavors, without any quota of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from meshctl.model.deployment import MESH_LABEL, POOL_LABEL, Deployment, Pool, Workload
from meshctl.model.files.nested import merged
from meshctl.model.keys import job_order, lending
from meshctl.render.controllers import kai_queues
from meshctl.render.objects import PlatformObject
from meshctl.render.pod import pods
from meshctl.render.templates import render

_KINDS: Final = dict.fromkeys(("ResourceFlavor", "ClusterQueue", "LocalQueue"), (lending.API, "spec"))
_DETAILS: Final = ("flavor", "cluster-queue", "queue")
_OF_EVERY_POD: Final = ("cpu", "ephemeral-storage", "memory")
# More than any cluster has, and little enough to be added up; amounts are written as Kubernetes gives them back.
_PLENTY_OF_BYTES: Final = "1P"
_PLENTY: Final = "1M"
_BYTES: Final = ("memory", "ephemeral-storage", "hugepages-")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
_HEAVIEST: Final = 100  # of the weights of preferences
_NAMESPACE_LABEL: Final = "kubernetes.io/metadata.name"


def queues_of(deployment: Deployment, workload: Workload) -> list[str]:
    """The logical names of the queues that it needs: the LocalQueue of its pool, which is created last, and the one of
    KAI Scheduler that its pods are in."""
    of_kueue = [f"pool/{workload.pool}:{_DETAILS[-1]}"] if has_queue(deployment, workload) else []
    of_kai = kai_queues.logical_name(deployment, workload)
    return [*of_kueue, *([of_kai] if of_kai else [])]


def has_queue(deployment: Deployment, workload: Workload) -> bool:
    """Whether the workload is, or may be, in the queue of its pool that is made here."""
    pool = next((each for each in lending.kueue_pools(deployment) if each.name == workload.pool), None)
    return pool is not None and workload.queue in ("", pool.name) and lending.is_in_queue(workload, pool)


def objects(deployment: Deployment, running: Mapping[str, list[dict[str, Any]]], needs: str) -> list[PlatformObject]:
    """`running`: the manifests that pods of each workload are made from. `needs`: the logical name of the namespace."""
    all_objects: list[PlatformObject] = []
    for pool in lending.kueue_pools(deployment):
        manifests = render("platform/lending.yaml.j2", tuple(_KINDS), _values(deployment, pool, running), _KINDS)
        flavor, cluster_queue, queue = manifests
        names = [f"pool/{pool.name}:{detail}" for detail in _DETAILS]
        lenders = [f"pool/{lender.name}:{_DETAILS[0]}" for lender in lending.lenders_of(deployment, pool)]
        all_objects += [
            PlatformObject(names[0], flavor),
            PlatformObject(names[1], cluster_queue, depends_on=(names[0], *lenders)),
            PlatformObject(names[2], queue, depends_on=(needs, names[1])),
        ]
    order = {f":{detail}": number for number, detail in enumerate(_DETAILS)}
    all_objects.sort(key=lambda item: order[item.name[item.name.rindex(":") :]])
    return [*all_objects, *kai_queues.objects(deployment)]


def _values(deployment: Deployment, pool: Pool, running: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    counted = [each.name for each in deployment.workloads if lending.is_in_queue(each, pool)]
    manifests = [manifest for name in counted for manifest in running.get(name, ())]
    resources = {*_OF_EVERY_POD, *_resources(manifests)} - {pool.device_resource}
    lenders = lending.lenders_of(deployment, pool)
    return {
        "name": lending.object_name(deployment, pool),
        "queue": pool.name,
        "labels": pods.common_labels(deployment),
        "namespace": deployment.namespace,
        "node_labels": deployment.node_labels(pool.name),
        "cohort": deployment.mesh,
        "namespace_labels": {_NAMESPACE_LABEL: deployment.namespace},
        "device": pool.device_resource,
        "covered": [pool.device_resource, *sorted(resources)],
        "unlimited": [(name, _plenty(name)) for name in sorted(resources)],
        "flavors": [
            {"name": lending.object_name(deployment, pool), "quota": _own_quota(deployment, pool)},
            *(
                {"name": lending.object_name(deployment, lender), "quota": _borrowed_quota(lender)}
                for lender in lenders
            ),
        ],
    }


def _plenty(resource: str) -> str:
    return _PLENTY_OF_BYTES if resource.startswith(_BYTES) else _PLENTY


def _own_quota(deployment: Deployment, pool: Pool) -> list[tuple[str, str]]:
    lent = 0 if lending.kai_counts(deployment) else lending.lent_devices(pool)
    return [
        ("nominalQuota", str(lending.devices(pool))),
        ("borrowingLimit", "0"),
        ("lendingLimit", str(lent)),
    ]


def _borrowed_quota(lender: Pool) -> list[tuple[str, str]]:
    return [("nominalQuota", "0"), ("borrowingLimit", str(lending.lent_devices(lender)))]


def _resources(manifests: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """All that containers ask for, those of environments.yaml included."""
    for manifest in manifests:
        spec = manifest["spec"]["template"]["spec"]
        for container in (*spec.get("containers", ()), *spec.get("initContainers", ())):
            requests_and_limits = (value for key, value in container.items() if key == "resources")
            for amounts in (each for form in requests_and_limits for each in form.values()):
                yield from amounts if isinstance(amounts, Mapping) else ()


def pod_values(deployment: Deployment, workload: Workload) -> dict[str, Any]:
    """The values of `pod.yaml.j2` by which KAI Scheduler places the pods; none for pods of the cluster's own one."""
    return kai_queues.pod_values(deployment, workload)


def pod_labels(workload: Workload) -> dict[str, str]:
    """Labels by which Kueue counts the pods of what serves. They are on the pods alone: Kueue lets no Deployment whose
    pods are ready change its queue."""
    if not lending.is_counted(workload):
        return {}
    return {job_order.QUEUE_LABEL: workload.queue, lending.MANAGED_LABEL: "true"}


def pod_annotations(workload: Workload) -> dict[str, str]:
    if not lending.is_counted(workload):
        return {}
    return {lending.PARENT_ANNOTATION: "deployment"}


def node_selector(deployment: Deployment, workload: Workload) -> dict[str, str]:
    """The nodes of its pool; of a job that may borrow those of the mesh, among which Kueue chooses as it starts."""
    return {MESH_LABEL: deployment.mesh} if workload.lenders else deployment.node_labels(workload.pool)


def tolerations(deployment: Deployment, workload: Workload) -> list[dict[str, str]]:
    """Those of its pool, and for a job that may borrow those of its lenders. Kueue adds none: the job's pods could not
    change any more."""
    own = pods.tolerations(deployment, deployment.pool(workload.pool))
    of_lenders = (each for name in workload.lenders for each in pods.tolerations(deployment, deployment.pool(name)))
    return [*own, *(each for each in of_lenders if each not in own)]


def pools_in(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The pools on whose nodes pods of this Job's `spec` may run: its own one first, and its lenders."""
    pod = spec["template"]["spec"]
    own = (pod.get("nodeSelector") or {}).get(POOL_LABEL)
    return (str(own),) if own else tuple(str(name) for rule in _pool_rules(pod) for name in rule.get("values") or ())


def without_places(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The `spec` of a Job without the pools on whose nodes it may run, or would rather, and without what their taints
    need."""
    pod = dict(spec["template"]["spec"])
    selector = {key: value for key, value in (pod.get("nodeSelector") or {}).items() if key != POOL_LABEL}
    affinity = dict(pod.get("affinity") or {})
    if _pool_rules(pod):
        affinity["nodeAffinity"] = _without_own_rules(affinity["nodeAffinity"])
    affinity = {key: value for key, value in affinity.items() if value}
    pod |= {"nodeSelector": selector, "affinity": affinity, "tolerations": []}
    return {**spec, "template": {**spec["template"], "spec": pod}}


def _without_own_rules(affinity: Mapping[str, Any]) -> dict[str, Any]:
    preferred = [each for each in affinity.get(_PREFERRED) or () if not _is_of_pool(each)]
    others = {key: value for key, value in affinity.items() if key not in (_REQUIRED, _PREFERRED)}
    return {**others, _PREFERRED: preferred} if preferred else others


def _is_of_pool(preference: Mapping[str, Any]) -> bool:
    rules = (preference.get("preference") or {}).get("matchExpressions") or ()
    return any(rule.get("key") == POOL_LABEL for rule in rules)


def _pool_rules(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    required = ((pod.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    rules = [rule for term in required.get("nodeSelectorTerms") or () for rule in term.get("matchExpressions") or ()]
    return [rule for rule in rules if rule.get("key") == POOL_LABEL]


def with_lenders(manifest: dict[str, Any], workload: Workload) -> dict[str, Any]:
    """The manifest of a job; one that may borrow runs on no other nodes than those of its pool and of its lenders."""
    if not workload.lenders:
        return manifest
    rule = {"key": POOL_LABEL, "operator": "In", "values": [workload.pool, *workload.lenders]}
    affinity: dict[str, Any] = {_REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}
    if workload.kai_queue:  # Kueue tries flavors in their order, and a scheduler tries nodes by what they are worth
        own = {"key": POOL_LABEL, "operator": "In", "values": [workload.pool]}
        affinity[_PREFERRED] = [{"weight": _HEAVIEST, "preference": {"matchExpressions": [own]}}]
    changed: dict[str, Any] = merged(
        manifest, {"spec": {"template": {"spec": {"affinity": {"nodeAffinity": affinity}}}}}
    )
    return changed
