"""The fixtures of tests against moto, for every file of this folder; `credentials` keeps the user's own out of all."""

from __future__ import annotations

from tests.contract.aws_bench import bench, credentials, endpoint

__all__ = ["bench", "credentials", "endpoint"]
