"""The schema of a WekaCluster: what may be asked for, and what the operator reports. PURE. Read by `definitions`."""

from __future__ import annotations

from typing import Final

from meshctl.lab.weka.kinds import schema

DYNAMIC_TEMPLATE: Final = schema.fields(
    cel={**schema.SHARED_DRIVE_RULES, **schema.NO_QLC_ALONE, **schema.a_drive_for_each_core("driveCores")},
    **schema.numbers(
        "computeContainers driveContainers s3Containers nfsContainers smbwContainers dataServicesContainers "
        "computeCores driveCores s3Cores nfsCores smbwCores dataServicesCores dataServicesFeCores envoyCores "
        "computeExtraCores driveExtraCores s3ExtraCores nfsExtraCores smbwExtraCores dataServicesExtraCores "
        "computeHugepages computeHugepagesOffset driveHugepages driveHugepagesOffset "
        "s3FrontendHugepages s3FrontendHugepagesOffset nfsFrontendHugepages nfsFrontendHugepagesOffset "
        "smbwFrontendHugepages smbwFrontendHugepagesOffset dataServicesHugepages dataServicesHugepagesOffset "
        "dataServicesFeHugepages dataServicesFeHugepagesOffset numDrives driveCapacity containerCapacity"
    ),
    driveTypesRatio=schema.DRIVE_TYPES,
)
_VAULT: Final = schema.fields(
    ["address", "role"],
    **schema.texts("address role"),
    authPath={**schema.TEXT, "default": "kubernetes"},
    transitPath={**schema.TEXT, "default": "transit"},
    method=schema.one_of("kubernetes", default="kubernetes"),
    keyName={**schema.TEXT, "default": "weka-key"},
)
_ONE_INTERFACE: Final = {"!has(self.interfaces) || self.interfaces.size() <= 1": "NFS allows only 1 interface per host"}
_SPLUNK: Final = schema.fields(
    ["authTokenSecretRef", "endpoint"],
    **schema.texts("authTokenSecretRef endpoint caCertSecretRef"),
    **schema.flags("allowUnverifiedCertificate verifyWithClusterCACert"),
)
_PORTS: Final = schema.fields(
    **schema.numbers("basePort portRange lbPort lbAdminPort s3Port managementProxyPort dataServicesPort")
)
_CLUSTER_OVERRIDES: Final = schema.fields(
    **schema.flags(
        "allowS3ClusterDestroy allowSmbwClusterDestroy disregardRedundancy forceAio upgradeForceReplace "
        "upgradeForceReplaceDrives upgradeAllAtOnce upgradePaused upgradePausePreCompute cancelDeletion"
    ),
    **schema.texts("driversBuildId driversLoaderImage postFormClusterScript"),
    podTerminationDeactivationTimeout=schema.DURATION,
)


def _by_role(part: schema.Schema) -> schema.Schema:
    return schema.fields(**dict.fromkeys(schema.ROLES, part))


CLUSTER_SPEC: Final = schema.fields(
    ["image"],
    template={**schema.TEXT, "default": "dynamic"},
    **schema.OF_CONTAINERS,
    operatorSecretRef=schema.TEXT,
    roleNodeSelector=_by_role(schema.LABELS),
    roleAnnotations=_by_role(schema.LABELS),
    roleNetworkSelector=_by_role(schema.NETWORK),
    roleCoreIds=_by_role(schema.many(schema.NUMBER)),
    failureDomain=schema.fields(label=schema.TEXT, skew=schema.NUMBER, compositeLabels=schema.many(schema.TEXT)),
    podConfig=schema.fields(
        topologySpreadConstraints=schema.many(schema.ANYTHING),
        roleTopologySpreadConstraints=_by_role(schema.many(schema.ANYTHING)),
        affinity=schema.ANYTHING,
        roleAffinity=_by_role(schema.ANYTHING),
    ),
    wekaHome=schema.fields(**schema.texts("endpoint cacertSecret"), **schema.flags("allowInsecure enableStats")),
    ipv6=schema.FLAG,
    additionalMemory=schema.fields(**schema.numbers("compute drive s3 nfs envoy smbw dataServices dataServicesFe")),
    ports=_PORTS,
    expandEndpoints=schema.many(schema.TEXT),
    dynamicTemplate=DYNAMIC_TEMPLATE,
    hotSpare={**schema.NUMBER, "default": 0},
    **schema.numbers("redundancyLevel stripeWidth leadershipRaftSize bucketRaftSize"),
    startIoConditions=schema.fields(minNumDrives=schema.NUMBER),
    gracefulDestroyDuration=schema.pattern(schema.DURATION_PATTERN, default="24h"),
    overrides=_CLUSTER_OVERRIDES,
    csiConfig=schema.fields(
        csiGroup=schema.TEXT, endpointsSubnets=schema.many(schema.TEXT), advanced=schema.CSI_ADVANCED
    ),
    encryption=schema.fields(vault=_VAULT, internal=schema.fields(["enabled"], enabled=schema.FLAG)),
    nfs=schema.fields(cel=_ONE_INTERFACE, interfaces=schema.many(schema.TEXT), ipRanges=schema.many(schema.TEXT)),
    s3=schema.fields(clusterCreateArgs=schema.many(schema.TEXT)),
    smbw=schema.fields(
        ["domainName", "domainJoinSecret"],
        **schema.texts("clusterName domainName domainJoinSecret userName"),
        ipRanges=schema.many(schema.TEXT),
    ),
    telemetry=schema.fields(
        exports=schema.many(
            schema.fields(["name", "sources"], name=schema.TEXT, sources=schema.many(schema.TEXT), splunk=_SPLUNK)
        )
    ),
    catalog=schema.fields(
        indexInterval={**schema.TEXT, "default": "1d"},
        retentionPeriod={**schema.TEXT, "default": "30d"},
    ),
)

CONTAINER_COUNTS: Final = schema.fields(
    numContainers=schema.COUNTS, processes=schema.COUNTS, cpuUtilization=schema.TEXT
)
CLUSTER_STATUS: Final = schema.fields(
    ["status"],
    **schema.texts("status clusterID traceId spanId lastAppliedImage lastAppliedSpec"),
    conditions=schema.CONDITIONS,
    ports=_PORTS,
    stats=schema.fields(
        clusterStatus=schema.TEXT,
        alertsCount=schema.NUMBER,
        containers=schema.fields(**dict.fromkeys(["compute", "drive", "s3", "nfs"], CONTAINER_COUNTS)),
        drives=schema.fields(
            counters=schema.COUNTS, failures=schema.many(schema.fields(**schema.texts("serialId wekaDriveId")))
        ),
        capacity=schema.fields(
            **dict.fromkeys(
                ["totalBytes", "unprovisionedBytes", "unavailableBytes", "hotSpareBytes"], schema.BIG_NUMBER
            )
        ),
        filesystem=schema.fields(**dict.fromkeys(["totalProvisionedCapacity", "totalUsedCapacity"], schema.BIG_NUMBER)),
        ioStats=schema.ANYTHING,
    ),
    printer=schema.fields(
        **schema.texts("computeContainers driveContainers drives iops throughput filesystemCapacity")
    ),
    timestamps={"type": "object", "additionalProperties": schema.TIME},
)
