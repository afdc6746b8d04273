"""The images that meshctl itself has pulled, beside those of the mesh. PURE.

Rendered by `meshctl.render`; listed by `meshctl.resolve` for the notes on mirrors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from meshctl.model import block_ends
from meshctl.model.deployment import Deployment, FabricKind, Mount, Workload
from meshctl.model.keys import gangs, job_order, scaling
from meshctl.model.pods import image_names
from meshctl.platforms import registry

STAGING: Final = "rclone/rclone:1.75"
# the Kubernetes project's own image: nothing but kubectl, which is its entry point; without a shell
RELEASE: Final = "registry.k8s.io/kubectl:v1.33.5"
# Docker's official image of Python, from a registry that limits no anonymous pulls (gallery.ecr.aws/docker/library)
SCALER: Final = "public.ecr.aws/docker/library/python:3.13.9-alpine3.22"
GPU_PLUGIN: Final = "nvcr.io/nvidia/k8s-device-plugin:v0.17.0"
# The chart's own default: this registry serves all regions of the commercial partition. Nodes of GovCloud and China
# have no credentials for it, and get the image from the registry of their region ("View Amazon container image
# registries for Amazon EKS add-ons", EKS user guide, read 2026-11-29).
EFA_REGISTRY: Final = "602401143452.dkr.ecr.us-west-2.amazonaws.com"
_EFA_REGISTRIES: Final = {
    "us-gov-east-1": "151742754352.dkr.ecr.us-gov-east-1.amazonaws.com",
    "us-gov-west-1": "013241004608.dkr.ecr.us-gov-west-1.amazonaws.com",
    "cn-north-1": "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn",
    "cn-northwest-1": "961992271922.dkr.ecr.cn-northwest-1.amazonaws.com.cn",
}
_EFA_PLUGIN: Final = "eks/aws-efa-k8s-device-plugin:v0.5.20"

# helm and kubectl in one image (github.com/alpine-docker/k8s), which installs the operator of WEKA
HELM: Final = "alpine/k8s:1.33.3"
_WEKA_OPERATOR: Final = "quay.io/weka.io/weka-operator"
# What the operator's chart pulls beside the operator and WEKA itself: the value of the chart -> the image that it has
# by default. A mirror needs all of them. Source: charts/weka-operator/README.md of github.com/weka/weka-operator at
# 1d165a33, read 2026-11-29.
OF_WEKA_OPERATOR: Final = {
    "csi.image": "quay.io/weka.io/csi-wekafs:v2.9.6",
    "csi.attacherImage": "registry.k8s.io/sig-storage/csi-attacher:v4.9.0",
    "csi.livenessProbeImage": "registry.k8s.io/sig-storage/livenessprobe:v2.16.0",
    "csi.provisionerImage": "registry.k8s.io/sig-storage/csi-provisioner:v5.3.0",
    "csi.registrarImage": "registry.k8s.io/sig-storage/csi-node-driver-registrar:v2.14.0",
    "csi.resizerImage": "registry.k8s.io/sig-storage/csi-resizer:v1.14.0",
    "csi.snapshotterImage": "registry.k8s.io/sig-storage/csi-snapshotter:v8.3.0",
    "kubeProxyImage": "quay.io/brancz/kube-rbac-proxy:v0.21.0",
    "maintenanceImage": "quay.io/weka.io/busybox:1.37.0",
    "metrics.clusters.image": "docker.io/library/nginx:1.27.3",
    "signDrivesImage": "quay.io/weka.io/weka-sign-tool:cfbc60804cb627bcd3b7fde8e9c5e82f6f24c0be-multiarch",
    "taskmon.defaultImage": "quay.io/weka.io/taskmon:92b35aa657e9aba4782b4530b81107fff4c19847_x86_64",
}

# The release that NVIDIA/deepops pins, whose pull request 1348 (2026-05-28) looked the image up: for amd64 and arm64.
DCGM_EXPORTER: Final = "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2-distroless"
_NVIDIA: Final = "nvidia.com/gpu"
# What only `meshctl bench` has pulled. All were looked up in public code on 2026-11-29, and none was pulled.
#
# Kasten's own, made to measure storage in clusters. Its workflow publishes each Git tag under the tag's own name, for
# amd64, arm64 and ppc64le (kastenhq/kubestr, .github/workflows/docker-publish.yml at 02030741); the image is Alpine
# with its package of fio (Dockerfile). Others pin the same release.
FIO: Final = "ghcr.io/kastenhq/kubestr:v0.4.49"
# nccl-tests with MPI and sshd: AWS's own with EFA's libfabric and plugin for NCCL, and CoreWeave's with HPC-X.
# NVIDIA/aicr runs the first by this tag, with the same paths of mpirun and all_reduce_perf, and AWS's own samples name
# it (awsome-distributed-training). Its CUDA 12.8 has no code for B300 (sm_103), and on RTX PRO 6000 (sm_120) its NCCL
# failed. The second one is in the table of README.md of coreweave/nccl-tests at f443305c, for amd64 and arm64, up to
# Blackwell (10.0).
_NCCL_TESTS_EFA: Final = (
    "public.ecr.aws/hpc-cloud/nccl-tests:cuda12.8.1-efa1.43.2-ofiv1.16.3-ncclv2.27.7-1-testsv2.16.9"
)
_NCCL_TESTS: Final = "ghcr.io/coreweave/nccl-tests:12.9.1-devel-ubuntu22.04-nccl2.27.6-1-7c12c62"

# the PyTorch project's own, with CUDA's libraries and without its compiler: a base of many public Dockerfiles
TORCH: Final = "pytorch/pytorch:2.8.0-cuda12.8-cudnn9-runtime"

# NVIDIA's own: a host engine, dcgmi and the tests. The tag that NVIDIA/cluster-readiness-engine runs its diagnoses by
# (pkg/catalog/entries/diagnostics/dcgm-level2.yaml at bd618397), and the GPU operator its host engines
DCGM: Final = "nvcr.io/nvidia/cloud-native/dcgm:4.5.2-1-ubuntu22.04"


def nccl_tests(kind: FabricKind) -> str:
    """The image that measures a fabric of this kind. Only `meshctl bench`, and `up` where `expect` asks, have it
    pulled."""
    return _NCCL_TESTS_EFA if kind == "efa" else _NCCL_TESTS


def efa_plugin(region: str, mirrors: Mapping[str, str] | None = None) -> str:
    """The image of the EFA device plugin that nodes of the region can pull. A mirror of its usual name holds in every
    region."""
    usual = f"{EFA_REGISTRY}/{_EFA_PLUGIN}"
    if image_names.beginning_of(usual, mirrors or {}):
        return usual
    return f"{_EFA_REGISTRIES.get(region, EFA_REGISTRY)}/{_EFA_PLUGIN}"


def of_measurements() -> tuple[str, ...]:
    """Those that `meshctl bench` may have pulled in any environment."""
    return (FIO, STAGING, TORCH, DCGM, _NCCL_TESTS, _NCCL_TESTS_EFA)


def of(deployment: Deployment) -> tuple[str, ...]:
    """Those that the deployment needs."""
    is_staging = any(is_staged(mount) for workload in deployment.workloads for mount in workload.mounts)
    runs_kubectl = any(
        job_order.has_release(deployment, workload) or block_ends.is_saved(deployment, workload)
        for workload in deployment.workloads
    )
    has_plugins = registry.platform(deployment.provider).nodes.has_device_plugins
    has_gpus = any(pool.gpus_per_node for pool in deployment.pools)
    has_efa = any(pool.fabric is not None and pool.fabric.kind == "efa" for pool in deployment.pools)
    needed = {
        STAGING: is_staging,
        RELEASE: runs_kubectl,
        SCALER: gangs.has_program(deployment)
        or any(has_scaler(workload) for workload in deployment.workloads)
        or _has_weka_settings(deployment),
        GPU_PLUGIN: has_gpus and not has_plugins,
        DCGM_EXPORTER: bool(measured_pools(deployment)),
        efa_plugin(deployment.region, deployment.images): has_efa and not has_plugins,
    }
    measuring = (
        nccl_tests(pool.fabric.kind) for pool in deployment.pools if pool.fabric is not None and pool.fabric.expect
    )
    own = tuple(image for image, is_needed in needed.items() if is_needed)
    return (*own, *_of_neural_mesh(deployment), *dict.fromkeys(measuring))


def weka_operator(version: str) -> str:
    """The operator's own image, of the release that the chart is of."""
    return f"{_WEKA_OPERATOR}:{version}"


def _of_neural_mesh(deployment: Deployment) -> tuple[str, ...]:
    mesh = deployment.neural_mesh
    if mesh is None:
        return ()
    of_operator = (HELM, weka_operator(mesh.operator_version), *OF_WEKA_OPERATOR.values())
    return (mesh.image, *(of_operator if mesh.installs_operator else ()))


def _has_weka_settings(deployment: Deployment) -> bool:
    mesh = deployment.neural_mesh
    tiers = any(system.service == "neuralmesh" and system.tier for system in deployment.file_systems)
    return mesh is not None and mesh.joined is None and bool(mesh.licence_secret or tiers or mesh.organization)


def has_scaler(workload: Workload) -> bool:
    """Whether a program of ours moves its replicas."""
    return workload.has_range and workload.scale is not None and scaling.is_read_from_pods(workload.scale.metric)


def measured_pools(deployment: Deployment) -> tuple[str, ...]:
    """Whose nodes have NVIDIA's GPUs, and nobody but meshctl to install what measures them."""
    if registry.platform(deployment.provider).nodes.has_device_plugins:
        return ()
    return tuple(pool.name for pool in deployment.pools if pool.gpus_per_node and pool.gpu_resource == _NVIDIA)


def is_staged(mount: Mount) -> bool:
    """Whether objects are copied to the node's disk before the workload starts."""
    return mount.kind == "object" and mount.read_only
