"""The account's quotas, and the Service Quotas API that shows and raises them. EDGE.

`quotas.json` in the lab's folder holds those that differ from AWS's defaults, by code: {"L-417A185B": 1152}. It may
change while the lab runs, by hand or by RequestServiceQuotaIncrease, which the lab grants at once.

Sources of codes and defaults: "Amazon EC2 service quotas", "Amazon VPC quotas", "Amazon EKS service quotas" and
"Quotas" of FSx for Lustre in the AWS documentation. Those of running instances are what a new account begins with:
accelerated ones have none.
"""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final

from moto.core import DEFAULT_ACCOUNT_ID

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import Service
from meshctl.lab.state import read_json, write_atomically

ADDRESSES: Final = "L-0263D0A3"
VPCS: Final = "L-F678F1CE"
CLUSTERS: Final = "L-1194D53C"
NODE_GROUPS: Final = "L-6D54EA21"
NODES: Final = "L-BD136A63"
GATEWAYS: Final = "L-FE5A380F"
LUSTRE_GIB: Final = "L-8F1B9C74"


@dataclass(frozen=True)
class Quota:
    code: str
    service: str
    name: str
    default: int


ALL: Final = {
    quota.code: quota
    for quota in (
        Quota("L-1216C47A", "ec2", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5),
        Quota("L-417A185B", "ec2", "Running On-Demand P instances", 0),
        Quota("L-DB2E81BA", "ec2", "Running On-Demand G and VT instances", 0),
        Quota("L-1945791B", "ec2", "Running On-Demand Inf instances", 0),
        Quota("L-2C3B7624", "ec2", "Running On-Demand Trn instances", 0),
        Quota("L-6E869C2A", "ec2", "Running On-Demand DL instances", 0),
        Quota("L-F7808C92", "ec2", "Running On-Demand HPC instances", 0),
        Quota("L-43DA4232", "ec2", "Running On-Demand High Memory instances", 0),
        Quota("L-7295265B", "ec2", "Running On-Demand X instances", 0),
        Quota("L-74FC7D96", "ec2", "Running On-Demand F instances", 0),
        Quota("L-34B43A08", "ec2", "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests", 5),
        Quota("L-7212CCBC", "ec2", "All P4, P3 and P2 Spot Instance Requests", 0),
        Quota("L-C4BD4855", "ec2", "All P5 Spot Instance Requests", 0),
        Quota("L-3819A6DF", "ec2", "All G and VT Spot Instance Requests", 0),
        Quota("L-85EED4F7", "ec2", "All DL Spot Instance Requests", 0),
        Quota("L-88CF9481", "ec2", "All F Spot Instance Requests", 0),
        Quota("L-B5D1601B", "ec2", "All Inf Spot Instance Requests", 0),
        Quota("L-6B0D517C", "ec2", "All Trn Spot Instance Requests", 0),
        Quota("L-E3A00192", "ec2", "All X Spot Instance Requests", 0),
        Quota(ADDRESSES, "ec2", "EC2-VPC Elastic IPs", 5),
        Quota(VPCS, "vpc", "VPCs per Region", 5),
        Quota(GATEWAYS, "vpc", "NAT gateways per Availability Zone", 5),
        Quota("L-DF5E4CA3", "vpc", "Network interfaces per Region", 5000),
        Quota(CLUSTERS, "eks", "Clusters", 100),
        Quota(NODE_GROUPS, "eks", "Managed node groups per cluster", 30),
        Quota(NODES, "eks", "Nodes per managed node group", 450),
        Quota(LUSTRE_GIB, "fsx", "Lustre Persistent_2 storage capacity", 100_800),
    )
}


class Quotas:
    """What the account may have, as `quotas.json` says at the moment."""

    def __init__(self, root: Path) -> None:
        self.file = root / "quotas.json"

    def value(self, code: str) -> float:
        return float(read_json(self.file).get(code, ALL[code].default))

    def set(self, code: str, value: float) -> None:
        write_atomically(self.file, json.dumps({**read_json(self.file), code: value}, indent=2))


class ServiceQuotas(Service):
    """The API. A request for more is granted at once, which the real one does for small increases only."""

    name: ClassVar[str] = "service-quotas"
    invalid: ClassVar[str] = "IllegalArgumentException"

    def __init__(self, quotas: Quotas) -> None:
        self.quotas = quotas

    def get_service_quota(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        quota = _quota(given)
        return {"Quota": _described(call, quota, self.quotas.value(quota.code))}

    def get_aws_default_service_quota(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        quota = _quota(given)
        return {"Quota": _described(call, quota, quota.default)}

    def list_service_quotas(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        of_service = [quota for quota in ALL.values() if quota.service == given["ServiceCode"]]
        return {"Quotas": [_described(call, quota, self.quotas.value(quota.code)) for quota in of_service]}

    def request_service_quota_increase(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        quota, desired = _quota(given), given["DesiredValue"]
        if desired <= self.quotas.value(quota.code):
            raise ApiError(
                "IllegalArgumentException",
                "You must provide a quota value that is greater than or equal to the current quota value",
            )
        self.quotas.set(quota.code, desired)
        now = datetime.now(UTC)
        return {
            "RequestedQuota": {
                "Id": secrets.token_hex(20),
                "ServiceCode": quota.service,
                "QuotaCode": quota.code,
                "QuotaName": quota.name,
                "DesiredValue": desired,
                "Status": "APPROVED",
                "Created": now,
                "LastUpdated": now,
            }
        }


def _quota(given: dict[str, Any]) -> Quota:
    quota = ALL.get(given["QuotaCode"])
    if quota is None or quota.service != given["ServiceCode"]:
        raise ApiError(
            "NoSuchResourceException", "The request failed because the specified service quota was not found"
        )
    return quota


def _described(call: Call, quota: Quota, value: float) -> dict[str, Any]:
    return {
        "ServiceCode": quota.service,
        "QuotaCode": quota.code,
        "QuotaName": quota.name,
        "QuotaArn": f"arn:aws:servicequotas:{call.region}:{DEFAULT_ACCOUNT_ID}:{quota.service}/{quota.code}",
        "Value": value,
        "Unit": "None",
        "Adjustable": True,
        "GlobalQuota": False,
    }
