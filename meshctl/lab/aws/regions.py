"""Regions that the account has not enabled. EDGE.

`account.json` in the lab's folder names them, {"notOptedIn": ["eu-central-2"]}, and may change at any time. Their
endpoints know no key of the account: EC2 answers `AuthFailure` (steampipe-plugin-aws issue 75), services that speak
JSON `UnrecognizedClientException` (aws/chalice issue 1445), the others `InvalidClientTokenId`
(remotion-dev/github-unwrapped-2022 issue 34). What S3 says was not to be confirmed: it answers as elsewhere.
Which regions need no enabling: "Specify which AWS Regions your account can use", AWS Account Management reference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from moto.core.request import determine_request_protocol
from moto.ec2.models.availability_zones_and_regions import RegionsAndZonesBackend

from meshctl.lab.aws import rules
from meshctl.lab.aws.call import Call
from meshctl.lab.aws.errors import ApiError
from meshctl.lab.state import ACCOUNT, read_json

_ALWAYS_ENABLED: Final = frozenset(
    {
        *("us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1"),
        *("eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "ap-south-1"),
        *("ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-southeast-1", "ap-southeast-2"),
    }
)
_NO_KEY: Final = "The security token included in the request is invalid."


class Regions:
    def __init__(self, root: Path) -> None:
        self.file = root / ACCOUNT

    def not_enabled(self) -> frozenset[str]:
        return frozenset(read_json(self.file).get("notOptedIn", ()))

    def check(self, call: Call) -> None:
        """Raises: ApiError for a call to a region that the account has not enabled."""
        if call.service == "s3" or call.region not in self.not_enabled():
            return
        if call.service == "ec2":
            message = "AWS was not able to validate the provided access credentials"
            raise ApiError("AuthFailure", message, status=401, rule=rules.REGION_ENABLED)
        protocol = determine_request_protocol(call.model, call.request.content_type) if call.model is not None else ""
        code = "UnrecognizedClientException" if "json" in protocol else "InvalidClientTokenId"
        raise ApiError(code, _NO_KEY, status=403, rule=rules.REGION_ENABLED)

    def described(self, given: dict[str, Any]) -> list[dict[str, str]]:
        """As DescribeRegions has them: those that are not enabled only where all are asked for."""
        names = given.get("RegionNames") or sorted(region.name for region in RegionsAndZonesBackend.regions)
        regions = [
            {"RegionName": name, "Endpoint": f"ec2.{name}.amazonaws.com", "OptInStatus": self._status(name)}
            for name in names
        ]
        return [each for each in regions if given.get("AllRegions") or each["OptInStatus"] != "not-opted-in"]

    def _status(self, name: str) -> str:
        if name in _ALWAYS_ENABLED:
            return "opt-in-not-required"
        return "not-opted-in" if name in self.not_enabled() else "opted-in"
