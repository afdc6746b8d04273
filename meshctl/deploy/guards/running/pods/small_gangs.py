"""Nothing is taken away that the pods of a gang need whose size a shift has changed. PURE.

Called by `preconditions`. The Job of such a gang is left as it is until the undo, whatever mesh.yaml says by now (see
`jobs.finished_jobs`): its next pods look for the secrets, files and claims that it was made with.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from meshctl import render
from meshctl.deploy import jobs_in_state
from meshctl.errors import UsageError
from meshctl.model.deployment import Deployment
from meshctl.model.stack_state import StackState

_ENTRIES: Final = ("data", "stringData")

Json = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Need:
    """An object that a pod can't start without. `key`: the entry of it, "" for any."""

    kind: str
    name: str
    key: str = ""

    def __str__(self) -> str:
        return f"the {self.kind} {self.name}" + (f" with {self.key}" if self.key else "")


def check(deployment: Deployment, state: StackState) -> None:
    """Raises: UsageError where the run would delete what such a gang needs."""
    specs = jobs_in_state.specs(state) if deployment.jobs_with_fewer_nodes else {}
    needs = {name: _needs(specs[name]) for name in deployment.jobs_with_fewer_nodes if name in specs}
    if not needs:
        return
    made_before = {(str(each.inputs.get("kind")), _name(each.inputs)) for each in state.resources}
    declared = {(item.kind, _name(item.manifest)): item.manifest for item in render.platform_objects(deployment)}
    for workload, wanted in needs.items():
        ours = (need for need in wanted if (need.kind, need.name) in made_before)
        lost = sorted(need for need in ours if not _has(declared, need))
        if lost:
            raise UsageError(
                f"workload/{workload} runs with fewer nodes while a shift is in force, and its pods need what"
                f" {deployment.environment} would lose",
                why=f"its Job is left as it is until the undo, and uses {', '.join(map(str, lost))}: a pod of it that"
                " starts again would wait for that in vain",
                hint=f"`meshctl shift {deployment.environment} --undo` first; or leave in mesh.yaml and"
                f" environments.yaml what {workload} mounts and reads until then",
            )


def _has(declared: Mapping[tuple[str, str], Json], need: Need) -> bool:
    manifest = declared.get((need.kind, need.name))
    return manifest is not None and (not need.key or any(need.key in (manifest.get(part) or ()) for part in _ENTRIES))


def _name(manifest: Json) -> str:
    return str((manifest.get("metadata") or {}).get("name"))


def _needs(spec: Json) -> frozenset[Need]:
    pod = spec["template"]["spec"]
    containers = (*(pod.get("initContainers") or ()), *pod["containers"])
    return frozenset(
        (
            *(Need("Secret", str(each["name"])) for each in pod.get("imagePullSecrets") or ()),
            *(need for volume in pod.get("volumes") or () for need in _of_volume(volume, containers)),
            *(need for container in containers for need in _of_variables(container)),
        )
    )


def _of_volume(volume: Json, containers: tuple[Json, ...]) -> Iterator[Need]:
    claim, secret, files = (volume.get(kind) for kind in ("persistentVolumeClaim", "secret", "configMap"))
    if claim:
        yield Need("PersistentVolumeClaim", str(claim["claimName"]))
    for kind, source, name in (("Secret", secret, "secretName"), ("ConfigMap", files, "name")):
        if source:
            keys = {str(item["key"]) for item in source.get("items") or ()} or _mounted_keys(volume, containers)
            yield from (Need(kind, str(source[name]), key) for key in sorted(keys) or ("",))


def _mounted_keys(volume: Json, containers: tuple[Json, ...]) -> set[str]:
    """The entries of the volume that are mounted each for itself."""
    mounts = (mount for container in containers for mount in container.get("volumeMounts") or ())
    return {str(mount["subPath"]) for mount in mounts if mount["name"] == volume["name"] and mount.get("subPath")}


def _of_variables(container: Json) -> Iterator[Need]:
    kinds = (("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef"))
    for variable in container.get("env") or ():
        for kind, source in kinds:
            reference = (variable.get("valueFrom") or {}).get(source)
            if reference and not reference.get("optional"):
                yield Need(kind, str(reference["name"]), str(reference["key"]))
