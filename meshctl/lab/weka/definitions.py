"""The custom resource definitions of WEKA's operator. PURE.

Read by `controllers.weka`, which makes them where an operator is there already, and by `images.helm`, whose
`helm show crds` prints them.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.lab.weka.cluster_schema import CLUSTER_SPEC, CLUSTER_STATUS
from meshctl.lab.weka.schema import (
    ANYTHING,
    CONDITIONS,
    COUNTS,
    CPU_POLICY,
    CSI_ADVANCED,
    DEVICE_PATTERN,
    DRIVE_TYPES,
    DURATION_PATTERN,
    FLAG,
    GLOBAL_CLAIM,
    IMAGE,
    INTERVAL_PATTERN,
    LABELS,
    NETWORK,
    NUMBER,
    REFERENCE,
    SHARED_DRIVE_RULES,
    TEXT,
    TIME,
    TOLERATION,
    TRACES,
    Schema,
    a_drive_for_each_core,
    fields,
    flags,
    many,
    numbers,
    one_of,
    pattern,
    texts,
)

GROUP: Final = "weka.weka.io"
VERSION: Final = "v1alpha1"
API: Final = f"/apis/{GROUP}/{VERSION}"

CLIENT_SPEC: Final = fields(
    ["image"],
    image=IMAGE,
    **texts("imagePullSecret wekaSecretRef driversDistService cpuRequest serviceAccountName"),
    **numbers("port agentPort coresNum additionalMemory hugepages hugepagesOffset extraCores"),
    portRange=fields(
        ["basePort"],
        basePort={**NUMBER, "maximum": 65535, "default": 45000},
        portRange={**NUMBER, "default": 0},
    ),
    nodeSelector=LABELS,
    network=NETWORK,
    joinIpPorts=many(TEXT),
    targetCluster=REFERENCE,
    cpuPolicy=CPU_POLICY,
    coreIds=many(NUMBER),
    tracesConfiguration=TRACES,
    tolerations=many(TEXT),
    rawTolerations=many(TOLERATION),
    wekaHome=fields(cacertSecret=TEXT),
    upgradePolicy=fields(type=one_of("manual", "all-at-once", "rolling", default="rolling")),
    allowHotUpgrade=FLAG,
    autoRemoveTimeout=pattern(DURATION_PATTERN, default="24h"),
    globalPVC=GLOBAL_CLAIM,
    csiConfig=fields(csiGroup=TEXT, disableControllerCreation=FLAG, advanced=CSI_ADVANCED),
    overrides=fields(
        **texts("driversBuildId driversLoaderImage machineIdentifierNodeRef"),
        **flags("forceDrain skipActiveMountsCheck umountOnHost"),
    ),
)
CLIENT_STATUS: Final = fields(
    **texts("status lastAppliedSpec"),
    conditions=CONDITIONS,
    stats=fields(containers=COUNTS),
    printer=fields(containers=TEXT),
)
CONTAINER_SPEC: Final = fields(
    ["image", "name", "mode", "numCores"],
    cel={**SHARED_DRIVE_RULES, **a_drive_for_each_core("numCores")},
    mode=one_of(
        "drive", "compute", "client", "dist", "drivers-dist", "drivers-loader", "drivers-builder", "discovery", "s3",
        "adhoc-op-with-container", "adhoc-op", "envoy", "nfs", "smbw", "telemetry", "ssdproxy", "data-services",
    ),
    **texts("name image imagePullSecret nodeAffinity hugepagesSize driversDistService group serviceAccountName"),
    **numbers(
        "numCores extraCores numDrives hugepages hugepagesOffset port agentPort additionalMemory driveCapacity "
        "containerCapacity"
    ),
    driveTypesRatio=DRIVE_TYPES,
    coreIds=many(NUMBER),
    cpuPolicy=CPU_POLICY,
    network=NETWORK,
    nodeSelector=LABELS,
    affinity=ANYTHING,
    topologySpreadConstraints=many(ANYTHING),
    failureDomain=fields(label=TEXT, skew=NUMBER, compositeLabels=many(TEXT)),
    joinIpPorts=many(TEXT),
    tolerations=many(TOLERATION),
    wekaSecretRef=ANYTHING,
    state=one_of("active", "paused", "destroying", "deleting", default="active"),
    upgradePolicyType=one_of("manual", "all-at-once", "rolling", "all-at-once-force", default="manual"),
)  # fmt: skip
CONTAINER_STATUS: Final = fields(
    **texts("status message managementIP clusterID lastAppliedImage"),
    containerID=NUMBER,
    conditions=CONDITIONS,
    allocations=fields(drives=many(TEXT), wekaPort=NUMBER, agentPort=NUMBER),
    printer=fields(**texts("managementIPs nodeAffinity processes drives activeMounts")),
    stats=ANYTHING,
)
_OVERRIDE_RULE: Final = fields(
    ["type"],
    cel={
        "(has(self.model) && size(self.model) > 0) || (has(self.capacityGiB) && self.capacityGiB != 0)": (
            "at least one of model or capacityGiB must be set"
        )
    },
    model=TEXT,
    capacityGiB={**NUMBER, "minimum": 1},
    type=one_of("TLC", "QLC"),
)
SIGN_DRIVES: Final = fields(
    ["type"],
    cel={
        "!has(self.driveTypeOverrides) || (has(self.shared) && self.shared)": (
            "driveTypeOverrides is only supported when shared is true"
        )
    },
    type=one_of("aws-all", "gcp-all", "device-identifiers", "device-paths", "all-not-root"),
    nodeSelector=LABELS,
    devicePaths=many(TEXT),
    pciDevices=fields(
        ["vendorId", "deviceId"],
        vendorId=pattern(DEVICE_PATTERN),
        deviceId=pattern(DEVICE_PATTERN),
    ),
    shared=FLAG,
    options=fields(**flags("allowEraseWekaPartitions allowEraseNonWekaPartitions allowNonEmptyDevice skipTrimFormat")),
    driveTypeOverrides=fields(["rules"], rules=many(_OVERRIDE_RULE)),
)
ENSURE_INTERFACES: Final = fields(["type"], type=TEXT, nodeSelector=LABELS, dataNICsNumber=NUMBER)
DISCOVER_DRIVES: Final = fields(nodeSelector=LABELS)
REMOTE_TRACES: Final = fields(
    cluster=REFERENCE,
    nodeSelector=LABELS,
    **texts("duration wekahomeEndpointOverride wekahomeCaSecret"),
    **flags("hostNetwork allowHttpWekahomeEndpoint allowInsecureWekahomeEndpoint"),
)
POLICY_TYPES: Final = (
    "sign-drives",
    "discover-drives",
    "ensure-nics",
    "enable-local-drivers-distribution",
    "remote-traces-session",
    "clean-stale-virtual-drives",
)
POLICY_SPEC: Final = fields(
    ["payload"],
    type=one_of(*POLICY_TYPES),
    payload=fields(
        signDrivesPayload=SIGN_DRIVES,
        schedulingConfigPayload=fields(),
        discoverDrivesPayload=DISCOVER_DRIVES,
        ensureNICsPayload=ENSURE_INTERFACES,
        driverDistPayload=fields(
            ensureImages=many(TEXT),
            nodeSelectors=many(LABELS),
            distNodeSelector=LABELS,
            **texts("kernelLabelKey architectureLabelKey osLabelKey builderImageOverride builderPreRunScript"),
        ),
        remoteTracesSessionPayload=REMOTE_TRACES,
        interval=pattern(INTERVAL_PATTERN, default="5m"),
        waitForPolicies=many(TEXT),
    ),
    **texts("image imagePullSecret serviceAccountName"),
    tolerations=many(TOLERATION),
)
POLICY_STATUS: Final = fields(
    ["status", "result", "lastRunTime"],
    **texts("status result progress"),
    lastRunTime=TIME,
    typedStatus=fields(distService=fields(serviceUrl=TEXT)),
)
OPERATION_SPEC: Final = fields(
    ["action", "payload"],
    action=one_of("sign-drives", "block-drives", "discover-drives", "force-resign-drives", "ensure-nics",
                   "remote-traces-session"),
    payload=fields(
        signDrivesPayload=SIGN_DRIVES,
        blockDrivesPayload=fields(["serialIDs", "node"], serialIDs=many(TEXT), node=TEXT),
        discoverDrivesPayload=DISCOVER_DRIVES,
        forceResignDrivesPayload=fields(nodeName=TEXT, devicePaths=many(TEXT), deviceSerials=many(TEXT)),
        ensureNICsPayload=ENSURE_INTERFACES,
        remoteTracesSessionPayload=REMOTE_TRACES,
    ),
    **texts("image imagePullSecret serviceAccountName"),
    tolerations=many(TOLERATION),
    deletionDelay=pattern(DURATION_PATTERN, default="5m"),
)  # fmt: skip
OPERATION_STATUS: Final = fields(
    ["result", "status", "completedAt"],
    **texts("result status"),
    completedAt=TIME,
)


def _definition(kind: str, plural: str, spec: Schema, status: Schema, columns: dict[str, str]) -> dict[str, Any]:
    """`columns`: of `kubectl get`, name -> JSON path."""
    schema = fields(apiVersion=TEXT, kind=TEXT, metadata={"type": "object"}, spec=spec, status=status)
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": [
            {"name": name, "type": "string", "jsonPath": path} for name, path in columns.items()
        ],
    }
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


_STATUS: Final = {"Status": ".status.status"}
_PRINTER: Final = ".status.printer"


def all_definitions() -> list[dict[str, Any]]:
    """Those of the chart, as JSON objects of the API."""
    cluster_columns = _STATUS | {
        "Cluster ID": ".status.clusterID",
        "CCT(A/C/D)": f"{_PRINTER}.computeContainers",
        "DCT(A/C/D)": f"{_PRINTER}.driveContainers",
        "DRVS(A/C/D)": f"{_PRINTER}.drives",
    }
    client_columns = _STATUS | {
        "Target Cluster": ".spec.targetCluster.name",
        "Containers(A/C/D)": f"{_PRINTER}.containers",
    }
    container_columns = _STATUS | {
        "Mode": ".spec.mode",
        "Node": f"{_PRINTER}.nodeAffinity",
        "Drives": f"{_PRINTER}.drives",
    }
    policy_columns = {"Type": ".spec.type", **_STATUS, "Progress": ".status.progress"}
    operation_columns = {"Action": ".spec.action", **_STATUS, "Result": ".status.result"}
    return [
        _definition("WekaCluster", "wekaclusters", CLUSTER_SPEC, CLUSTER_STATUS, cluster_columns),
        _definition("WekaClient", "wekaclients", CLIENT_SPEC, CLIENT_STATUS, client_columns),
        _definition("WekaContainer", "wekacontainers", CONTAINER_SPEC, CONTAINER_STATUS, container_columns),
        _definition("WekaPolicy", "wekapolicies", POLICY_SPEC, POLICY_STATUS, policy_columns),
        _definition("WekaManualOperation", "wekamanualoperations", OPERATION_SPEC, OPERATION_STATUS, operation_columns),
    ]
