"""What Service Quotas is asked, what it answers, and how a quota is raised. PURE.

Called by `preflight` and `counts`. Codes of quotas: "Amazon EC2 service quotas", "Amazon VPC quotas", "Amazon EKS
service quotas" and "Quotas" of FSx for Lustre in the AWS documentation; the applied values come from the API alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshctl.model.deployment import Deployment
from meshctl.model.questions import ApiAnswer, ApiQuestion


@dataclass(frozen=True)
class Quota:
    """What an account may have of something. `name`: the AWS name of the quota."""

    name: str
    value: float


def question(service: str, code: str, about: str) -> ApiQuestion:
    return ApiQuestion(code, "service-quotas", "get_service_quota", about, {"ServiceCode": service, "QuotaCode": code})


def quota(answer: ApiAnswer | None) -> Quota | None:
    """None where AWS did not say."""
    described: Mapping[str, Any] = answer.content.get("Quota", {}) if answer is not None else {}
    return Quota(described.get("QuotaName", ""), float(described["Value"])) if "Value" in described else None


def more(deployment: Deployment, service: str, code: str, wanted: float) -> str:
    """A hint: the command that asks AWS for as many."""
    options = f" --profile {deployment.profile}" if deployment.profile else ""
    return (
        f"`aws service-quotas request-service-quota-increase --service-code {service} --quota-code {code}"
        f" --desired-value {math.ceil(wanted)} --region {deployment.region}{options}`; AWS may take hours to days to"
        " answer"
    )
