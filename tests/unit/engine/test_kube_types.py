"""Threads that decode their first objects at the same moment don't end the process."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from meshctl.clients import kube_types

ENGINE = Path(__file__).parents[3] / "meshctl"
TOGETHER = """
import sys, threading
sys.setswitchinterval(1e-6)
from lightkube.core import decoders
from lightkube.generic_resource import create_global_resource
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod
from meshctl.clients import kube_types

together = threading.Barrier(8)
pods = b'{"items": [{"metadata": {"name": "a"}, "spec": {"containers": [{"name": "x"}]}}], "metadata": {}}'
others = [create_global_resource(f"g{i}", "v1", f"K{i}", f"ks{i}") for i in range(2)]

def decode(resource):
    together.wait()
    kube_types.describe()
    decoders.decode_list(pods, resource)

threads = [threading.Thread(target=decode, args=(r,)) for r in (Pod, Job, Pod, Job, Pod, Pod, *others)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_first_objects_can_be_decoded_by_many_threads() -> None:
    for _ in range(3):  # without `describe` nine of ten such processes end by a signal
        done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr


def test_every_resource_that_is_read_by_its_type_is_described() -> None:
    described = {resource.__name__ for resource in kube_types.READ}
    for file in [*ENGINE.glob("engine/*.py"), *ENGINE.glob("operate/*.py"), *ENGINE.glob("migrate/*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lightkube.resources"):
                assert {name.name for name in node.names} <= described, file
