"""What EC2 made a moment ago is not seen by the first calls that name it, where `account.json` says so. EDGE.

    {"unseenCalls": 2}

Called by `server` before and after each call. Source: "Eventual consistency in the Amazon EC2 API", EC2 developer
guide: a command right after the one that made a resource may end with the resource's NotFound code.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.state import ACCOUNT, read_json

# Operation -> the element of its answer with the new id, and the code for an id that EC2 does not know ("Error codes
# for the Amazon EC2 API", EC2 developer guide).
MADE_BY: Final = {
    "AllocateAddress": ("allocationId", "InvalidAllocationID.NotFound"),
    "CreateInternetGateway": ("internetGatewayId", "InvalidInternetGatewayID.NotFound"),
    "CreateLaunchTemplate": ("launchTemplateId", "InvalidLaunchTemplateId.NotFound"),
    "CreateNatGateway": ("natGatewayId", "NatGatewayNotFound"),
    "CreateRouteTable": ("routeTableId", "InvalidRouteTableID.NotFound"),
    "CreateSecurityGroup": ("groupId", "InvalidGroup.NotFound"),
    "CreateSubnet": ("subnetId", "InvalidSubnetID.NotFound"),
    "CreateVpc": ("vpcId", "InvalidVpcID.NotFound"),
    "CreateVpcEndpoint": ("vpcEndpointId", "InvalidVpcEndpointId.NotFound"),
}


class Unseen:
    """`_left`: by the id of what was made, how many calls do not see it, and their code."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._left: dict[str, tuple[int, str]] = {}

    def check(self, call: Call) -> None:
        """Raises: ApiError when the call names what it does not see."""
        if call.service != "ec2" or not self._left:
            return
        body = call.body.decode(errors="replace")
        for name, (calls, code) in list(self._left.items()):
            if name in body:
                self._left[name] = (calls - 1, code)
                if calls <= 1:
                    del self._left[name]
                raise ApiError(code, f"The ID '{name}' does not exist", rule=rules.UNSEEN)

    def watches(self, call: Call) -> bool:
        """Whether `made` is to see the answer."""
        return call.service == "ec2" and call.operation in MADE_BY and self._calls() > 0

    def made(self, call: Call, answer: bytes) -> None:
        element, code = MADE_BY[call.operation]
        match = re.search(rf"<{element}>([a-z]+-[0-9a-f]+)</{element}>", answer.decode())
        if match is not None:
            self._left[match[1]] = (self._calls(), code)

    def _calls(self) -> int:
        return int(read_json(self.root / ACCOUNT).get("unseenCalls", 0))
