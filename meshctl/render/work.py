"""Does a Job's manifest say the same work as another one? PURE.

Called by `meshctl.deploy.jobs.finished_jobs` and `meshctl.migrate.planning.plan`. A job that has ended is run again
when somebody changes what it runs; that it would run elsewhere, or that a newer meshctl writes it down in other words,
asks for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from meshctl.model import object_names
from meshctl.model.deployment import Deployment, Workload
from meshctl.render import container_fields, file_mounts, platform, rewriting
from meshctl.render.objects import LateValue

_ADDED_BY_MESHCTL = "0-"  # how the names of volumes begin that no storage of the mesh stands for
_STORE_URL = re.compile(r"^MESH_.+_URL$")

Spec = Mapping[str, Any]


def job_specs(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """The `spec` of each workload's Job, by workload."""
    return {w.name: platform.job(deployment, w).manifest["spec"] for w in deployment.workloads if w.is_job}


def variables(workload: Workload | None) -> frozenset[str]:
    """The names of the variables that the user gave, as opposed to those that the platform sets."""
    return frozenset({*workload.env, *workload.secrets}) if workload is not None else frozenset()


def same_work(old: Spec, new: Spec, own: frozenset[str]) -> bool:
    """Whether both specs run the same: image, command, arguments, number of pods, mounts, the user's own variables.

    `own`: the names of these variables, of the old workload and the new one.
    """
    return _work(rewriting.rewritten(old, new), own) == _work(new, own)


def _work(spec: Spec, own: frozenset[str]) -> dict[str, Any]:
    main = rewriting.main_container(spec)
    env = {entry["name"]: entry for entry in main.get("env") or ()}
    mounts = [mount for mount in main.get("volumeMounts") or () if not mount["name"].startswith(_ADDED_BY_MESHCTL)]
    return {
        "pods": spec.get("completions"),
        "image": main.get("image"),
        "before": _steps_before(spec),
        **container_fields.work(main),
        "env": {name: env[name] for name in sorted(own) if name in env},
        # a store that is written has no mount, only its URL, which differs from environment to environment
        "stores": sorted(name for name in env if _STORE_URL.match(name) and name not in own),
        **file_mounts.work(spec["template"], main),
        "mounts": sorted((mount["name"], mount["mountPath"], bool(mount.get("readOnly"))) for mount in mounts),
    }


def only_rewritten(old: Spec, new: Spec) -> bool:
    """Whether they differ in nothing but how an older meshctl wrote the texts of the container down."""
    return bool(differing(old, new)) and not differing(rewriting.rewritten(old, new), new)


def _steps_before(spec: Spec) -> list[tuple[Any, ...]]:
    steps = [
        each
        for each in spec["template"]["spec"].get("initContainers") or ()
        if each["name"].startswith(object_names.BEFORE)
    ]
    return [(step.get("image"), step.get("command"), step.get("args")) for step in steps]


def differing(old: Spec, new: Spec) -> tuple[str, ...]:
    """The keys of the specs that differ, as far as the new one is known."""
    return tuple(sorted(key for key in {*old, *new} if not _equal(old.get(key), new.get(key))))


def _equal(old: Any, new: Any) -> bool:
    if isinstance(new, LateValue):
        return True
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return old.keys() == new.keys() and all(_equal(old[key], new[key]) for key in new)
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(_equal, old, new))
    return bool(old == new)
