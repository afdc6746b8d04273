"""The engine's messages without the SDK around them."""

from __future__ import annotations

import subprocess
import sys

import pytest

AFTER = """
import sys
import providers.{plugin}.__main__
from providers.plugin.messages import provider_pb2
assert not [name for name in ("pulumi", "pulumi.runtime", "boto3") if name in sys.modules]
import pulumi
import pulumi.automation
from pulumi.runtime.proto import provider_pb2 as of_the_sdk
assert of_the_sdk is provider_pb2
"""

BEFORE = """
import pulumi
from providers.plugin.messages import provider_pb2
import pulumi as again
assert again is pulumi
assert pulumi.runtime.proto.provider_pb2 is provider_pb2
"""


@pytest.mark.parametrize("script", [AFTER.format(plugin="aws"), AFTER.format(plugin="kubernetes"), BEFORE])
def test_a_plugin_starts_without_the_sdk_which_can_be_imported_all_the_same(script: str) -> None:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
