"""Compares what two manifests of a Job run. PURE.

Called by `meshctl.deploy.jobs.finished_jobs` and `meshctl.migrate.planning.jobs`. A finished job is run again when what
it runs was changed. That it would run elsewhere, or that a newer meshctl renders it differently, is no such change.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from meshctl.model.deployment import Deployment, Workload
from meshctl.model.pods import object_names
from meshctl.render.controllers import jobs, lending
from meshctl.render.objects import LateValue
from meshctl.render.pod import container_fields, file_mounts, rewriting

_ADDED_BY_MESHCTL = "0-"  # how the names of volumes begin that no storage of the mesh stands for
_SUSPEND = "suspend"  # the one field of a Job's spec that changes in place
_STORE_URL = re.compile(r"^MESH_.+_URL$")

Spec = Mapping[str, Any]


def job_specs(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """The `spec` of each workload's Job, by workload."""
    return {w.name: jobs.job(deployment, w).manifest["spec"] for w in deployment.workloads if w.is_job}


def same_in_both(one: Deployment, other: Deployment, name: str) -> bool:
    """Whether a job that both environments declare does the same work in both."""
    workloads = one.workload(name), other.workload(name)
    left_out = {*workloads[0].override_env, *workloads[1].override_env}
    specs = [
        jobs.job(_as_in_the_mesh(deployment, workload, left_out), _without_overrides(workload, left_out))
        for deployment, workload in zip((one, other), workloads, strict=True)
    ]
    return same_work(specs[0].manifest["spec"], specs[1].manifest["spec"], *workloads)


def same_work(old: Spec, new: Spec, before: Workload | None, after: Workload | None) -> bool:
    """Whether both specs run the same: image, command, arguments, number of pods, mounts, the user's own variables.

    `before`, `after`: the workload as it was declared with the old spec, where that is known, and with the new one.
    """
    rewritten = _with_images_of(new, rewriting.rewritten(old, new), before, after)
    return _work(rewritten, before, after) == _work(new, before, after)


def _as_in_the_mesh(deployment: Deployment, workload: Workload, left_out: Collection[str]) -> Deployment:
    """The deployment without the overrides of environments.yaml, without image mirrors, and without the fabric."""
    pools = tuple(
        pool.model_copy(update={"fabric": pool.fabric.model_copy(update={"env": {}})}) if pool.fabric else pool
        for pool in deployment.pools
    )
    workloads = (_without_overrides(workload, left_out),)
    return deployment.model_copy(update={"images": {}, "pools": pools, "workloads": workloads})


def _without_overrides(workload: Workload, left_out: Collection[str]) -> Workload:
    env = {name: value for name, value in workload.env.items() if name not in left_out}
    return workload.model_copy(update={"env": env, "labels": {}, "annotations": {}, "pod": {}})


def _with_images_of(new: Spec, old: Spec, before: Workload | None, after: Workload | None) -> Spec:
    """The old spec with the images of the new one where only the mirrors differ that environments.yaml names."""
    if before is None or after is None:
        return old
    pod, new_pod = old["template"]["spec"], new["template"]["spec"]
    same_images = _same_images(before, after)
    changed = {
        key: [_with_image_of(new_pod.get(key) or (), container, same_images) for container in pod[key]]
        for key in ("initContainers", "containers")
        if pod.get(key)
    }
    return {**old, "template": {**old["template"], "spec": {**pod, **changed}}}


def _same_images(before: Workload, after: Workload) -> dict[str, str]:
    """The images that mesh.yaml has not changed, by the name of the container."""
    pairs = {rewriting.MAIN: (before.image, after.image)}
    steps = zip(before.before, after.before, strict=False)
    pairs |= {f"{object_names.BEFORE}{number}": (old.image, new.image) for number, (old, new) in enumerate(steps, 1)}
    return {name: image for name, (old_image, image) in pairs.items() if old_image == image}


def _with_image_of(
    new_containers: Iterable[Mapping[str, Any]], container: Mapping[str, Any], same_images: Mapping[str, str]
) -> Mapping[str, Any]:
    """The old image with the new one's mirror, if only the mirror differs. A mirror replaces the beginning of a name
    and leaves at least its last part, with the tag or digest, which is what can be compared: a job that was left
    unchanged may have its image from a mirror that no deployment names any more, and after a run that failed the state
    has the new mesh beside the old job."""
    image = same_images.get(container["name"])
    new_image = next((each.get("image") for each in new_containers if each["name"] == container["name"]), None)
    if image is None or new_image is None or _last_part(image) != _last_part(container.get("image", "")):
        return container
    return {**container, "image": new_image}


def _last_part(image: str) -> str:
    return image.rpartition("/")[2]


def _variables(before: Workload | None, after: Workload | None) -> set[str]:
    """The names of the variables that mesh.yaml gives: not those of the platform, and not those that environments.yaml
    sets in one environment only.

    A variable of mesh.yaml that environments.yaml sets no more counts: the next run, which knows only the environment
    as it then is, would see another value, too.
    """
    workloads = [workload for workload in (before, after) if workload is not None]
    all_names = {name for workload in workloads for name in (*workload.env, *workload.secrets)}
    set_before, set_now = (set(each.override_env) if each is not None else set() for each in (before, after))
    mesh_names = after.env.keys() if after is not None else set()
    return all_names - set_now - (set_before - mesh_names)


def _work(spec: Spec, before: Workload | None, after: Workload | None) -> dict[str, Any]:
    main = rewriting.main_container(spec)
    mesh_variables = _variables(before, after)
    env = {entry["name"]: entry for entry in main.get("env") or ()}
    mounts = [mount for mount in main.get("volumeMounts") or () if not mount["name"].startswith(_ADDED_BY_MESHCTL)]
    return {
        "pods": spec.get("completions"),
        "image": main.get("image"),
        "before": _steps_before(spec, before, after),
        **container_fields.work(main),
        "env": {name: env[name] for name in sorted(mesh_variables) if name in env},
        # a store that is written has no mount, only its URL, which differs from environment to environment
        "stores": sorted(name for name in env if _STORE_URL.match(name) and name not in mesh_variables),
        **file_mounts.work(spec["template"], main),
        "mounts": sorted((mount["name"], mount["mountPath"], bool(mount.get("readOnly"))) for mount in mounts),
    }


def only_rewritten(old: Spec, new: Spec) -> bool:
    """Whether two specs differ only in how an older meshctl wrote the container's texts."""
    return bool(differing(old, new)) and not differing(rewriting.rewritten(old, new), new)


def only_lenders_differ(old: Spec, new: Spec) -> bool:
    """Whether two specs of one Job differ only in the pools that it may borrow from: an edit elsewhere in the mesh, as
    its own pool is the same."""
    before, after = lending.pools_in(old), lending.pools_in(new)
    same_pool = before[:1] == after[:1]
    return same_pool and before != after and not differing(lending.without_places(old), lending.without_places(new))


def stays(old: Spec, new: Spec) -> bool:
    """Whether a Job that is up with the old spec stays as it is where the new one is declared, but for a pause."""
    declared = {**new, _SUSPEND: old.get(_SUSPEND)}
    return not differing(old, declared) or only_rewritten(old, declared) or only_lenders_differ(old, declared)


def _steps_before(spec: Spec, before: Workload | None, after: Workload | None) -> list[tuple[Any, ...]]:
    steps = [
        each
        for each in spec["template"]["spec"].get("initContainers") or ()
        if each["name"].startswith(object_names.BEFORE)
    ]
    names_by_step = [_variables_of_step(number, before, after) for number in range(len(steps))]
    return [
        (
            *(step.get("image"), step.get("command"), step.get("args")),
            [entry for entry in step.get("env") or () if entry["name"] in names],
        )
        for step, names in zip(steps, names_by_step, strict=True)
    ]


def _variables_of_step(number: int, before: Workload | None, after: Workload | None) -> set[str]:
    """The names of the variables that a step has on top of its workload's; the latter are compared once, in `_work`."""
    workloads = [workload for workload in (before, after) if workload is not None]
    return {name for workload in workloads for step in workload.before[number : number + 1] for name in step.env}


def differing(old: Spec, new: Spec) -> tuple[str, ...]:
    """The keys in which two specs differ, as far as the values of the new one are known."""
    return tuple(sorted(key for key in {*old, *new} if not _equal(old.get(key), new.get(key))))


def _equal(old: Any, new: Any) -> bool:
    if isinstance(new, LateValue):
        return True
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_equal(old[key], new[key]) for key in new)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_equal, old, new))
    return bool(old == new)
