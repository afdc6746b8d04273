"""The Kubernetes layer that all environments share: declares what `meshctl.render` made. Decides nothing.

Called by the programs of each provider. Objects are declared by their type token instead of through the SDK's classes:
the same resources on the wire, without importing a class for every kind of object there is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pulumi

from meshctl import render
from meshctl.model.deployment import Deployment
from meshctl.render import ENDPOINT, LateValue, PlatformObject

# A job is done when its work is, which nobody waits for: it is ready as soon as it is there. Unlike `skipAwait`, this
# leaves the wait for its end alone: both plugins make its successor only once its pods have saved their work.
_THERE = {"pulumi.com/waitFor": "jsonpath={.metadata.uid}"}
_UNAWAITED = {"pulumi.com/skipAwait": "true"}
# A claim stays as long as a pod uses it, and a volume as long as a claim is bound to it: who uses them must go first.
_HELD = ("PersistentVolume", "PersistentVolumeClaim")
_DELETE_S = 600  # how long both plugins wait for the end of an object, unless told otherwise
_DELETE_MARGIN_S = 120  # beyond a grace period


class KubernetesObject(pulumi.CustomResource):
    """One object of the package `kubernetes`, as the official SDK would declare it; made by `declare`.

    It has no `__init__` for the reason that `stacks.resources` gives.
    """

    @classmethod
    def declare(
        cls, token: str, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions
    ) -> KubernetesObject:
        return cls(token, name, {"status": None, **inputs}, opts)

    @property
    def status(self) -> pulumi.Output[Any]:
        status: pulumi.Output[Any] = self.__dict__["status"]
        return status

    @property
    def uid(self) -> pulumi.Output[str]:
        metadata: pulumi.Output[Any] = self.__dict__["metadata"]
        return metadata.apply(lambda values: str((values or {}).get("uid") or ""))

    def translate_input_property(self, prop: str) -> str:
        return prop

    def translate_output_property(self, prop: str) -> str:
        return prop


def declare(
    deployment: Deployment,
    *,
    provider: pulumi.ProviderResource,
    late: Mapping[str, pulumi.Input[Any]],
    depends_on: Sequence[pulumi.Resource] = (),
    pools: Mapping[str, Sequence[pulumi.Resource]] | None = None,
    ready_timeout_s: int = 0,
    staying: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, pulumi.Output[str]]:
    """Declare everything inside the cluster; returns the address of each endpoint.

    `ready_timeout_s`: how long each object may take to become ready; 0 leaves it to the provider. `staying`: by
    workload, the properties of its Job that stay as they are, whatever is declared here.

    `late` has a value for each name in `render.late_names` (ValueError when one is missing). `depends_on` must be there
    before the first object, and outlives the last. `pools`: by the name of a pool, what makes its nodes; a workload
    waits for its own pool alone, so that one for which there are no machines holds up nothing else. Its Services that
    are no load balancers do not wait for it.
    """
    objects = [_left_alone(item, staying or {}) for item in render.platform_objects(deployment)]
    late = {**late, ENDPOINT: _endpoint(deployment, late)}
    missing = [name for name in render.late_names(objects) if name not in late and not render.whose_uid(name)]
    if missing:
        raise ValueError(f"no value for {', '.join(missing)}")
    of_subjects = {f"workload/{each.name}": (pools or {}).get(each.pool, ()) for each in deployment.workloads}
    of_subjects |= _nodes_of_storage(deployment, pools or {})
    declared = _declare(objects, provider, late, depends_on, ready_timeout_s, of_subjects)
    balancers = {
        endpoint.name: declared[render.load_balancer(endpoint.workload, is_internal=endpoint.is_internal)]
        for endpoint in deployment.endpoints
    }
    return {endpoint: balancer.status.apply(address) for endpoint, balancer in balancers.items()}


def _nodes_of_storage(
    deployment: Deployment, pools: Mapping[str, Sequence[pulumi.Resource]]
) -> dict[str, Sequence[pulumi.Resource]]:
    """What makes the nodes on which a NeuralMesh is, by its subject: it has minutes to start, from when it is there."""
    mesh = deployment.neural_mesh
    if mesh is None:
        return {}
    return {"neuralmesh": pools.get(mesh.pool or min(mesh.client_pools, default=""), ())}


def _left_alone(item: PlatformObject, staying: Mapping[str, Sequence[str]]) -> PlatformObject:
    paths = staying.get(item.subject.removeprefix("workload/"), ()) if item.kind == "Job" else ()
    return replace(item, ignore_changes=(*item.ignore_changes, *paths)) if paths else item


def _endpoint(deployment: Deployment, late: Mapping[str, pulumi.Input[Any]]) -> pulumi.Output[str]:
    region = deployment.object_stores[0].region if deployment.object_stores else deployment.region
    given = pulumi.Output.from_input(late.get(ENDPOINT, ""))
    return given.apply(lambda endpoint: endpoint or f"https://s3.{region}.amazonaws.com")


def declare_nodes(
    deployment: Deployment, *, provider: pulumi.ProviderResource, late: Mapping[str, pulumi.Input[Any]]
) -> dict[str, list[pulumi.Resource]]:
    """What makes or marks the nodes of the pools inside the cluster, as the platform has it, by pool. `late`: as for
    `declare`."""
    objects = render.node_objects(deployment)
    declared = _declare(objects, provider, late, ())
    by_pool: dict[str, list[pulumi.Resource]] = {}
    for item in objects:
        by_pool.setdefault(item.subject.removeprefix("pool/"), []).append(declared[item.name])
    return by_pool


def address(status: Any) -> str:
    """The load balancer's host name or IP in a Service's status; "" while it has none."""
    ingress = ((status or {}).get("loadBalancer") or {}).get("ingress") or [{}]
    return str(ingress[0].get("hostname") or ingress[0].get("ip") or "")


def token(item: PlatformObject) -> str:
    """The type in the package `kubernetes`: the core group is called `core` there."""
    api_version = item.manifest["apiVersion"]
    group = api_version if "/" in api_version else f"core/{api_version}"
    return f"kubernetes:{group}:{item.kind}{'Patch' if item.patch else ''}"


def _declare(
    objects: Sequence[PlatformObject],
    provider: pulumi.ProviderResource,
    late: Mapping[str, pulumi.Input[Any]],
    depends_on: Sequence[pulumi.Resource],
    ready_timeout_s: int = 0,
    of_subjects: Mapping[str, Sequence[pulumi.Resource]] | None = None,
) -> dict[str, KubernetesObject]:
    longest_s = max(map(_delete_s, objects), default=_DELETE_S)
    replacing = {item.name for item in objects if item.kind in _HELD}
    declared: dict[str, KubernetesObject] = {}
    for item in objects:
        needs = [declared[name] for name in (*item.depends_on, *_rolled_before(item, late))]
        of_subject = (of_subjects or {}).get(item.subject, ())
        opts = pulumi.ResourceOptions(
            provider=provider,
            # what depends on another object waits for `depends_on` through it
            depends_on=[*(needs or depends_on), *([] if _is_plain_service(item) else of_subject)],
            ignore_changes=list(item.ignore_changes),
            replace_on_changes=list(item.replace_on),
            custom_timeouts=_timeouts(ready_timeout_s, longest_s if item.kind == "Namespace" else _delete_s(item)),
            # names are fixed, so the old object must go before the new one can come
            delete_before_replace=True,
            replace_with=[declared[name] for name in item.depends_on if name in replacing],
            # None leaves it to the engine, as it was before an object could be retained
            retain_on_delete=True if item.retain else None,
            aliases=[pulumi.Alias(name=alias) for alias in item.aliases],
            additional_secret_outputs=["data", "stringData"] if item.kind == "Secret" else None,
        )
        inputs = _inputs(item, {**late, **_uids(item, declared)})
        declared[item.name] = KubernetesObject.declare(token(item), item.name, inputs, opts)
    return declared


def _is_plain_service(item: PlatformObject) -> bool:
    """Whether it is no more than a name in the cluster, which others may need before the workload's nodes are there."""
    return item.kind == "Service" and item.manifest["spec"].get("type") != "LoadBalancer"


def _uids(item: PlatformObject, declared: Mapping[str, KubernetesObject]) -> dict[str, pulumi.Output[str]]:
    """The UIDs of other objects that an object names: with a new one of them, it is made anew."""
    names = render.late_names([item])
    return {name: declared[owner].uid for name in names if (owner := render.whose_uid(name))}


def _rolled_before(item: PlatformObject, late: Mapping[str, pulumi.Input[Any]]) -> list[str]:
    """What is rolled out before it. A first start waits for nobody: only what is up stands in for what goes."""
    is_up = {name for name in (item.name, *item.after) if render.up_name(name) in late}
    return [name for name in item.after if name in is_up] if item.name in is_up else []


def _delete_s(item: PlatformObject) -> int:
    """How long its end may take: as long as its pods may take to end, and some more."""
    spec = item.manifest.get("spec") or {}
    template = (spec.get("leaderWorkerTemplate") or {}).get("workerTemplate") or spec.get("template") or {}
    pod = template.get("spec") or {} if isinstance(template, Mapping) else {}  # some kinds have a word there
    grace_s = pod.get("terminationGracePeriodSeconds") or 0
    return max(_DELETE_S, int(grace_s) + _DELETE_MARGIN_S, item.delete_s)


def _timeouts(ready_s: int, delete_s: int) -> pulumi.CustomTimeouts | None:
    ready = f"{ready_s}s" if ready_s else None
    delete = f"{delete_s}s" if delete_s > _DELETE_S else None
    return pulumi.CustomTimeouts(create=ready, update=ready, delete=delete) if ready or delete else None


def _inputs(item: PlatformObject, late: Mapping[str, pulumi.Input[Any]]) -> dict[str, Any]:
    inputs: dict[str, Any] = _filled(item.manifest, late)
    for name, path in render.live_value_paths(item, late):
        _put(inputs, path, late[name])
    if not item.wait and not item.patch:
        metadata = inputs["metadata"]
        annotations = {**metadata.get("annotations", {}), **(_THERE if item.kind == "Job" else _UNAWAITED)}
        inputs["metadata"] = {**metadata, "annotations": annotations}
    if item.kind == "Secret":
        inputs["stringData"] = pulumi.Output.secret(inputs["stringData"])
    return inputs


def _put(inputs: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    inner = inputs
    for key in path[:-1]:
        inner = inner[key]
    if value is None:  # it belongs to another program
        inner.pop(path[-1], None)
    else:
        inner[path[-1]] = value


def _filled(value: Any, late: Mapping[str, pulumi.Input[Any]]) -> Any:
    """The manifest with every deferred value put in."""
    if isinstance(value, LateValue):
        return late[value.name]
    if isinstance(value, dict):
        return {key: _filled(inner, late) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, late) for inner in value]
    return value
