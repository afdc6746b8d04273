"""The lab's stand-in for Docker's image of Python: a script whose connections to pods reach their processes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from meshctl.lab import images
from meshctl.lab.images import python_script


def test_the_address_of_a_pod_is_where_its_process_listens(tmp_path: Path) -> None:
    file = tmp_path / "addresses.json"
    assert python_script.listening("10.240.0.2", file) == "10.240.0.2", "before there is a pod"
    file.write_text(json.dumps({"next": 1, "addresses": {"10.240.0.2": "127.5.0.2"}, "owners": {}}))
    assert python_script.listening("10.240.0.2", file) == "127.5.0.2"
    assert python_script.listening("127.0.0.1", file) == "127.0.0.1"


def test_the_command_of_the_image_is_run_by_the_module() -> None:
    image = images.runnable("public.ecr.aws/docker/library/python:3.13.9-alpine3.22")
    assert image is not None
    argv = images.argv(image, ["python3", "-B", "-u", "/scaler/scaler.py"], [], sys.executable)
    assert argv[:3] == [sys.executable, "-m", "meshctl.lab.images.python_script"]
    assert argv[-1] == "/scaler/scaler.py"
    assert images.runnable("python:3.11-slim") is None, "that of other meshes is simulated, as before"
