"""EKS add-ons. Served through `Eks`; what they install, the lab's clusters have already or simulate. EDGE."""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import time
import uuid
from typing import Any

import yaml

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks import newer
from meshctl.lab.aws.eks.state import Addon, Base, Cluster, arn, now, soon
from meshctl.lab.aws.eks.versions import DEFAULT_VERSION
from meshctl.lab.aws.errors import ApiError

# Name -> version; the cluster's own may be part of it. Source: "Available Amazon EKS add-ons from AWS", EKS user guide.
VERSIONS = {
    "amazon-cloudwatch-observability": "v4.4.0-eksbuild.1",
    "aws-ebs-csi-driver": "v1.50.1-eksbuild.1",
    "aws-efs-csi-driver": "v2.1.13-eksbuild.1",
    "aws-fsx-csi-driver": "v1.7.0-eksbuild.1",
    "aws-mountpoint-s3-csi-driver": "v2.1.0-eksbuild.1",
    "cert-manager": "v1.19.1-eksbuild.1",
    "coredns": "v1.12.4-eksbuild.1",
    "eks-node-monitoring-agent": "v1.4.1-eksbuild.1",
    "eks-pod-identity-agent": "v1.3.9-eksbuild.3",
    "kube-proxy": "v{kubernetes}.0-eksbuild.4",
    "kube-state-metrics": "v2.17.0-eksbuild.1",
    "metrics-server": "v0.8.0-eksbuild.2",
    "snapshot-controller": "v8.3.0-eksbuild.1",
    "vpc-cni": "v1.20.4-eksbuild.1",
}

REPLICAS_S = 5.0  # how long EKS waits for an add-on's first replicas, where it waits a quarter of an hour on AWS
_DAEMON_SETS_ALONE = ("eks-node-monitoring-agent", "eks-pod-identity-agent", "kube-proxy", "vpc-cni")


class Addons(Base):
    def create_addon(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster, name = self.active(call, given["clusterName"]), given["addonName"]
        if name not in VERSIONS:
            raise ApiError("InvalidParameterException", f"Addon {name} specified is not supported", addonName=name)
        if name in cluster.addons:
            raise ApiError("ResourceInUseException", "Addon already exists.", addonName=name)
        _check_configuration(given)
        described = {
            "addonName": name,
            "clusterName": given["clusterName"],
            "status": "CREATING",
            "addonVersion": given.get("addonVersion", self._default(name, cluster.described["version"])),
            "health": {"issues": []},
            "addonArn": arn(call.region, f"addon/{given['clusterName']}/{name}/{uuid.uuid4()}"),
            "createdAt": now(),
            "modifiedAt": now(),
            "tags": given.get("tags", {}),
            "podIdentityAssociations": [],
        }
        described |= {key: given[key] for key in ("serviceAccountRoleArn", "configurationValues") if key in given}
        cluster.addons[name] = Addon(
            described,
            soon(),
            self.failing("CreateAddon"),
            needs_no_node=name in _DAEMON_SETS_ALONE,
            degraded_from=time.monotonic() + REPLICAS_S,
        )
        self.write()
        return {"addon": described}

    def describe_addon(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"addon": self._addon(self.cluster(call, given["clusterName"]), given["addonName"]).described}

    def list_addons(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        return {"addons": list(self.cluster(call, given["clusterName"]).addons)}

    def delete_addon(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        addon = self._addon(self.cluster(call, given["clusterName"]), given["addonName"])
        addon.described["status"] = "DELETING"
        addon.changes_at = soon()
        return {"addon": addon.described}

    def update_addon(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        cluster, name = self.active(call, given["clusterName"]), given["addonName"]
        addon = self._addon(cluster, name)
        _check_configuration(given)
        fitting = self._default(name, cluster.described["version"])
        if given.get("addonVersion", fitting) not in (fitting, addon.described["addonVersion"]):
            message = f"Addon version specified is not supported: {given['addonVersion']}"
            raise ApiError("InvalidParameterException", message, addonName=name)
        names = ("addonVersion", "configurationValues", "serviceAccountRoleArn")
        changed = {key: given[key] for key in names if key in given}
        params = {f"{key[0].upper()}{key[1:]}": value for key, value in changed.items()}
        update = self.start_update(cluster, "AddonUpdate", params, operation="UpdateAddon", owner=f"addon/{name}")
        if cluster.updates[update["id"]].failed is None:
            addon.described |= {**changed, "modifiedAt": now()}
        return {"update": update}

    def describe_addon_versions(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        wanted = given.get("addonName")
        kubernetes = given.get("kubernetesVersion", "")
        fitting = {name: self._default(name, kubernetes or DEFAULT_VERSION) for name in VERSIONS}
        compatible = [{"clusterVersion": kubernetes, "platformVersions": ["*"], "defaultVersion": True}]
        return {
            "addons": [
                {
                    "addonName": name,
                    "owner": "aws",
                    "addonVersions": [
                        {
                            "addonVersion": version,
                            "architecture": ["amd64", "arm64"],
                            "compatibilities": compatible if kubernetes else [],
                        }
                    ],
                }
                for name, version in fitting.items()
                if wanted in (None, name)
            ]
        }

    def _default(self, name: str, kubernetes: str) -> str:
        """With what `releases.json` says at the moment."""
        return newer.addon_version(self.root, name) or default_version(name, kubernetes)

    def _addon(self, cluster: Cluster, name: str) -> Addon:
        addon = cluster.addons.get(name)
        if addon is None:
            raise ApiError("ResourceNotFoundException", f"No addon: {name} found in cluster", addonName=name)
        return addon


def default_version(name: str, kubernetes: str) -> str:
    """What EKS installs of an add-on on a cluster of this version: kube-proxy has one for each."""
    return VERSIONS[name].format(kubernetes=kubernetes)


def _check_configuration(given: dict[str, Any]) -> None:
    """JSON or YAML, an object."""
    text = given.get("configurationValues")
    if not text:
        return
    try:
        valid = isinstance(yaml.safe_load(text), dict)
    except yaml.YAMLError:
        valid = False
    if not valid:
        raise ApiError("InvalidParameterException", "ConfigurationValue is not in valid YAML/JSON format")
