"""Pulumi types of resources that every platform's stacks may have. PURE.

Asked of steps and states by `changes`, `engine` and `operate`. The types that one platform alone declares are parts of
that platform; those of Kubernetes objects begin with `kubernetes:`.
"""

from __future__ import annotations

from typing import Final

BUCKET: Final = "meshaws:s3:Bucket"  # a bucket, in any S3-compatible store
RECORD_SET: Final = "meshaws:route53:RecordSet"  # the DNS record of an endpoint
NAMESPACE: Final = "kubernetes:core/v1:Namespace"
NAMESPACE_PATCH: Final = "kubernetes:core/v1:NamespacePatch"  # a label of one that somebody else made
WEKA_CLUSTER: Final = "kubernetes:weka.weka.io/v1alpha1:WekaCluster"  # the storage nodes of a NeuralMesh
AWS_PACKAGE: Final = "meshaws"  # the Pulumi package that speaks the AWS APIs, S3's among them
KUBERNETES_PACKAGE: Final = "kubernetes"
