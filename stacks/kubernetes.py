"""The `kubernetes` provider of an environment. Called by the stacks; what runs behind it is the official plugin or
our stand-in."""

from __future__ import annotations

from typing import Any

import pulumi

from meshctl.model.deployment import Deployment
from meshwire import versions


class KubernetesProvider(pulumi.ProviderResource):
    """The package's provider resource, without importing the SDK's thousand classes (a second of every command)."""

    def __init__(self, name: str, config: dict[str, Any], version: str) -> None:
        super().__init__("kubernetes", name, config, pulumi.ResourceOptions(version=version))


def provider(
    deployment: Deployment, *, kubeconfig: pulumi.Input[str] | None = None, cluster_uid: str = ""
) -> KubernetesProvider:
    """`kubeconfig` is content (AWS); elsewhere the environment's own file and context are used.

    `cluster_uid` stands in the provider's inputs, so that the state has it before the first object. By it the plugin
    tells another cluster from another way to the same one: only the former replaces what is there.
    """
    # a Secret is updated in place: replaced, it would be missing for a while, and its pods are rolled out in any case
    config: dict[str, Any] = {"enableServerSideApply": "true", "enableSecretMutable": "true"}
    if any(workload.files for workload in deployment.workloads):  # as for Secrets; else the provider is what it was
        config["enableConfigMapMutable"] = "true"
    if kubeconfig is not None:
        config["kubeconfig"] = kubeconfig
    elif deployment.cluster.kubeconfig:
        config["kubeconfig"] = deployment.cluster.kubeconfig
    if deployment.cluster.context:
        config["context"] = deployment.cluster.context
    if cluster_uid:
        config["clusterIdentifier"] = cluster_uid
    return KubernetesProvider("kubernetes", config, versions.KUBERNETES_PLUGIN)
