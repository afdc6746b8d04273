"""Systems Manager, as far as EKS's public parameters go: the newest image of nodes, and its release. EDGE.

Source: EKS user guide, "Retrieve recommended Amazon Linux AMI IDs"; Systems Manager API reference, GetParameter.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any, ClassVar, Final

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks import newer
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import Service

_PARAMETER: Final = re.compile(
    r"/aws/service/eks/optimized-ami/(?P<version>1\.\d+)/amazon-linux-2023/"
    r"(x86_64/(standard|nvidia|neuron)|arm64/(standard|nvidia))/recommended/(?P<name>release_version|image_id)"
)


class Ssm(Service):
    name: ClassVar[str] = "ssm"

    def __init__(self, root: Path) -> None:
        self.root = root

    def get_parameter(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        match = _PARAMETER.fullmatch(given["Name"])
        if match is None:
            raise ApiError("ParameterNotFound", "")
        value = newer.image_release(self.root, match["version"])
        if match["name"] == "image_id":
            image = f"{call.region} {given['Name']} {value}"
            value = f"ami-0{hashlib.sha256(image.encode()).hexdigest()[:16]}"
        return {"Parameter": {"Name": given["Name"], "Type": "String", "Value": value, "Version": 1}}
