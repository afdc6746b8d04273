"""The fixtures of tests against parts of the lab, for every file of this folder: `aws` and `server` are its AWS API,
`twin` is one control plane with object stores, pods and network. Each file has its own."""

from __future__ import annotations

from tests.integration.lab_aws_server import aws, server
from tests.pods_fixture import twin

__all__ = ["aws", "server", "twin"]
