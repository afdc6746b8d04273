"""The custom resource definitions of WEKA's operator. PURE.

Read by `controllers.weka`, which makes them where an operator is there already, and by `images.programs.helm`, whose
`helm show crds` prints them.
"""

from __future__ import annotations

from typing import Any, Final

from meshctl.lab.weka.kinds import schema
from meshctl.lab.weka.kinds.cluster_schema import CLUSTER_SPEC, CLUSTER_STATUS

GROUP: Final = "weka.weka.io"
VERSION: Final = "v1alpha1"
API: Final = f"/apis/{GROUP}/{VERSION}"

CLIENT_SPEC: Final = schema.fields(
    ["image"],
    **schema.OF_CONTAINERS,
    **schema.texts("wekaSecretRef cpuRequest"),
    **schema.numbers("port agentPort coresNum additionalMemory hugepages hugepagesOffset extraCores"),
    portRange=schema.fields(
        ["basePort"],
        basePort={**schema.NUMBER, "maximum": 65535, "default": 45000},
        portRange={**schema.NUMBER, "default": 0},
    ),
    joinIpPorts=schema.many(schema.TEXT),
    targetCluster=schema.REFERENCE,
    coreIds=schema.many(schema.NUMBER),
    wekaHome=schema.fields(cacertSecret=schema.TEXT),
    upgradePolicy=schema.fields(type=schema.one_of("manual", "all-at-once", "rolling", default="rolling")),
    allowHotUpgrade=schema.FLAG,
    autoRemoveTimeout=schema.pattern(schema.DURATION_PATTERN, default="24h"),
    csiConfig=schema.fields(csiGroup=schema.TEXT, disableControllerCreation=schema.FLAG, advanced=schema.CSI_ADVANCED),
    overrides=schema.fields(
        **schema.texts("driversBuildId driversLoaderImage machineIdentifierNodeRef"),
        **schema.flags("forceDrain skipActiveMountsCheck umountOnHost"),
    ),
)
CLIENT_STATUS: Final = schema.fields(
    **schema.texts("status lastAppliedSpec"),
    conditions=schema.CONDITIONS,
    stats=schema.fields(containers=schema.COUNTS),
    printer=schema.fields(containers=schema.TEXT),
)
CONTAINER_SPEC: Final = schema.fields(
    ["image", "name", "mode", "numCores"],
    cel={**schema.SHARED_DRIVE_RULES, **schema.a_drive_for_each_core("numCores")},
    mode=schema.one_of(
        "drive", "compute", "client", "dist", "drivers-dist", "drivers-loader", "drivers-builder", "discovery", "s3",
        "adhoc-op-with-container", "adhoc-op", "envoy", "nfs", "smbw", "telemetry", "ssdproxy", "data-services",
    ),
    **schema.texts("name image imagePullSecret nodeAffinity hugepagesSize driversDistService group serviceAccountName"),
    **schema.numbers(
        "numCores extraCores numDrives hugepages hugepagesOffset port agentPort additionalMemory driveCapacity "
        "containerCapacity"
    ),
    driveTypesRatio=schema.DRIVE_TYPES,
    coreIds=schema.many(schema.NUMBER),
    cpuPolicy=schema.CPU_POLICY,
    network=schema.NETWORK,
    nodeSelector=schema.LABELS,
    affinity=schema.ANYTHING,
    topologySpreadConstraints=schema.many(schema.ANYTHING),
    failureDomain=schema.fields(label=schema.TEXT, skew=schema.NUMBER, compositeLabels=schema.many(schema.TEXT)),
    joinIpPorts=schema.many(schema.TEXT),
    tolerations=schema.many(schema.TOLERATION),
    wekaSecretRef=schema.ANYTHING,
    state=schema.one_of("active", "paused", "destroying", "deleting", default="active"),
    upgradePolicyType=schema.one_of("manual", "all-at-once", "rolling", "all-at-once-force", default="manual"),
)  # fmt: skip
CONTAINER_STATUS: Final = schema.fields(
    **schema.texts("status message managementIP clusterID lastAppliedImage"),
    containerID=schema.NUMBER,
    conditions=schema.CONDITIONS,
    allocations=schema.fields(drives=schema.many(schema.TEXT), wekaPort=schema.NUMBER, agentPort=schema.NUMBER),
    printer=schema.fields(**schema.texts("managementIPs nodeAffinity processes drives activeMounts")),
    stats=schema.ANYTHING,
)
_OVERRIDE_RULE: Final = schema.fields(
    ["type"],
    cel={
        "(has(self.model) && size(self.model) > 0) || (has(self.capacityGiB) && self.capacityGiB != 0)": (
            "at least one of model or capacityGiB must be set"
        )
    },
    model=schema.TEXT,
    capacityGiB={**schema.NUMBER, "minimum": 1},
    type=schema.one_of("TLC", "QLC"),
)
SIGN_DRIVES: Final = schema.fields(
    ["type"],
    cel={
        "!has(self.driveTypeOverrides) || (has(self.shared) && self.shared)": (
            "driveTypeOverrides is only supported when shared is true"
        )
    },
    type=schema.one_of("aws-all", "gcp-all", "device-identifiers", "device-paths", "all-not-root"),
    nodeSelector=schema.LABELS,
    devicePaths=schema.many(schema.TEXT),
    pciDevices=schema.fields(
        ["vendorId", "deviceId"],
        vendorId=schema.pattern(schema.DEVICE_PATTERN),
        deviceId=schema.pattern(schema.DEVICE_PATTERN),
    ),
    shared=schema.FLAG,
    options=schema.fields(
        **schema.flags("allowEraseWekaPartitions allowEraseNonWekaPartitions allowNonEmptyDevice skipTrimFormat")
    ),
    driveTypeOverrides=schema.fields(["rules"], rules=schema.many(_OVERRIDE_RULE)),
)
ENSURE_INTERFACES: Final = schema.fields(
    ["type"], type=schema.TEXT, nodeSelector=schema.LABELS, dataNICsNumber=schema.NUMBER
)
DISCOVER_DRIVES: Final = schema.fields(nodeSelector=schema.LABELS)
REMOTE_TRACES: Final = schema.fields(
    cluster=schema.REFERENCE,
    nodeSelector=schema.LABELS,
    **schema.texts("duration wekahomeEndpointOverride wekahomeCaSecret"),
    **schema.flags("hostNetwork allowHttpWekahomeEndpoint allowInsecureWekahomeEndpoint"),
)
# What a WekaPolicy and a WekaManualOperation can both be told, and where their containers run.
_PAYLOADS: Final = {
    "signDrivesPayload": SIGN_DRIVES,
    "discoverDrivesPayload": DISCOVER_DRIVES,
    "ensureNICsPayload": ENSURE_INTERFACES,
    "remoteTracesSessionPayload": REMOTE_TRACES,
}
_CONTAINERS: Final = {
    **schema.texts("image imagePullSecret serviceAccountName"),
    "tolerations": schema.many(schema.TOLERATION),
}
POLICY_TYPES: Final = (
    "sign-drives",
    "discover-drives",
    "ensure-nics",
    "enable-local-drivers-distribution",
    "remote-traces-session",
    "clean-stale-virtual-drives",
)
POLICY_SPEC: Final = schema.fields(
    ["payload"],
    type=schema.one_of(*POLICY_TYPES),
    payload=schema.fields(
        **_PAYLOADS,
        schedulingConfigPayload=schema.fields(),
        driverDistPayload=schema.fields(
            ensureImages=schema.many(schema.TEXT),
            nodeSelectors=schema.many(schema.LABELS),
            distNodeSelector=schema.LABELS,
            **schema.texts("kernelLabelKey architectureLabelKey osLabelKey builderImageOverride builderPreRunScript"),
        ),
        interval=schema.pattern(schema.INTERVAL_PATTERN, default="5m"),
        waitForPolicies=schema.many(schema.TEXT),
    ),
    **_CONTAINERS,
)
POLICY_STATUS: Final = schema.fields(
    ["status", "result", "lastRunTime"],
    **schema.texts("status result progress"),
    lastRunTime=schema.TIME,
    typedStatus=schema.fields(distService=schema.fields(serviceUrl=schema.TEXT)),
)
OPERATION_SPEC: Final = schema.fields(
    ["action", "payload"],
    action=schema.one_of(
        "sign-drives", "block-drives", "discover-drives", "force-resign-drives", "ensure-nics", "remote-traces-session"
    ),
    payload=schema.fields(
        **_PAYLOADS,
        blockDrivesPayload=schema.fields(["serialIDs", "node"], serialIDs=schema.many(schema.TEXT), node=schema.TEXT),
        forceResignDrivesPayload=schema.fields(
            nodeName=schema.TEXT, devicePaths=schema.many(schema.TEXT), deviceSerials=schema.many(schema.TEXT)
        ),
    ),
    **_CONTAINERS,
    deletionDelay=schema.pattern(schema.DURATION_PATTERN, default="5m"),
)
OPERATION_STATUS: Final = schema.fields(
    ["result", "status", "completedAt"],
    **schema.texts("result status"),
    completedAt=schema.TIME,
)


def _definition(
    kind: str, plural: str, spec: schema.Schema, status: schema.Schema, columns: dict[str, str]
) -> dict[str, Any]:
    """`columns`: of `kubectl get`, name -> JSON path."""
    content = schema.fields(
        apiVersion=schema.TEXT, kind=schema.TEXT, metadata={"type": "object"}, spec=spec, status=status
    )
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": content},
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
