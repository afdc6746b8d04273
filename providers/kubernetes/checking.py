"""Checked inputs: default namespace, automatic names. Called by `provider.check`; stored, later diffed. PURE but
for the end of an automatic name."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from typing import Any

from providers.kubernetes import objects
from providers.kubernetes.objects import AUTONAMED, Json
from providers.plugin.provider import CheckFailure
from providers.plugin.values import UNKNOWN

# Kinds of the whole cluster in the groups that every API server has. Source: kubectl api-resources, Kubernetes 1.36.
CLUSTER_KINDS: frozenset[tuple[str, str]] = frozenset(
    (group, kind)
    for group, kinds in {
        "": "Namespace Node PersistentVolume ComponentStatus",
        "admissionregistration.k8s.io": "MutatingWebhookConfiguration ValidatingWebhookConfiguration "
        "ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding "
        "MutatingAdmissionPolicy MutatingAdmissionPolicyBinding",
        "apiextensions.k8s.io": "CustomResourceDefinition",
        "apiregistration.k8s.io": "APIService",
        "authentication.k8s.io": "SelfSubjectReview TokenReview",
        "authorization.k8s.io": "SelfSubjectAccessReview SelfSubjectRulesReview SubjectAccessReview",
        "certificates.k8s.io": "CertificateSigningRequest ClusterTrustBundle",
        "flowcontrol.apiserver.k8s.io": "FlowSchema PriorityLevelConfiguration",
        "networking.k8s.io": "IngressClass IPAddress ServiceCIDR",
        "node.k8s.io": "RuntimeClass",
        "rbac.authorization.k8s.io": "ClusterRole ClusterRoleBinding",
        "resource.k8s.io": "DeviceClass ResourceSlice DeviceTaintRule",
        "scheduling.k8s.io": "PriorityClass",
        "storage.k8s.io": "CSIDriver CSINode StorageClass VolumeAttachment VolumeAttributesClass",
        "storagemigration.k8s.io": "StorageVersionMigration",
    }.items()
    for kind in kinds.split()
)
BUILT_IN_GROUPS = frozenset(
    {group for group, _ in CLUSTER_KINDS}
    | {
        "apps",
        "autoscaling",
        "batch",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "events.k8s.io",
        "policy",
    }
)


def built_in_scope(group: str, kind: str) -> bool | None:
    """True: in a namespace; False: of the cluster; None: not a kind that every API server has."""
    if group not in BUILT_IN_GROUPS:
        return None
    return (group, kind) not in CLUSTER_KINDS


def checked(
    *, urn: str, inputs: Json, olds: Mapping[str, Any], namespaced: bool, default_namespace: str, patch: bool
) -> tuple[Json, list[CheckFailure]]:
    """`inputs` (normalised) with namespace and name filled in."""
    if inputs.get("metadata") is UNKNOWN:
        return inputs, []
    meta = copy.deepcopy(objects.metadata(inputs))
    checked_inputs = {**inputs, "metadata": meta}
    if namespaced and not meta.get("namespace"):
        meta["namespace"] = default_namespace
    if meta.get("name") or meta.get("generateName"):
        return checked_inputs, []
    if patch:
        return inputs, [CheckFailure("metadata.name", "a Patch resource needs the name of the object to patch")]
    _name(meta, urn, olds)
    return checked_inputs, []


def _name(meta: Json, urn: str, olds: Mapping[str, Any]) -> None:
    """The name of last time, or one with a random end: a replacement must not meet the object that it replaces."""
    old = objects.name_of(olds) if objects.is_true(olds, AUTONAMED) else ""
    if meta.get("annotations") is UNKNOWN:
        return
    meta["name"] = old or f"{urn.split('::')[-1]}-{secrets.token_hex(4)}"
    meta["annotations"] = {**(meta.get("annotations") or {}), AUTONAMED: "true"}
