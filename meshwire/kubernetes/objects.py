"""What meshctl reads of Kubernetes objects, as types over the API's own JSON. PURE.

Not a model of Kubernetes: only the fields that are read somewhere. The API server leaves out what is empty, so every
field may be missing. Readers make values of these at once (`meshctl.clients.kubernetes.clusters`).
"""

from __future__ import annotations

from typing import TypedDict


class OwnerReference(TypedDict, total=False):
    kind: str


class Metadata(TypedDict, total=False):
    name: str
    namespace: str
    uid: str
    generation: int
    labels: dict[str, str]
    annotations: dict[str, str]
    deletionTimestamp: str
    ownerReferences: list[OwnerReference]


class Object(TypedDict, total=False):
    metadata: Metadata


class Condition(TypedDict, total=False):
    type: str
    status: str
    reason: str
    message: str


class Taint(TypedDict, total=False):
    key: str
    value: str
    effect: str


class NodeSpec(TypedDict, total=False):
    unschedulable: bool
    taints: list[Taint]


class NodeStatus(TypedDict, total=False):
    capacity: dict[str, str]
    allocatable: dict[str, str]
    conditions: list[Condition]


class Node(Object, total=False):
    spec: NodeSpec
    status: NodeStatus


class Waiting(TypedDict, total=False):
    reason: str


class Terminated(TypedDict, total=False):
    exitCode: int
    reason: str
    message: str
    finishedAt: str


class ContainerState(TypedDict, total=False):
    waiting: Waiting
    terminated: Terminated


class ContainerStatus(TypedDict, total=False):
    name: str
    restartCount: int
    state: ContainerState
    lastState: ContainerState


class ResourceAmounts(TypedDict, total=False):
    requests: dict[str, str]


class Container(TypedDict, total=False):
    restartPolicy: str
    resources: ResourceAmounts


class SchedulingGate(TypedDict):
    name: str


class PodSpec(TypedDict, total=False):
    nodeName: str
    containers: list[Container]
    initContainers: list[Container]
    overhead: dict[str, str]
    terminationGracePeriodSeconds: int
    schedulingGates: list[SchedulingGate]


class PodStatus(TypedDict, total=False):
    phase: str
    reason: str
    message: str
    conditions: list[Condition]
    initContainerStatuses: list[ContainerStatus]
    containerStatuses: list[ContainerStatus]


class Pod(Object, total=False):
    spec: PodSpec
    status: PodStatus


class Event(Object, total=False):
    """`eventTime`, or without it `lastTimestamp`, says when."""

    reason: str
    message: str
    eventTime: str
    lastTimestamp: str


class JobStatus(TypedDict, total=False):
    conditions: list[Condition]


class JobSpec(TypedDict, total=False):
    suspend: bool
    parallelism: int
    activeDeadlineSeconds: int


class Job(Object, total=False):
    spec: JobSpec
    status: JobStatus


class Secret(Object, total=False):
    data: dict[str, str]


class Ingress(TypedDict, total=False):
    ip: str
    hostname: str


class LoadBalancer(TypedDict, total=False):
    ingress: list[Ingress]


class ServiceStatus(TypedDict, total=False):
    loadBalancer: LoadBalancer


class Service(Object, total=False):
    status: ServiceStatus


class ClaimSpec(TypedDict, total=False):
    accessModes: list[str]
    resources: ResourceAmounts
    storageClassName: str
    volumeMode: str
    volumeName: str


class ClaimStatus(TypedDict, total=False):
    accessModes: list[str]
    capacity: dict[str, str]
    phase: str


class Claim(Object, total=False):
    spec: ClaimSpec
    status: ClaimStatus


class CsiSource(TypedDict, total=False):
    volumeHandle: str


class VolumeSpec(TypedDict, total=False):
    csi: CsiSource


class Volume(Object, total=False):
    spec: VolumeSpec


class StorageClass(Object, total=False):
    provisioner: str
    volumeBindingMode: str


class PodTemplate(TypedDict, total=False):
    metadata: Metadata


class ServerSpec(TypedDict, total=False):
    replicas: int
    template: PodTemplate


class ServerStatus(TypedDict, total=False):
    observedGeneration: int
    replicas: int
    updatedReplicas: int
    availableReplicas: int
    conditions: list[Condition]


class Server(Object, total=False):
    """A Deployment or a StatefulSet."""

    spec: ServerSpec
    status: ServerStatus


class LabelSelector(TypedDict, total=False):
    matchLabels: dict[str, str]
    matchExpressions: list[object]


class DisruptionBudgetSpec(TypedDict, total=False):
    selector: LabelSelector


class DisruptionBudgetStatus(TypedDict, total=False):
    expectedPods: int
    desiredHealthy: int


class DisruptionBudget(Object, total=False):
    spec: DisruptionBudgetSpec
    status: DisruptionBudgetStatus
