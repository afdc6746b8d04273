"""Amazon EKS: clusters on the lab's own control planes, node groups, add-ons, access, pod identity.

Source: EKS API reference, API version 2017-11-01. moto's EKS lacks add-ons, access entries, pod identity and updates.
"""

from __future__ import annotations

from meshctl.lab.aws.eks.access import AccessEntries
from meshctl.lab.aws.eks.addons import Addons
from meshctl.lab.aws.eks.clusters import Clusters
from meshctl.lab.aws.eks.nodegroups import Nodegroups
from meshctl.lab.aws.eks.pod_identity import PodIdentity
from meshctl.lab.aws.eks.tagging import Tagging
from meshctl.lab.aws.eks.versions import Versions


class Eks(Clusters, Nodegroups, Addons, AccessEntries, PodIdentity, Tagging, Versions):
    """The whole service."""


__all__ = ["Eks"]
