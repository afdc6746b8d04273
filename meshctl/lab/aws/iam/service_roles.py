"""Service-linked roles: who may have them made, and their names where moto has others. EDGE: it changes moto's tables.

`apply` is called by `server` once, before the first call. A service makes its role when an account first uses it, with
the rights of whoever calls: `needed` says which role a call needs and the account has not, `make` makes it.
`has_spot_role` is asked by the EKS part: of spot instances nobody makes the role by a call, so that they do not start
("Service-linked role for Spot Instance requests", EC2 user guide).

Roles that no caller needs a right for: of Auto Scaling, which EKS makes (AWSServiceRoleForAmazonEKSNodegroup has
AllowAutoscalingToCreateSLR), and of Elastic Load Balancing, which the cluster's role makes (AmazonEKSClusterPolicy).

Sources: EKS user guide, "Using roles for Amazon EKS clusters" and "… node groups"; FSx for Lustre user guide, "Setting
up"; EFS user guide, "Using service-linked roles" (of mount targets). How they refuse: XenitAB/terraform-modules pull
request 396 and terraform-aws-eks issue 823 (EKS), aws-parallelcluster issue 6122 (FSx). EFS's own words are not public.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.iam.models import SERVICE_NAME_CONVERSION, iam_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.iam.iam_requests import IamRequest

_SPOT: Final = "AWSServiceRoleForEC2Spot"
_NAMES: Final = {
    "spot": "EC2Spot",
    "eks": "AmazonEKS",
    "eks-nodegroup": "AmazonEKSNodegroup",
    "fsx": "AmazonFSx",
    "elasticfilesystem": "AmazonElasticFileSystem",
}
_MADE_BY: Final = {
    ("eks", "CreateCluster"): "eks",
    ("eks", "CreateNodegroup"): "eks-nodegroup",
    ("fsx", "CreateFileSystem"): "fsx",
    ("efs", "CreateMountTarget"): "elasticfilesystem",
}


@dataclass(frozen=True)
class LinkedRole:
    """`service`: the beginning of its principal (`eks-nodegroup`)."""

    service: str

    @property
    def principal(self) -> str:
        return f"{self.service}.amazonaws.com"

    @property
    def name(self) -> str:
        return f"AWSServiceRoleFor{_NAMES[self.service]}"

    @property
    def _arn(self) -> str:
        return f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/aws-service-role/{self.principal}/{self.name}"

    def requests(self) -> tuple[IamRequest, ...]:
        """What the caller has to be allowed. EKS also looks for the role of node groups in the caller's name."""
        made = IamRequest("iam:CreateServiceLinkedRole", self._arn, {"iam:AWSServiceName": self.principal})
        looked_for = IamRequest("iam:GetRole", self._arn)
        return (looked_for, made) if self.service == "eks-nodegroup" else (made,)

    def refusal(self, request: IamRequest) -> ApiError:
        if not self.service.startswith("eks"):
            product = "Amazon FSx" if self.service == "fsx" else "Amazon EFS"
            message = f"{product} is unable to create Service-Linked-Role {self.name}. Ensure the IAM role or user you"
            message += f" are using has the required permissions: {request.action}"
            return ApiError("BadRequest", message, rule=rules.LINKED_ROLE)
        begun = f"Failed to create service linked role: {self.name}"
        if request.action == "iam:GetRole":
            begun = f"Failed to validate if SLR: {self.name} already exists"
        message = f"{begun} due to missing permissions for '{request.action}'"
        return ApiError("InvalidRequestException", message, rule=rules.LINKED_ROLE)


def apply() -> None:
    SERVICE_NAME_CONVERSION.update(_NAMES)


def needed(service: str, operation: str) -> LinkedRole | None:
    """The role that the call has made first; None where the account has it, or the call needs none."""
    name = _MADE_BY.get((service, operation))
    role = LinkedRole(name) if name else None
    return None if role is None or _has(role.name) else role


def make(role: LinkedRole) -> None:
    iam_backends[DEFAULT_ACCOUNT_ID]["aws"].create_service_linked_role(role.principal, "", "")


def has_spot_role() -> bool:
    """Nobody needs to have made it by hand: the first request for spot instances in the console does, too."""
    return _has(_SPOT)


def _has(name: str) -> bool:
    return any(role.name == name for role in iam_backends[DEFAULT_ACCOUNT_ID]["aws"].roles.values())
