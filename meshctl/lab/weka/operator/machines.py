"""Whether the machines of EC2 under a cluster's nodes can have interfaces for WEKA. EDGE: reads `eks.json`.

Called by `policies`. The operator's program asks the instance metadata which machine it is on, and the node's role for
the interfaces; it takes every interface but the first for WEKA, also those that the network plugin has attached for
pods. There the policy succeeds and pods are cut off; here, where pods have no interfaces, the policy says so. Sources:
weka/weka-eks, modules/eks/main.tf ("IMDS hop limit 2 required for WEKA operator ENI management from pods");
mbookham7/mb-weka-operator-csi-blog, weka-eks-terraform/eks.tf at 9b8ebcee.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from meshctl.lab.state import read_json
from meshctl.lab.weka.operator.drives import PolicyError

_GROUP: Final = "eks.amazonaws.com/nodegroup"
_LEAST_HOPS: Final = 2  # of an answer to a container

Object = dict[str, Any]


def check(root: Path, kubernetes_cluster: str, nodes: Iterable[Object]) -> None:
    """`root`: the lab's folder. Raises: PolicyError for nodes that can't have interfaces for WEKA alone."""
    clusters: dict[str, Object] = read_json(root / "eks.json").get("clusters") or {}
    eks = next((each for each in clusters.values() if each["control_plane"] == kubernetes_cluster), None)
    if eks is None:
        return
    for node in nodes:
        group = (node["metadata"].get("labels") or {}).get(_GROUP, "")
        if eks["nodegroups"].get(group, {}).get("metadataHops", _LEAST_HOPS) < _LEAST_HOPS:
            name = node["metadata"]["name"]
            raise PolicyError(f"node {name}: the instance metadata does not answer containers (hop limit 1)")
    if _most_of_plugin(eks.get("addons") or {}) != "1":
        raise PolicyError("vpc-cni attaches interfaces for pods, which WEKA takes: their pods are cut off (MAX_ENI)")


def _most_of_plugin(addons: Mapping[str, Mapping[str, str]]) -> str:
    """As somebody has set it; "" where nobody has."""
    settings = yaml.safe_load(addons.get("vpc-cni", {}).get("configuration") or "{}")
    return str((settings.get("env") or {}).get("MAX_ENI", ""))
