"""EC2's dry runs: whether the caller may make a call, and nothing is made. EDGE.

Called by `server` once rights, guard rails and the form of the input have been looked at: what they refuse, they refuse
a dry run, too. Quotas, names that are taken and machines are not looked at.

Sources: EC2 API reference, DryRun; of RunInstances, which names what it looks up, karpenter-provider-aws issue 7834.
Whether EC2 looks these up before it looks at the rights is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import parsed

CODE: Final = "DryRunOperation"


def is_one(call: Call) -> bool:
    return call.service == "ec2" and call.request.values.get("DryRun", "").lower() == "true"


def check(call: Call) -> None:
    """Raises: ApiError for each dry run."""
    if not is_one(call):
        return
    if call.operation == "RunInstances":
        _look_up(call.region, parsed(call))
    message = "Request would have succeeded, but DryRun flag is set."
    raise ApiError(CODE, message, status=412, rule=rules.DRY_RUN)


def _look_up(region: str, given: Mapping[str, Any]) -> None:
    """Raises: ApiError for an instance without an image or a subnet."""
    backend = ec2_backends[DEFAULT_ACCOUNT_ID][region]
    if not given.get("ImageId"):
        raise ApiError("MissingParameter", "The request must contain the parameter ImageId")
    subnets = {subnet.id: subnet for by_id in backend.subnets.values() for subnet in by_id.values()}
    subnet = given.get("SubnetId")
    if subnet and subnet not in subnets:
        raise ApiError("InvalidSubnetID.NotFound", f"The subnet ID '{subnet}' does not exist")
    if not subnet and not any(str(each.default_for_az).lower() == "true" for each in subnets.values()):
        raise ApiError("VPCIdNotSpecified", "No default VPC for this user.", rule=rules.DEFAULT_VPC)
