"""`meshctl --help` stays quick: no command module imports a slow library when it is loaded."""

from __future__ import annotations

import subprocess
import sys

SLOW = ("boto3", "botocore", "grpc", "httpx2", "jinja2", "obstore", "pulumi", "pydantic", "yaml")


def test_the_command_line_loads_without_slow_libraries() -> None:
    program = "import sys, meshctl.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert set(SLOW) & set(loaded.stdout.split()) == set()


def test_what_looks_at_clusters_loads_no_http_library_before_it_asks() -> None:
    program = "import sys, meshctl.clients.kubernetes.volumes, meshctl.deploy.jobs.job_states; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "meshwire.kubernetes.errors" in loaded.stdout.split()
    assert "httpx2" not in loaded.stdout.split()
