"""What changes between old and new inputs, and what of it needs a new object. Called by `provider.diff`. PURE.

Source of the rules: behaviour of the official plugin 4.34.2 (tests/contract/kubernetes_recording); for StorageClass
what the API server refuses to update.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from providers.kubernetes import objects
from providers.kubernetes.objects import AUTONAMED
from providers.plugin.provider import Diff, Kind
from providers.plugin.values import UNKNOWN, Path, path_text

_VOLUME_SOURCES = (
    "awsElasticBlockStore azureDisk azureFile cephfs cinder csi fc flexVolume flocker gcePersistentDisk glusterfs "
    "hostPath iscsi local nfs photonPersistentDisk portworxVolume quobyte rbd scaleIO storageos vsphereVolume"
)
_POD = (
    "affinity automountServiceAccountToken dnsConfig dnsPolicy enableServiceLinks hostAliases hostIPC hostNetwork "
    "hostPID hostname imagePullSecrets nodeName nodeSelector overhead preemptionPolicy priority priorityClassName "
    "readinessGates restartPolicy runtimeClassName schedulerName securityContext serviceAccount "
    "serviceAccountName shareProcessNamespace subdomain terminationGracePeriodSeconds volumes"
)
_CONTAINER = (
    "args command env image imagePullPolicy lifecycle livenessProbe ports readinessProbe resources "
    "securityContext stdin stdinOnce terminationMessagePath terminationMessagePolicy tty volumeDevices "
    "volumeMounts workingDir"
)
Rule = tuple[str, ...]


def _spec(fields: str) -> tuple[Rule, ...]:
    return tuple(("spec", field) for field in fields.split())


def _containers() -> tuple[Rule, ...]:
    return tuple(("spec", group, field) for group in ("containers", "initContainers") for field in _CONTAINER.split())


# (group, kind) -> fields whose change needs a new object. List positions don't count.
IMMUTABLE: dict[tuple[str, str], tuple[Rule, ...]] = {
    ("", "PersistentVolume"): _spec(_VOLUME_SOURCES),
    ("", "PersistentVolumeClaim"): _spec("accessModes selector storageClassName volumeName"),
    ("", "Pod"): (*_spec(_POD), *_containers()),
    ("", "ResourceQuota"): _spec("scopes"),
    ("", "Secret"): (("type",),),
    ("", "Service"): _spec("clusterIP"),
    ("apps", "DaemonSet"): _spec("selector"),
    ("apps", "Deployment"): _spec("selector"),
    ("apps", "StatefulSet"): _spec(
        "podManagementPolicy revisionHistoryLimit selector serviceName volumeClaimTemplates"
    ),
    ("batch", "Job"): _spec("completions parallelism selector template"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (("roleRef",),),
    ("rbac.authorization.k8s.io", "RoleBinding"): (("roleRef",),),
    ("storage.k8s.io", "StorageClass"): (("parameters",), ("provisioner",), ("reclaimPolicy",), ("volumeBindingMode",)),
}
ALWAYS: tuple[Rule, ...] = (("kind",), ("metadata", "name"), ("metadata", "namespace"))


def immutable_fields(
    group: str, old: Mapping[str, Any], *, mutable_config_maps: bool, mutable_secrets: bool
) -> tuple[Rule, ...]:
    """Configuration by default replaces ConfigMaps and Secrets, so that what mounts them is rolled too."""
    kind = str(old.get("kind", ""))
    rules = (*ALWAYS, *IMMUTABLE.get((group, kind), ()))
    fixed = old.get("immutable") is True
    if (group, kind) == ("", "ConfigMap") and (fixed or not mutable_config_maps):
        rules = (*rules, ("data",), ("binaryData",))
    if (group, kind) == ("", "Secret") and (fixed or not mutable_secrets):
        rules = (*rules, ("data",), ("stringData",))
    return rules


def changes(old: Any, new: Any, path: Path = ()) -> Iterator[tuple[Path, Kind]]:
    """The smallest paths that differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _changed_item(old.get(key), new.get(key), (*path, key))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            pair = [items[index] if index < len(items) else None for items in (old, new)]
            yield from _changed_item(pair[0], pair[1], (*path, index))
    elif old is not new and (type(old) is not type(new) or old != new) and not _same_number(old, new):
        yield path, Kind.UPDATE


def _same_number(old: Any, new: Any) -> bool:
    return {type(old), type(new)} == {int, float} and bool(old == new)


def _changed_item(old: Any, new: Any, path: Path) -> Iterator[tuple[Path, Kind]]:
    if old is None and new is None:
        return
    if old is None:
        yield path, Kind.ADD
    elif new is None:
        yield path, Kind.DELETE
    else:
        yield from changes(old, new, path)


def _needs_new(path: Path, rules: tuple[Rule, ...]) -> bool:
    names = tuple(key for key in path if isinstance(key, str))
    return any(names[: len(rule)] == rule for rule in rules)


def _group(obj: Mapping[str, Any]) -> str:
    return str(obj.get("apiVersion", "")).rpartition("/")[0]


def diff(
    *, old: Mapping[str, Any], new: Mapping[str, Any], mutable_config_maps: bool, mutable_secrets: bool, unready: bool
) -> Diff:
    """`old`, `new`: normalised inputs. `unready`: the live object must be replaced because it failed."""
    rules = immutable_fields(_group(new), old, mutable_config_maps=mutable_config_maps, mutable_secrets=mutable_secrets)
    if _group(old) != _group(new):
        rules = (*rules, ("apiVersion",))
    kinds = {path_text(path): kind.replacing() if _needs_new(path, rules) else kind for path, kind in changes(old, new)}
    replaces = tuple(path for path, kind in kinds.items() if kind.value.endswith("_REPLACE"))
    if unready:
        kinds["metadata"] = Kind.UPDATE_REPLACE
        replaces = (*replaces, "metadata")
    return Diff(
        changes=bool(kinds),
        replaces=replaces,
        detailed=kinds,
        delete_before_replace=bool(replaces) and _same_place(old, new),
        input_diff=False,
    )


def _same_place(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """The new object would meet the old one under its name: the old one has to go first."""
    if objects.is_true(new, AUTONAMED) or objects.metadata(new).get("name") is UNKNOWN:
        return False
    return objects.object_id(old) == objects.object_id(new)
