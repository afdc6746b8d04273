"""The schema of a WekaCluster: what may be asked for, and what the operator reports. PURE. Read by `definitions`."""

from __future__ import annotations

from typing import Final

from meshctl.lab.weka.schema import (
    ANYTHING,
    BIG_NUMBER,
    CONDITIONS,
    COUNTS,
    CPU_POLICY,
    CSI_ADVANCED,
    DRIVE_TYPES,
    DURATION,
    DURATION_PATTERN,
    FLAG,
    GLOBAL_CLAIM,
    IMAGE,
    LABELS,
    NETWORK,
    NO_QLC_ALONE,
    NUMBER,
    ROLES,
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

DYNAMIC_TEMPLATE: Final = fields(
    cel={**SHARED_DRIVE_RULES, **NO_QLC_ALONE, **a_drive_for_each_core("driveCores")},
    **numbers(
        "computeContainers driveContainers s3Containers nfsContainers smbwContainers dataServicesContainers "
        "computeCores driveCores s3Cores nfsCores smbwCores dataServicesCores dataServicesFeCores envoyCores "
        "computeExtraCores driveExtraCores s3ExtraCores nfsExtraCores smbwExtraCores dataServicesExtraCores "
        "computeHugepages computeHugepagesOffset driveHugepages driveHugepagesOffset "
        "s3FrontendHugepages s3FrontendHugepagesOffset nfsFrontendHugepages nfsFrontendHugepagesOffset "
        "smbwFrontendHugepages smbwFrontendHugepagesOffset dataServicesHugepages dataServicesHugepagesOffset "
        "dataServicesFeHugepages dataServicesFeHugepagesOffset numDrives driveCapacity containerCapacity"
    ),
    driveTypesRatio=DRIVE_TYPES,
)
_VAULT: Final = fields(
    ["address", "role"],
    **texts("address role"),
    authPath={**TEXT, "default": "kubernetes"},
    transitPath={**TEXT, "default": "transit"},
    method=one_of("kubernetes", default="kubernetes"),
    keyName={**TEXT, "default": "weka-key"},
)
_ONE_INTERFACE: Final = {"!has(self.interfaces) || self.interfaces.size() <= 1": "NFS allows only 1 interface per host"}
_SPLUNK: Final = fields(
    ["authTokenSecretRef", "endpoint"],
    **texts("authTokenSecretRef endpoint caCertSecretRef"),
    **flags("allowUnverifiedCertificate verifyWithClusterCACert"),
)
_PORTS: Final = fields(**numbers("basePort portRange lbPort lbAdminPort s3Port managementProxyPort dataServicesPort"))
_CLUSTER_OVERRIDES: Final = fields(
    **flags(
        "allowS3ClusterDestroy allowSmbwClusterDestroy disregardRedundancy forceAio upgradeForceReplace "
        "upgradeForceReplaceDrives upgradeAllAtOnce upgradePaused upgradePausePreCompute cancelDeletion"
    ),
    **texts("driversBuildId driversLoaderImage postFormClusterScript"),
    podTerminationDeactivationTimeout=DURATION,
)


def _by_role(schema: Schema) -> Schema:
    return fields(**dict.fromkeys(ROLES, schema))


CLUSTER_SPEC: Final = fields(
    ["image"],
    template={**TEXT, "default": "dynamic"},
    image=IMAGE,
    **texts("imagePullSecret driversDistService operatorSecretRef serviceAccountName"),
    nodeSelector=LABELS,
    roleNodeSelector=_by_role(LABELS),
    roleAnnotations=_by_role(LABELS),
    roleNetworkSelector=_by_role(NETWORK),
    roleCoreIds=_by_role(many(NUMBER)),
    failureDomain=fields(label=TEXT, skew=NUMBER, compositeLabels=many(TEXT)),
    podConfig=fields(
        topologySpreadConstraints=many(ANYTHING),
        roleTopologySpreadConstraints=_by_role(many(ANYTHING)),
        affinity=ANYTHING,
        roleAffinity=_by_role(ANYTHING),
    ),
    cpuPolicy=CPU_POLICY,
    tracesConfiguration=TRACES,
    tolerations=many(TEXT),
    rawTolerations=many(TOLERATION),
    wekaHome=fields(**texts("endpoint cacertSecret"), **flags("allowInsecure enableStats")),
    ipv6=FLAG,
    additionalMemory=fields(**numbers("compute drive s3 nfs envoy smbw dataServices dataServicesFe")),
    ports=_PORTS,
    expandEndpoints=many(TEXT),
    dynamicTemplate=DYNAMIC_TEMPLATE,
    network=NETWORK,
    hotSpare={**NUMBER, "default": 0},
    **numbers("redundancyLevel stripeWidth leadershipRaftSize bucketRaftSize"),
    startIoConditions=fields(minNumDrives=NUMBER),
    gracefulDestroyDuration=pattern(DURATION_PATTERN, default="24h"),
    overrides=_CLUSTER_OVERRIDES,
    csiConfig=fields(csiGroup=TEXT, endpointsSubnets=many(TEXT), advanced=CSI_ADVANCED),
    globalPVC=GLOBAL_CLAIM,
    encryption=fields(vault=_VAULT, internal=fields(["enabled"], enabled=FLAG)),
    nfs=fields(cel=_ONE_INTERFACE, interfaces=many(TEXT), ipRanges=many(TEXT)),
    s3=fields(clusterCreateArgs=many(TEXT)),
    smbw=fields(
        ["domainName", "domainJoinSecret"],
        **texts("clusterName domainName domainJoinSecret userName"),
        ipRanges=many(TEXT),
    ),
    telemetry=fields(exports=many(fields(["name", "sources"], name=TEXT, sources=many(TEXT), splunk=_SPLUNK))),
    catalog=fields(
        indexInterval={**TEXT, "default": "1d"},
        retentionPeriod={**TEXT, "default": "30d"},
    ),
)

CONTAINER_COUNTS: Final = fields(numContainers=COUNTS, processes=COUNTS, cpuUtilization=TEXT)
CLUSTER_STATUS: Final = fields(
    ["status"],
    **texts("status clusterID traceId spanId lastAppliedImage lastAppliedSpec"),
    conditions=CONDITIONS,
    ports=_PORTS,
    stats=fields(
        clusterStatus=TEXT,
        alertsCount=NUMBER,
        containers=fields(**dict.fromkeys(["compute", "drive", "s3", "nfs"], CONTAINER_COUNTS)),
        drives=fields(counters=COUNTS, failures=many(fields(**texts("serialId wekaDriveId")))),
        capacity=fields(
            **dict.fromkeys(["totalBytes", "unprovisionedBytes", "unavailableBytes", "hotSpareBytes"], BIG_NUMBER)
        ),
        filesystem=fields(**dict.fromkeys(["totalProvisionedCapacity", "totalUsedCapacity"], BIG_NUMBER)),
        ioStats=ANYTHING,
    ),
    printer=fields(**texts("computeContainers driveContainers drives iops throughput filesystemCapacity")),
    timestamps={"type": "object", "additionalProperties": TIME},
)
