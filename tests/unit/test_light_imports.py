"""`meshctl --help` stays quick: no command module imports a slow library when it is loaded."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("boto3", "botocore", "grpc", "httpx2", "jinja2", "lightkube", "obstore", "pulumi", "pydantic", "yaml")


def test_the_command_line_loads_without_slow_libraries() -> None:
    program = "import sys, meshctl.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert set(SLOW) & set(loaded.stdout.split()) == set()
