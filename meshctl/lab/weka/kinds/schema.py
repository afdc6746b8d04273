"""What schemas of custom resources are made of, and the parts that WEKA's kinds share. PURE.

Read by `cluster_schema` and `definitions`. Fields, patterns, enums, defaults and rules: weka/weka-k8s-api,
`api/v1alpha1` at 02b60208 and `crds/v1alpha1` at 169f5074. What WEKA takes from Kubernetes as it is (affinity, spread
constraints) keeps whatever it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

Schema = dict[str, Any]

IMAGE_PATTERN: Final = r"^.+:\d+\.\d+\.\d+.*$"
NETWORK_PATTERN: Final = r"^([0-9]{1,3}\.){3}[0-9]{1,3}\/[0-9]{1,2}$"
DURATION_PATTERN: Final = r"^(0|([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+)$"
INTERVAL_PATTERN: Final = r"^(0|([0-9]+(\.[0-9]+)?(s|m|h))+)$"
DEVICE_PATTERN: Final = r"^[0-9a-fA-F]{4}$"

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
FLAG: Final[Schema] = {"type": "boolean"}
ANYTHING: Final[Schema] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
LABELS: Final[Schema] = {"type": "object", "additionalProperties": TEXT}
TIME: Final[Schema] = {"type": "string", "format": "date-time"}


def many(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def pattern(expression: str, **more: Any) -> Schema:
    return {"type": "string", "pattern": expression, **more}


def one_of(*words: str, **more: Any) -> Schema:
    return {"type": "string", "enum": list(words), **more}


def fields(required: Sequence[str] = (), /, cel: Mapping[str, str] | None = None, **properties: Schema) -> Schema:
    """An object with these fields. `cel`: rules in CEL -> the message of a refusal."""
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = list(required)
    if cel:
        schema["x-kubernetes-validations"] = [{"rule": rule, "message": text} for rule, text in cel.items()]
    return schema


def numbers(names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), NUMBER)


def texts(names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), TEXT)


def flags(names: str) -> dict[str, Schema]:
    return dict.fromkeys(names.split(), FLAG)


ROLES: Final = ["compute", "drive", "s3", "nfs", "smbw", "dataServices"]
CPU_POLICY: Final = one_of("auto", "shared", "dedicated", "dedicated_ht", "manual", default="auto")
IMAGE: Final = pattern(IMAGE_PATTERN)
DURATION: Final = pattern(DURATION_PATTERN)
BIG_NUMBER: Final[Schema] = {"type": "integer", "format": "int64"}
TOLERATION: Final = fields(**texts("effect key operator value"), tolerationSeconds=BIG_NUMBER)
REFERENCE: Final = fields(["name", "namespace"], **texts("name namespace"))
_SELECTOR: Final = fields(**texts("subnet"), **numbers("min max"), deviceNames=many(TEXT))
NETWORK: Final = fields(
    **texts("ethDevice gateway"),
    **flags("udpMode bindManagementAll nvidiaVfSingleIp"),
    ethDevices=many(TEXT),
    deviceSubnets=many(pattern(NETWORK_PATTERN)),
    selectors=many(_SELECTOR),
    managementIpsSelectors=many(_SELECTOR),
)
GLOBAL_CLAIM: Final = fields(["name"], **texts("name path"))
TRACES: Final = fields(**numbers("maxCapacityPerIoNode ensureFreeSpace"), dumperConfigMode=TEXT)
CSI_ADVANCED: Final = fields(
    **flags("enforceTrustedHttps skipGarbageCollection"),
    nodeLabels=LABELS,
    controllerLabels=LABELS,
    nodeTolerations=many(TOLERATION),
    controllerTolerations=many(TOLERATION),
)
# What a WekaCluster and a WekaClient both say of the containers that the operator makes for them.
OF_CONTAINERS: Final[dict[str, Schema]] = {
    "image": IMAGE,
    **texts("imagePullSecret driversDistService serviceAccountName"),
    "nodeSelector": LABELS,
    "network": NETWORK,
    "cpuPolicy": CPU_POLICY,
    "tracesConfiguration": TRACES,
    "tolerations": many(TEXT),
    "rawTolerations": many(TOLERATION),
    "globalPVC": GLOBAL_CLAIM,
}
CONDITIONS: Final = many(
    fields(
        ["type", "status", "lastTransitionTime", "reason", "message"],
        **texts("type reason message"),
        status=one_of("True", "False", "Unknown"),
        lastTransitionTime=TIME,
        observedGeneration=BIG_NUMBER,
    )
)
COUNTS: Final = fields(**numbers("active created desired"))

# The rules of drives are those of clusters and of containers, which call their cores by another name.
SHARED_DRIVE_RULES: Final = {
    "!has(self.driveCapacity) || self.driveCapacity == 0 || !has(self.driveTypesRatio)": (
        "driveCapacity and driveTypesRatio are mutually exclusive; use driveCapacity for TLC-only mode, or "
        "containerCapacity with driveTypesRatio for mixed drive types"
    ),
    "!has(self.numDrives) || self.numDrives == 0 || !has(self.containerCapacity) || self.containerCapacity == 0": (
        "numDrives and containerCapacity are mutually exclusive; use numDrives with driveCapacity for TLC-only mode, "
        "or containerCapacity with driveTypesRatio for mixed drive types"
    ),
    "!has(self.containerCapacity) || self.containerCapacity > 0": (
        "containerCapacity must be greater than 0 when specified"
    ),
    "!has(self.driveTypesRatio) || self.driveTypesRatio.tlc > 0 || self.driveTypesRatio.qlc > 0": (
        "at least one of driveTypesRatio.tlc or driveTypesRatio.qlc must be greater than 0"
    ),
    "!has(self.driveCapacity) || self.driveCapacity > 0": "driveCapacity must be greater than 0 when specified",
}
NO_QLC_ALONE: Final = {
    "!has(self.driveTypesRatio) || self.driveTypesRatio.tlc > 0": (
        "driveTypesRatio.tlc must be greater than 0 when driveTypesRatio is specified; TLC-only and mixed TLC/QLC "
        "configurations are supported, but QLC-only is not allowed"
    ),
}


def a_drive_for_each_core(cores: str) -> dict[str, str]:
    rule = (
        "!has(self.driveCapacity) || self.driveCapacity == 0 || !has(self.numDrives) || self.numDrives == 0 || "
        f"self.numDrives >= self.{cores}"
    )
    return {rule: f"numDrives must be >= {cores} when using driveCapacity (TLC-only mode)"}


_SHARE: Final[Schema] = {"type": "integer", "minimum": 0, "default": 0}
DRIVE_TYPES: Final = fields(["tlc", "qlc"], tlc=_SHARE, qlc=_SHARE)
