"""Systems Manager, as far as EKS's public parameters go: the newest release of each image of nodes. EDGE.

Source: EKS user guide, "Retrieve recommended Amazon Linux AMI IDs"; Systems Manager API reference, GetParameter.
"""

# ruff: noqa: ARG002 (every operation is given the call)

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Final

from meshctl.lab.aws.call import Call
from meshctl.lab.aws.eks import newer
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.aws.service import Service

_RELEASE: Final = re.compile(
    r"/aws/service/eks/optimized-ami/(?P<version>1\.\d+)/amazon-linux-2023/"
    r"(x86_64/(standard|nvidia|neuron)|arm64/(standard|nvidia))/recommended/release_version"
)


class Ssm(Service):
    name: ClassVar[str] = "ssm"

    def __init__(self, root: Path) -> None:
        self.root = root

    def get_parameter(self, call: Call, given: dict[str, Any]) -> dict[str, Any]:
        match = _RELEASE.fullmatch(given["Name"])
        if match is None:
            raise ApiError("ParameterNotFound", "")
        value = newer.image_release(self.root, match["version"])
        return {"Parameter": {"Name": given["Name"], "Type": "String", "Value": value, "Version": 1}}
